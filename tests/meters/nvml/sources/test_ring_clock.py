"""The driver's ring of power samples where its stamps are odd."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.nvml.sources.power_sensor import RingClock
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import PROFILES
from pytest_energy.uncertainty.gum import combine, expand
from tests.virtual import measure_load, virtual_machine

SINCE_BOOT_S = -time.time() + 5000.0


@pytest.mark.parametrize("card", ["pascal", "ada"])
@pytest.mark.parametrize(
    "offset_s", [SINCE_BOOT_S, -7.0, 4.0, 3600.0], ids=["since boot", "-7 s", "4 s", "1 h"]
)
def test_stamps_of_another_clock_are_anchored(card: str, offset_s: float) -> None:
    """Since boot, late or early: cards older than Volta measure by them, others have traces."""
    with virtual_machine(card) as machine:
        machine.configure(sample_offset_ns=round(offset_s * 1e9))
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        reading, true_j = measure_load(machine, meter, 200.0, 1.0)
    assert reading.valid
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.03)
    assert len(reading.traces) == 1


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_clock_that_drifts_is_followed(drift: float) -> None:
    """After an hour, at 0.1 ms a second, stamps of another clock are still right to a period."""
    clock, rng, period_s = RingClock(5000.0, 0.1), random.Random(2), 0.1
    for second in range(3600):
        now_s = second + rng.random()
        newest_s = now_s - now_s % period_s
        stamp_s = newest_s * (1 + drift) - 5000.0
        clock.follow(stamp_s, now_s)
    assert abs(stamp_s + clock.offset_s - newest_s) <= period_s


@pytest.mark.parametrize(("offset_s", "age_s"), [(0.0, 0.17), (5000.0, 60.0), (5000.0, -60.0)])
def test_only_a_drifting_clock_is_followed(offset_s: float, age_s: float) -> None:
    """Stamps since the epoch are believed, and a ring that stands still is no drift."""
    clock = RingClock(offset_s, 0.1)
    clock.follow(1000.0 - age_s - offset_s, 1000.0)
    assert clock.offset_s == offset_s


def test_stamps_that_are_right_stay_as_they_are() -> None:
    """A ring on the epoch's clock is not shifted by the age of its newest sample."""
    with virtual_machine("pascal") as machine:
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        reading, true_j = measure_load(machine, meter, 200.0, 0.5)
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.02)


@pytest.mark.parametrize("copies", [1, 3])
def test_repeated_samples_count_once(copies: int) -> None:
    """A ring with each sample several times has the sensor's period, and the same joules."""
    with virtual_machine("pascal") as machine:
        machine.configure(sample_copies=copies)
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        assert meter.info.tick_s == pytest.approx(0.02, abs=1e-6)
        reading, true_j = measure_load(machine, meter, 200.0, 0.5)
    assert reading.valid
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.03)


@pytest.mark.parametrize("offset_s", [-0.165, 0.12])
def test_stamps_that_may_be_off_widen_the_interval(offset_s: float) -> None:
    """Too near to now for another clock: the load may have run then, or be shown late."""
    with virtual_machine(replace(PROFILES["ada"], counter_tick_s=None)) as machine:
        machine.configure(sample_offset_ns=round(offset_s * 1e9))
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        reading, true_j = measure_load(machine, meter, 200.0, 1.5)
    error_j = abs(reading.channels["gpu0"] - true_j)
    assert error_j > 0.01 * true_j
    assert error_j <= 1.02 * expand(combine(reading.budget.values()))


def test_samples_of_early_stamps_are_waited_for_after_long_windows() -> None:
    """Three samples close a long window; those that have come by then may seem to be before it."""
    with virtual_machine(replace(PROFILES["ada"], counter_tick_s=None)) as machine:
        machine.configure(sample_offset_ns=-240_000_000)
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        reading, true_j = measure_load(machine, meter, 200.0, 10.0)
    assert reading.valid
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.03)
