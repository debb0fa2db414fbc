"""One round: its measurement, the order of its steps, and errors in the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from pytest_energy.measuring.waiting import FRAMEWORKS, synchronizer
from pytest_energy.measuring.window import measure_round, open_window
from pytest_energy.meters.base import Edge, Reading
from pytest_energy.model.measurement import (
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Trace,
)


@dataclass
class ScriptedMeter:
    """A meter that records its calls and returns a scripted reading."""

    reading: Reading
    calls: list[str] = field(default_factory=list)
    channels: tuple[str, ...] = ("gpu0",)
    info: MeterInfo = field(default_factory=lambda: MeterInfo(name="scripted", source="counter"))
    environment: Environment = field(default_factory=Environment)
    shortest_window_s: float = 0.0
    idle_power_w: dict[str, Quantity] = field(default_factory=dict)

    def begin(self) -> Edge:
        self.calls.append("begin")
        return Edge(start=0.0, time_s=0.0, state=None)

    def end(self, edge: Edge) -> Reading:
        self.calls.append("end")
        assert isinstance(edge, Edge)
        return self.reading

    def close(self) -> None:
        self.calls.append("close")


def test_work_runs_between_the_edges_with_the_device_synchronised() -> None:
    """The device is synchronised before each edge, and nothing else happens in the window."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))
    calls = meter.calls
    measure_round(
        meter, lambda n: calls.append(f"work {n}"), 7, lambda: calls.append("synchronize")
    )
    assert calls == ["synchronize", "begin", "work 7", "synchronize", "end"]


def test_round_takes_joules_and_budget() -> None:
    """The reading of the meter is in the round, with its uncertainty expanded to 95 %."""
    meter = ScriptedMeter(
        Reading(1.0, {"gpu0": 2.0, "gpu1": 3.0}, {"edges": 0.3, "resolution": 0.4})
    )
    meter.channels = ("gpu0", "gpu1")
    window = measure_round(meter, lambda n: None, 21, lambda: None)
    assert window.round.passes == 21
    assert window.round.energy_j == 5.0
    assert window.round.uncertainty_j == pytest.approx(1.96 * 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("worked", "framework", "own", "remarked"),
    [
        (True, None, None, True),
        (False, None, None, False),
        (True, "cupy", None, False),
        (True, None, lambda: None, False),
    ],
    ids=["unknown", "no work", "known", "own wait"],
)
def test_work_through_an_unknown_framework_has_a_remark(
    worked: bool,
    framework: str | None,
    own: Callable[[], object] | None,
    remarked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A window may have ended before its work did; the result stays valid and says so."""
    for name in FRAMEWORKS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    wait = synchronizer(own)
    if framework:
        monkeypatch.setitem(sys.modules, framework, SimpleNamespace())  # type: ignore[arg-type]
        monkeypatch.setitem(FRAMEWORKS, framework, lambda module: None)  # type: ignore[arg-type]
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}, device_worked=worked))
    reasons = measure_round(meter, lambda n: None, 1, wait).round.reasons
    assert ["synchronize=" in reason.message for reason in reasons] == [True] * remarked
    assert not any(reason.fatal for reason in reasons)


def test_a_round_is_that_of_its_reading_by_now() -> None:
    """A meter may revise a reading once later windows have shown more; remarks stay."""
    first = Reading(1.0, {"gpu0": 2.0}, {"edges": 0.3}, device_worked=True)
    later = replace(first, channels={"gpu0": 2.5}, budget={"edges": 0.1})
    meter = ScriptedMeter(replace(first, revised=lambda: later))
    window = measure_round(meter, lambda n: None, 3, lambda: None)
    by_now = window.by_now()
    assert (window.round.energy_j, by_now.energy_j) == (2.0, 2.5)
    assert by_now.uncertainty_j == pytest.approx(1.96 * 0.1, rel=1e-3)
    assert (by_now.passes, by_now.start) == (3, window.round.start)
    assert by_now.reasons == window.round.reasons
    final = ScriptedMeter(first)
    window = measure_round(final, lambda n: None, 3, lambda: None)
    assert window.by_now() is window.round


def test_the_pieces_of_a_window_are_revised() -> None:
    """A paused window is revised by each of its pieces."""
    first = Reading(1.0, {"gpu0": 2.0}, {"edges": 0.3})
    meter = ScriptedMeter(replace(first, revised=lambda: replace(first, channels={"gpu0": 2.5})))
    with open_window(meter, 1, lambda: None) as opened, opened.paused():
        pass
    assert (opened.window.round.energy_j, opened.window.by_now().energy_j) == (4.0, 5.0)


def test_missing_channel_makes_no_sum() -> None:
    """The sum over the remaining devices is never reported as the sum over all."""
    reason = Reason(code=ReasonCode.DEVICE_LOST, message="gpu1 fell off the bus")
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}, reasons=(reason,)), channels=("gpu0", "gpu1"))
    window = measure_round(meter, lambda n: None, 1, lambda: None)
    assert window.round.energy_j is None
    assert window.round.channels == {"gpu0": 2.0}
    assert window.round.reasons == [reason]


def test_a_window_that_is_too_short_is_only_that() -> None:
    """Its joules may be negative, or imply any power, which says nothing of the work."""
    short = Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="1 µs of 0.1 s")
    negative = Reason(code=ReasonCode.NEGATIVE_ENERGY, message="-0.04 J")
    lost = Reason(code=ReasonCode.DEVICE_LOST, message="gpu0 fell off the bus")
    meter = ScriptedMeter(Reading(1e-6, {}, reasons=(negative, short, lost)))
    assert measure_round(meter, lambda n: None, 1, lambda: None).round.reasons == [short, lost]


def test_without_a_meter_there_is_a_duration_and_no_energy() -> None:
    """No meter means no joules, never zero joules."""
    measured = measure_round(None, lambda n: None, 3, lambda: None).round
    assert measured.energy_j is None
    assert measured.passes == 3
    assert measured.duration_s > 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_window_is_closed_when_the_work_raises(error: type[BaseException]) -> None:
    """The exception of the work continues, after the meter has closed its window."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))

    def fail(passes: int) -> None:
        raise error

    with pytest.raises(error):
        measure_round(meter, fail, 1, lambda: None)
    assert meter.calls == ["begin", "end"]


def test_an_exception_in_the_body_leaves_no_round() -> None:
    """The window is closed, and reading its round is an error."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))
    with pytest.raises(ZeroDivisionError), open_window(meter, 1, lambda: None) as opened:
        _ = 1 / 0
    assert meter.calls == ["begin", "end"]
    with pytest.raises(RuntimeError, match="has not been closed"):
        _ = opened.window


def test_a_pause_is_left_out_and_both_pieces_add_up() -> None:
    """Each piece has edges of its own; independent terms add up in squares, shared ones as such."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}, {"edges": 0.3, "settling": 0.1}))
    with open_window(meter, 7, lambda: None) as opened:
        meter.calls.append("work")
        with opened.paused():
            meter.calls.append("load")
        meter.calls.append("work")
    assert meter.calls == ["begin", "work", "end", "load", "begin", "work", "end"]
    measured = opened.window.round
    assert (measured.energy_j, measured.passes, measured.channels) == (4.0, 7, {"gpu0": 4.0})
    assert measured.budget == pytest.approx({"edges": 0.3 * 2**0.5, "settling": 0.2})


def test_a_piece_without_joules_leaves_the_window_without() -> None:
    """A sum of the other pieces would look like a saving."""
    reason = Reason(code=ReasonCode.DEVICE_LOST, message="gpu0 fell off the bus")
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))
    with open_window(meter, 1, lambda: None) as opened, opened.paused():
        meter.reading = Reading(1.0, {}, reasons=(reason,))
    assert (opened.window.round.energy_j, opened.window.round.channels) == (None, {})
    assert opened.window.round.reasons == [reason]


