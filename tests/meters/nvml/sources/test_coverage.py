"""Whether a counter covers the full time, judged by the ends of windows."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.meters.nvml.sources.coverage import LEAST_ENDS, Coverage, LastTick, last_tick
from pytest_energy.meters.nvml.sources.ticks import Tick
from pytest_energy.testing import PROFILES
from tests.virtual import answer_on

PERIOD_S, IDLE_W, LOAD_W = 0.1, 50.0, 350.0


def closing(loaded: float, counted: float, ticks: int = 1) -> LastTick | None:
    """The last tick of a window that ended a share ``loaded`` after a tick at 100 s."""
    above_j = counted * (LOAD_W - IDLE_W) * PERIOD_S
    tick = Tick(
        time_s=100.0 + ticks * PERIOD_S,
        width_s=5e-4,
        energy_j=1000.0 + ticks * IDLE_W * PERIOD_S + above_j,
        sought_s=100.0 + loaded * PERIOD_S + 1e-4,
        sought_j=1000.0,
    )
    return last_tick(tick, PERIOD_S, 100.0 + loaded * PERIOD_S, LOAD_W, IDLE_W)


@given(st.floats(0.21, 0.79), st.floats(0.0, 1.0), st.integers(1, 3))
def test_the_last_tick_is_read_above_idling(loaded: float, counted: float, ticks: int) -> None:
    """Idle energy is subtracted, whether the next tick or a later one closes the window."""
    last = closing(loaded, counted, ticks)
    assert last is not None
    assert last.loaded == pytest.approx(loaded, abs=1e-6)
    assert last.counted == pytest.approx(counted, abs=1e-6)


@pytest.mark.parametrize("loaded", [0.02, 0.98])
def test_an_end_close_to_a_tick_tells_nothing(loaded: float) -> None:
    """A part-time counter could agree there."""
    assert closing(loaded, loaded) is None


def test_too_few_ends_leave_it_open() -> None:
    """One window less than needed decides nothing."""
    coverage = Coverage()
    for _ in range(LEAST_ENDS - 1):
        coverage.learn(LastTick(0.5, 0.5))
    assert coverage.full_time is None
    coverage.learn(LastTick(0.5, 0.5))
    assert coverage.full_time is True


@pytest.mark.parametrize("seen", [0.1, 0.25, 0.5])
def test_a_part_time_counter_is_rarely_taken_for_a_full_time_one(seen: float) -> None:
    """The counter samples the end of each tick, windows end at random: below 1 % in 50 windows."""
    rng, wrong = random.Random(7), 0
    for _ in range(1000):
        coverage, first = Coverage(), rng.uniform(0.0, 1.0 - seen)
        for _ in range(50):
            loaded = rng.uniform(0.2, 0.8)
            coverage.learn(LastTick(loaded, min(max((loaded - first) / seen, 0.0), 1.0)))
        wrong += coverage.full_time is True
    assert wrong < 10


@pytest.mark.parametrize(("counter_window_s", "full_time"), [(None, True), (0.025, False)])
def test_windows_distinguish_full_time_and_part_time_counters(
    counter_window_s: float | None, full_time: bool
) -> None:
    """On cards with a part-time power sensor, the ends of a few windows decide."""
    profile = replace(PROFILES["hopper"], counter_window_s=counter_window_s)
    first, last = answer_on(profile, WINDOWS)
    assert first == [None, True]
    assert last == [full_time, not full_time]


WINDOWS = """
import json, random, time
from contextlib import ExitStack
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.sources.collector import RingCollector
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.meter import Instruments, NvmlMeter
from pytest_energy.meters.nvml.sources.power_sensor import power_sensor
from pytest_energy.meters.nvml.devices.selection import select_devices
from pytest_energy.meters.nvml.devices.sensors import counter_of
from pytest_energy.testing import Machine

machine, rng = Machine.attached(), random.Random(1)
time.sleep(3.0)
library.start()
devices = select_devices(None)
sensors = {"gpu0": power_sensor(devices[0].handle)}
counter = CounterSource({"gpu0": counter_of(devices[0])})
instruments = Instruments(counter, None, sensors, RingCollector(sensors))
meter = NvmlMeter(devices, instruments, {}, ExitStack())
seen = []
for _ in range(30):
    edge = meter.begin()
    with machine.load(400.0):
        time.sleep(rng.uniform(0.5, 0.7))
    reading = meter.end(edge)
    seen.append([counter.full_time("gpu0"), "unseen" in reading.budget])
print(json.dumps([seen[0], seen[-1]]))
"""
