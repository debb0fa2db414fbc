"""Sensors that are late, of devices with a tail: by power that is filtered numerically."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.meters.nvml.sources.fall import EndedLoad
from pytest_energy.meters.nvml.sources.late_tail import (
    LateTail,
    Moments,
    Part,
    classify,
    late_tail,
    late_tail_joules,
)
from pytest_energy.meters.nvml.sources.settling import Response, Step, rises_late
from pytest_energy.meters.nvml.span import Span
from pytest_energy.uncertainty.gum import combine, expand

IDLE_W, STEP_W, LENGTH_S, TICK_S = 60.0, 300.0, 0.8, 0.1
FINE_S = 2e-4
BEFORE_S = 1.0
LAGS = st.floats(0.03, 0.3)
FAST = Part(0.6, 0.02)
SLOW = Part(0.1, 2.0)


def counter(
    power_w: Callable[[float], float], response: Response, until_s: float
) -> Callable[[float], float]:
    """The joules that a late counter has shown by a moment, of a power from -1 s on."""
    steps = round((until_s + BEFORE_S) / FINE_S)
    shown_w, shown_j, kept = power_w(-BEFORE_S), [0.0], math.exp(-FINE_S / response.lag_s)
    for number in range(steps):
        true_w = power_w((number + 0.5) * FINE_S - BEFORE_S - response.delay_s)
        begun_w, shown_w = shown_w, true_w + (shown_w - true_w) * kept
        mean_w = true_w + (begun_w - shown_w) * response.lag_s / FINE_S
        shown_j.append(shown_j[-1] + mean_w * FINE_S)
    return lambda time_s: shown_j[round((time_s + BEFORE_S) / FINE_S)]


def falling(length_s: float = LENGTH_S, end: float = 1.0, *parts: Part) -> Callable[[float], float]:
    """The power of a load that begins at 0 and ends with ``end`` of its step, and of its tail."""

    def power_w(time_s: float) -> float:
        if time_s < 0:
            return IDLE_W
        if time_s < length_s:
            return IDLE_W + STEP_W
        left = sum(part.share * math.exp((length_s - time_s) / part.time_s) for part in parts)
        return IDLE_W + end * STEP_W * left

    return power_w


def step(power_w: Callable[[float], float], response: Response, first_s: float = 0.01) -> Step:
    """What a counter shows of a load above rest; its first tick after the load is soon."""
    shown = counter(power_w, response, LENGTH_S + 2.1)
    moments_s = [first_s + TICK_S * number for number in range(28)]
    begun_j, rest_w = shown(0.0), power_w(-BEFORE_S)
    return Step(LENGTH_S, [(t, shown(t) - begun_j - rest_w * t) for t in moments_s])


@given(lag_s=LAGS, delay_s=st.floats(0.0, 0.2), after_s=st.floats(0.05, 0.2))
def test_three_moments_show_all_joules_up_to_the_end(
    lag_s: float, delay_s: float, after_s: float
) -> None:
    """The late joules, the power at rest and the tail are each found exactly."""
    response = Response(delay_s, lag_s)
    shown = counter(falling(LENGTH_S, 1.0, FAST, SLOW), response, 2.0)
    # whole steps of the numerical counter
    first_s = LENGTH_S + round((after_s + delay_s) / FINE_S) * FINE_S
    moments_s = [first_s + TICK_S * number for number in range(3)]
    found = LateTail(response, [FAST, SLOW], 0.0).until(
        LENGTH_S, [(t, shown(t)) for t in moments_s], EndedLoad(LENGTH_S, LENGTH_S, STEP_W)
    )
    at_rest = counter(lambda _: IDLE_W, response, 2.0)
    begun_j = at_rest(-0.5) + IDLE_W * response.lag_s + IDLE_W * (0.5 + delay_s)
    used_j = (IDLE_W + STEP_W) * LENGTH_S
    assert found.energy_j - begun_j == pytest.approx(used_j, abs=0.1)
    assert found.rest_w == pytest.approx(IDLE_W, abs=0.5)


@given(lag_s=LAGS, share=st.floats(0.3, 0.85), time_s=st.floats(0.008, 0.03))
def test_a_load_shows_the_lag_and_the_tail(lag_s: float, share: float, time_s: float) -> None:
    """The rise shows the lag; the fall, without it, the tail."""
    fast = Part(share, time_s)
    seen = step(falling(LENGTH_S, 1.0, fast, SLOW), Response(0.0, lag_s))
    found = late_tail(seen, rises_late(seen))
    assert found is not None
    assert found.response.mean_s == pytest.approx(lag_s, rel=0.01)
    true_s = fast.used_s(0.2) + SLOW.used_s(0.2)
    used_s = math.fsum(part.used_s(0.2) for part in found.parts)
    assert used_s == pytest.approx(true_s, abs=5e-4)


def test_a_part_as_slow_as_the_lag_is_no_division_by_zero() -> None:
    """Its formula is 0/0 there; near to it nothing jumps."""
    shown = [Part(0.5, 0.1).shown_s(0.15, lag_s) for lag_s in (0.0999, 0.1, 0.1001)]
    assert shown[0] > shown[1] > shown[2]
    assert shown[0] - shown[2] < 1e-4


@pytest.mark.parametrize("ramp_s", [0.02, 0.05, 0.1])
def test_power_that_rises_as_slowly_but_falls_at_once_is_not_late(ramp_s: float) -> None:
    """The power of such a device has fallen in part when a late counter would still show it."""

    def power_w(time_s: float) -> float:
        if 0 <= time_s < LENGTH_S:
            return IDLE_W - STEP_W * math.expm1(-time_s / ramp_s)
        return falling(LENGTH_S, 1.0, FAST, SLOW)(time_s)

    seen = step(power_w, Response(0.0, 1e-4))
    rise = rises_late(seen)
    assert late_tail(seen, rise) is None
    found = classify({"gpu0": seen})
    assert not found.late_tails
    assert not found.responses["gpu0"].late


@pytest.mark.parametrize(("ramp_s", "tail"), [(0.012, Part(0.6, 0.02)), (0.008, Part(0.4, 0.02))])
def test_power_that_rises_and_falls_as_slowly_is_not_late(ramp_s: float, tail: Part) -> None:
    """Its joules before and after the load agree with a lag; the first tick after it does not."""

    def power_w(time_s: float) -> float:
        if 0 <= time_s < LENGTH_S:
            return IDLE_W - STEP_W * math.expm1(-time_s / ramp_s)
        return falling(LENGTH_S, 1.0, tail)(time_s)

    seen = step(power_w, Response(0.0, 1e-4))
    found = classify({"gpu0": seen})
    assert not found.responses["gpu0"].late
    assert not found.late_tails
    assert found.doubtful["gpu0"].mean_s == pytest.approx(ramp_s, rel=0.05)


@pytest.mark.parametrize("late", [Response(0.0, 0.5), Response(0.0, 1.0), Response(0.5, 0.05)])
@pytest.mark.parametrize("tail", [(), (FAST, SLOW)])
def test_a_sensor_that_is_later_than_the_load_can_tell_is_refused(
    late: Response, tail: tuple[Part, ...]
) -> None:
    """So long a lag is found too short, and every window would be wrong."""
    seen = step(falling(LENGTH_S, 1.0, *tail), late)
    found = classify({"gpu0": seen})
    assert "more than 0.32 s late" in str(found.too_late["gpu0"])
    assert not found.late_tails
    assert not found.doubtful
    assert not found.responses["gpu0"].late


@pytest.mark.parametrize("late", [Response(0.0, 0.3), Response(0.2, 0.1), Response(0.0, 0.05)])
def test_lags_up_to_0_3_s_are_not_refused(late: Response) -> None:
    """The load is long enough to tell them; and a slow rise is none, as nothing comes after it."""
    seen = step(falling(LENGTH_S, 1.0, FAST, SLOW), late)
    assert not classify({"gpu0": seen}).too_late

    def rising_w(time_s: float) -> float:
        return IDLE_W + (STEP_W * time_s if 0 <= time_s < LENGTH_S else 0.0)

    slow = step(rising_w, Response(0.0, 1e-4))
    assert not classify({"gpu0": slow}).too_late


def test_ticks_that_come_too_late_do_not_tell() -> None:
    """They would show the same of a power that rises as slowly, so that neither is sure."""
    power_w = falling(LENGTH_S, 1.0, FAST, SLOW)
    for first_s, sure in ((0.01, True), (0.09, False)):
        seen = step(power_w, Response(0.0, 0.05), first_s)
        found = classify({"gpu0": seen})
        assert bool(found.late_tails) is sure
        assert bool(found.doubtful) is not sure


def test_a_lag_without_a_tail_is_a_lag() -> None:
    """Rise and fall show it alike."""
    seen = step(falling(), Response(0.0, 0.1))
    found = classify({"gpu0": seen})
    assert found.responses["gpu0"].lag_s == pytest.approx(0.1, rel=0.01)
    assert not found.late_tails
    assert not found.doubtful


def moments(shown: Callable[[float], float], first_s: float) -> Moments:
    """Three moments."""
    moments_s = [first_s + TICK_S * number for number in range(3)]
    return Moments([(t, shown(t)) for t in moments_s], 1e-3, 1e-4)


@pytest.mark.parametrize("lag_s", [0.05, 0.3])
@pytest.mark.parametrize("end", [0.1, 0.5, 1.0, 1.9])
def test_the_interval_contains_any_power_at_the_end(lag_s: float, end: float) -> None:
    """A load may end at none of its power or at twice of it; the tail is as large."""
    response = Response(0.0, lag_s)
    shown = counter(falling(1.0, end, FAST, SLOW), response, 2.0)
    tail = LateTail(response, [FAST, SLOW], 1e-5)
    idle = EndedLoad(-10.0, 1.0, 0.0)
    opening, closing = moments(shown, -0.25), moments(shown, 1.1)
    joules, load = late_tail_joules(tail, opening, closing, Span(0.0, 1.0), idle, IDLE_W)
    off_j = joules.energy_j - (IDLE_W + STEP_W)
    assert abs(off_j) <= expand(combine(joules.budget.values()))
    assert abs(off_j) <= 0.02 * STEP_W
    assert load.step_w == pytest.approx(STEP_W, rel=0.02)
    if end == 1.0:
        assert abs(off_j) <= 1e-3 * STEP_W


def test_a_window_of_no_length_says_nothing_of_its_load() -> None:
    """Noise over no time would be the power of any load, and the next window would miss it."""
    response = Response(0.0, 0.1)
    shown = counter(lambda _: IDLE_W, response, 2.0)
    tail = LateTail(response, [FAST, SLOW], 1e-5)
    idle = EndedLoad(-10.0, 1.0, 0.0)
    opening, closing = moments(shown, -0.25), moments(lambda t: shown(t) + 0.05, 0.1)
    joules, load = late_tail_joules(tail, opening, closing, Span(0.0, 1e-5), idle, IDLE_W)
    assert load.step_w == 0.0
    assert joules.energy_j == pytest.approx(0.05, abs=1e-2)