def test_an_exception_in_a_pause_closes_what_it_opened() -> None:
    """The caller may handle it inside the window, so the next piece begins all the same."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))
    window = open_window(meter, 1, lambda: None)
    with window as opened, pytest.raises(LookupError), opened.paused():
        raise LookupError
    assert meter.calls == ["begin", "end", "begin", "end"]
    window = open_window(meter, 1, lambda: None)
    with pytest.raises(LookupError), window as opened, opened.paused():
        raise LookupError
    assert meter.calls == ["begin", "end", "begin", "end"] * 2


class Ticks:
    """A clock that moves one second at each look, from an arbitrary moment on."""

    def __init__(self) -> None:
        self.now_s = 41.0

    def perf_counter(self) -> float:
        self.now_s += 1.0
        return self.now_s

    def time(self) -> float:
        return 1e9 + self.now_s


@pytest.mark.parametrize("reading", [None, Reading(0.5, {"gpu0": 2.0})])
def test_a_round_takes_the_time_of_its_pieces(
    reading: Reading | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of this process, and without the pause between them."""
    clock = Ticks()
    monkeypatch.setattr("pytest_energy.measuring.window.CLOCK", clock)
    meter = None if reading is None else ScriptedMeter(reading)
    with open_window(meter, 3, lambda: None) as opened:
        assert opened.elapsed_s() == 1.0
        with opened.paused():
            clock.now_s += 100.0
        assert opened.elapsed_s() == 3.0
    assert opened.window.round.duration_s == 4.0
    assert opened.window.round.start == 1e9 + 41.0


def test_a_round_keeps_what_the_meter_read_beside_the_joules() -> None:
    """Its traces, and the conditions of the device."""
    trace = Trace(channel="gpu0", source="ring", start=0.0, samples=1, buckets=1, data="")
    reading = Reading(1.0, {"gpu0": 2.0}, conditions={"sm_clock_mhz": 1980.0}, traces=(trace,))
    window = measure_round(ScriptedMeter(reading), lambda n: None, 1, lambda: None)
    assert window.traces == (trace,)
    assert window.round.conditions == {"sm_clock_mhz": 1980.0}


def test_a_round_without_a_sum_has_no_uncertainty() -> None:
    """Also where the terms of the channels that were read are known."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}, {"edges": 0.3}))
    meter.channels = ("gpu0", "gpu1")
    round_ = measure_round(meter, lambda n: None, 1, lambda: None).round
    assert (round_.energy_j, round_.uncertainty_j) == (None, None)


def test_a_pause_inside_a_pause_has_no_joules() -> None:
    """The meter is not asked for a piece that never began."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))
    with open_window(meter, 1, lambda: None) as opened, opened.paused(), opened.paused():
        pass
    assert meter.calls == ["begin", "end", "begin", "begin", "end"]


def test_a_meter_that_raises_is_asked_once() -> None:
    """Its window is over, also if Ctrl+C ended its reading."""
    meter = ScriptedMeter(Reading(1.0, {"gpu0": 2.0}))

    def end(edge: Edge) -> Reading:
        meter.calls.append("end")
        raise KeyboardInterrupt

    meter.end = end  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        measure_round(meter, lambda n: None, 1, lambda: None)
    assert meter.calls == ["begin", "end"]
