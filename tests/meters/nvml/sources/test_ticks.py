"""Find the ticks of a counter with few reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.joules import (
    OpeningTick,
    Power,
    idle_power,
    mean_power,
    window_joules,
)
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, calibrate, next_ticks
from pytest_energy.meters.nvml.span import Span


@dataclass
class Machine:
    """A clock that advances only when it is read or slept on, and counters that tick on it."""

    now_s: float = 100.0
    reads: list[float] = field(default_factory=list)

    def perf_counter(self) -> float:
        self.now_s += 1e-6
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + 60e-6

    def counter(self, period_s: float, phase_s: float, power_w: float = 60.0):
        def read_j() -> float:
            self.now_s += 20e-6
            self.reads.append(self.now_s)
            return power_w * period_s * ((self.now_s - phase_s) // period_s)

        return read_j


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose clock replaces that of the process."""
    machine = Machine()
    monkeypatch.setattr(CLOCK, "perf_counter", machine.perf_counter)
    monkeypatch.setattr(CLOCK, "sleep", machine.sleep)
    return machine


def phase_error(tick: Tick, period_s: float, phase_s: float) -> float:
    """The distance of a tick from the nearest true one."""
    beside = (tick.time_s - phase_s) % period_s
    return min(beside, period_s - beside)


@pytest.mark.parametrize("period_s", [0.01, 0.02, 0.1, 0.106])
@pytest.mark.parametrize("phase_s", [0.0, 0.003, 0.0099])
def test_period_is_measured(machine: Machine, period_s: float, phase_s: float) -> None:
    """Calibration finds any period to half a percent, and ticks within their width."""
    ticker = Ticker("gpu0", machine.counter(period_s, phase_s))
    ticks = calibrate([ticker])["gpu0"]
    assert ticker.period_s == pytest.approx(period_s, rel=0.005)
    assert all(phase_error(tick, period_s, phase_s) <= tick.width_s for tick in ticks)


def test_a_known_period_saves_reads(machine: Machine) -> None:
    """Once the period is known, a tick is found with at most twenty reads."""
    ticker = Ticker("gpu0", machine.counter(0.1, 0.04))
    calibrate([ticker])
    for pause_s in (0.0, 0.033, 1.77, 10.01):
        machine.sleep(pause_s)
        machine.reads.clear()
        tick = next_ticks([ticker])["gpu0"]
        assert isinstance(tick, Tick)
        assert phase_error(tick, 0.1, 0.04) <= tick.width_s
        assert len(machine.reads) <= 20


def test_the_period_is_known_better_the_longer_a_session_lasts(machine: Machine) -> None:
    """Its error is common to all windows, so averaging over windows does not reduce it."""
    ticker = Ticker("gpu0", machine.counter(0.1, 0.04))
    calibrate([ticker])
    at_first = ticker.drift
    for _ in range(60):
        machine.sleep(1.0)
        next_ticks([ticker])
    assert ticker.period_s == pytest.approx(0.1, rel=2e-5)
    assert ticker.drift < at_first / 20


def test_a_long_pause_leaves_the_period_as_it_was(machine: Machine) -> None:
    """After a long pause the number of ticks is unknown, so the period is not refined by it."""
    ticker = Ticker("gpu0", machine.counter(0.1, 0.04))
    calibrate([ticker])
    before_s, drift = ticker.period_s, ticker.drift
    machine.sleep(1e6)
    next_ticks([ticker])
    assert (ticker.period_s, ticker.drift) == (before_s, drift)
    next_ticks([ticker])
    assert (ticker.period_s, ticker.drift) == (before_s, drift)
    for _ in range(10):
        machine.sleep(1.0)
        next_ticks([ticker])
    assert ticker.period_s == pytest.approx(0.1, rel=1e-4)


def test_counters_of_several_devices_are_found_within_one_period(machine: Machine) -> None:
    """Counters that tick at different times do not wait for one another."""
    tickers = [
        Ticker(f"gpu{i}", machine.counter(period_s, phase_s))
        for i, (period_s, phase_s) in enumerate([(0.1, 0.0), (0.1, 0.07), (0.01, 0.002)])
    ]
    calibrate(tickers)
    assert [t.period_s for t in tickers] == pytest.approx([0.1, 0.1, 0.01], rel=0.005)
    began_s = machine.now_s
    assert all(isinstance(tick, Tick) for tick in next_ticks(tickers).values())
    assert machine.now_s - began_s < 0.105


def test_counter_that_stands_still_is_an_error_and_no_zero(machine: Machine) -> None:
    """A counter that does not move is reported after a limited wait."""
    with pytest.raises(SensorError, match="has not moved"):
        calibrate([Ticker("gpu0", lambda: 1.0)])


def test_a_failing_device_does_not_hide_the_others(machine: Machine) -> None:
    """One counter's failure does not prevent finding the tick of the other."""
    good, bad = Ticker("gpu0", machine.counter(0.1, 0.0)), Ticker("gpu1", lambda: 1.0)
    found = next_ticks([good, bad])
    assert isinstance(found["gpu0"], Tick)
    assert isinstance(found["gpu1"], SensorError)


@given(
    load_w=st.floats(10, 700),
    before_w=st.floats(1, 100),
    after_w=st.floats(1, 100),
    before_s=st.floats(0, 0.2),
    during_s=st.floats(0.05, 100),
    after_s=st.floats(0, 0.2),
    changes_w=st.floats(0, 20),
)
@settings(max_examples=50)
def test_what_lies_outside_the_window_is_taken_off(
    load_w: float,
    before_w: float,
    after_w: float,
    before_s: float,
    during_s: float,
    after_s: float,
    changes_w: float,
) -> None:
    """If the power of the gaps is known, the window's joules are exact."""
    end_s = before_s + during_s + after_s
    counted_j = before_w * before_s + load_w * during_s + after_w * after_s
    joules = window_joules(
        OpeningTick(Tick(0.0, 1e-3, 5.0), Power(before_w, 0.0, changes_w)),
        Tick(end_s, 1e-3, 5.0 + counted_j),
        Span(before_s, during_s),
        Power(after_w, 0.0),
    )
    assert joules.energy_j == pytest.approx(load_w * during_s)
    assert joules.budget["edges"] >= changes_w * before_s / math.sqrt(3) * (1 - 1e-9)


def test_idle_power_is_the_mean_over_the_ticks() -> None:
    """Idle power is joules by seconds, with the scatter of its ticks."""
    quiet = [Tick(0.1 * i, 0.0, 6.0 * i) for i in range(6)]
    assert mean_power(quiet[0], quiet[1]).value_w == pytest.approx(60.0)
    quantity = idle_power(quiet)
    assert quantity.value == pytest.approx(60.0)
    assert quantity.budget["scatter"] == pytest.approx(0.0, abs=1e-9)
