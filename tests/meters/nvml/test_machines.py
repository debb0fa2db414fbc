"""Machines of several cards, cards without a counter, and power traces."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.traces import decode
from pytest_energy.testing import PROFILES, SimulatedNvml
from pytest_energy.uncertainty.gum import combine, expand
from tests.virtual import measure_load, virtual_machine

NO_TRACES = MeterRequest(traces=False, wait_idle_s=0.1)


def test_devices_are_measured_together() -> None:
    """Two cards whose counters tick at different times: each channel has the joules of its card."""
    with virtual_machine("turing", "ada") as machine:
        meter = open_meter("nvml", NO_TRACES)
        edge = meter.begin()
        with machine.load(60.0, 0), machine.load(300.0, 1):
            time.sleep(0.3)
        reading = meter.end(edge)
        meter.close()
        end_s = edge.time_s + reading.duration_s
        for device, channel in enumerate(meter.channels):
            true_j = machine.true_energy_j(edge.time_s, end_s, device)
            # the uncertainty of the sum, so at least that of each channel
            stated_j = expand(combine(reading.budget.values()))
            assert reading.channels[channel] == pytest.approx(true_j, abs=2 * stated_j)


def test_a_card_without_counter_is_measured_by_its_power() -> None:
    """Cards older than Volta have no counter: power samples are summed, with a wider interval."""
    with virtual_machine("pascal") as machine:
        meter = open_meter("nvml", MeterRequest())
        reading, true_j = measure_load(machine, meter, 200.0, 0.5)
    assert meter.info.source == "power"
    assert reading.valid
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.05)
    missed = reading.budget["unseen"] / reading.channels["gpu0"]
    # 95 % of errors of up to 43 % of the truth are below this share of what is read.
    of_truth = 2 * 0.95 * 0.43 - 0.43
    assert missed * 1.96 == pytest.approx(of_truth / (1 - of_truth), rel=1e-3)


@pytest.mark.parametrize(("card", "doubted"), [("hopper", True), ("ada", False)])
def test_a_counter_is_doubted_where_the_power_sensor_looks_away(card: str, doubted: bool) -> None:
    """If the counter covers no more time than the sensor, a periodic load makes it uncertain."""
    with virtual_machine(card) as machine:
        meter = open_meter("nvml", MeterRequest())
        edge = meter.begin()
        with machine.pulsed_load(400.0, 100.0, 0.26, 0.5, 0.0):
            time.sleep(1.0)
        reading = meter.end(edge)
        meter.close()
    assert ("unseen" in reading.budget) == doubted
    if doubted:
        assert reading.budget["unseen"] > 0.03 * reading.channels["gpu0"]


@pytest.mark.usefixtures("quick_opening")
@pytest.mark.parametrize(
    ("card", "source"), [("hopper", "driver-ring"), ("ringless", "helper-process")]
)
def test_traces_come_from_the_ring_or_from_a_helper(card: str, source: str) -> None:
    """The trace of a window has about the same joules, and names the source of its samples."""
    # The helper process that polls a sensor needs the real clock.
    ringless = SimulatedNvml(replace(PROFILES["hopper"], sample_count=0, counter_tick_s=0.02))
    with ringless if source == "helper-process" else virtual_machine(card) as machine:
        meter = open_meter("nvml", MeterRequest())
        edge = meter.begin()
        with machine.load(500.0):
            time.sleep(0.6)
        reading = meter.end(edge)
        meter.close()
    (trace,) = reading.traces
    assert trace.source == source
    assert decode(trace).energy_j == pytest.approx(reading.channels["gpu0"], rel=0.15)
    assert reading.valid


@pytest.mark.usefixtures("quick_opening")
def test_a_sensor_is_asked_no_more_often_than_it_changes() -> None:
    """Without a ring, each sensor is polled with its period: Pascal 20 ms, Ada 100 ms."""
    ada = replace(PROFILES["ada"], counter_tick_s=0.02)
    with SimulatedNvml("pascal", ada) as machine:  # the helper process needs the real clock
        for device in (0, 1):
            machine.configure(device, sample_count=0)
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        edge = meter.begin()
        before, began_s = machine.calls("nvmlDeviceGetFieldValues"), time.perf_counter()
        time.sleep(0.5)
        asked = machine.calls("nvmlDeviceGetFieldValues") - before
        took_s = time.perf_counter() - began_s
        reading = meter.end(edge)
        meter.close()
    assert {trace.channel for trace in reading.traces} == {"gpu0", "gpu1"}
    assert 2 < asked <= took_s / 0.02 + took_s / 0.1 + 4


def test_one_lost_device_leaves_the_other_its_joules() -> None:
    """The channel of a lost device is absent, never zero; the other channel is there."""
    with virtual_machine("turing", "turing") as machine:
        meter = open_meter("nvml", NO_TRACES)
        edge = meter.begin()
        machine.lose(1)
        time.sleep(0.05)
        reading = meter.end(edge)
        machine.recover()
        meter.close()
    assert reading.channels.keys() == {"gpu0"}
    assert {reason.code for reason in reading.reasons} == {ReasonCode.DEVICE_LOST}
