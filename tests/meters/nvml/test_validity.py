"""Conditions and reasons from the fields at the edges of a window."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

import pynvml
import pytest

from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.nvml.devices.sensors import Fields, Snapshot
from pytest_energy.meters.nvml.driver import FieldValue
from pytest_energy.meters.nvml.validity import Evidence, conditions, idle, worked
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import Quantity, Reason, ReasonCode
from pytest_energy.testing import SimulatedNvml
from tests.virtual import measure_load, virtual_machine

STATE = Snapshot(60.0, 1980.0, None, 700.0, frozenset())


def seen(first: Fields, last: Fields) -> Evidence:
    """A window of two seconds between two batches."""
    return Evidence(
        channel="gpu0",
        reference=STATE,
        before=STATE,
        after=STATE,
        fields_before=first,
        fields_after=last,
        duration_s=2.0,
        energy_j=400.0,
    )


def throttled(value_s: float, stamp_s: float) -> Fields:
    """Throttled for some seconds, with a time stamp of the driver."""
    return Fields(None, None, {"thermal": FieldValue(value_s, stamp_s)})


@pytest.mark.parametrize(
    ("stamps_s", "span_s"),
    [
        ((1000.0, 1002.1), 2.1),
        ((0.0, 0.0), 2.0),
        ((1000.0, 4602.0), 2.0),
        ((1000.0, 400.0), 2.0),
    ],
    ids=["stamped", "not stamped", "clock stepped on", "clock stepped back"],
)
def test_throttled_share_is_of_the_time_between_the_drivers_readings(
    stamps_s: tuple[float, float], span_s: float
) -> None:
    """If the stamps are implausible, the share is that of the window."""
    first, last = (throttled(value, at) for value, at in zip((5.0, 5.5), stamps_s, strict=True))
    assert conditions(seen(first, last))["throttled.thermal"] == pytest.approx(0.5 / span_s)


def test_what_the_driver_does_not_tell_is_left_out() -> None:
    """A missing reading is never zero."""
    nothing = Fields(None, None, {})
    assert conditions(seen(nothing, nothing)) == {"temperature_c": 60.0, "clock_mhz": 1980.0}


@pytest.mark.parametrize("swapped", [False, True])
def test_old_and_new_throttle_counters_are_not_compared(swapped: bool) -> None:
    """They start at different moments: if the edges have different ones, the share is unknown."""
    new = throttled(5.0, 1000.0)
    old = Fields(None, None, {}, {"thermal": FieldValue(90.0, 1002.0)})
    edges = (old, new) if swapped else (new, old)
    assert "throttled.thermal" not in conditions(seen(*edges))
    assert conditions(seen(old, old))["throttled.thermal"] == 0


def test_a_window_has_the_conditions_of_its_edges(nvml_sim: SimulatedNvml) -> None:
    """The power before the window, and the energy between two ticks of the counter."""
    meter = open_meter("nvml", MeterRequest(traces=False))
    nvml_sim.throttle(pynvml.nvmlClocksEventReasonSwPowerCap, share=0.5)
    edge = meter.begin()
    with nvml_sim.load(400.0):
        time.sleep(0.3)
    seen_at_edges = meter.end(edge).conditions
    meter.close()
    assert seen_at_edges["gpu0.opening_power_w"] == pytest.approx(70.0, abs=0.01)
    assert seen_at_edges["gpu0.counted_s"] / meter.info.tick_s == pytest.approx(
        round(seen_at_edges["gpu0.counted_s"] / meter.info.tick_s), abs=0.02
    )
    assert seen_at_edges["gpu0.throttled.power-cap"] == pytest.approx(0.5, abs=0.01)


def reasons_of_window(counter_gain: float, length_s: float) -> Sequence[Reason]:
    """The reasons of a loaded window on a 4090 whose counter shows this share of the joules."""
    with virtual_machine("ada") as machine:
        machine.configure(counter_gain=counter_gain)
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        reading, _ = measure_load(machine, meter, 300.0, length_s)
    return reading.reasons


@pytest.mark.parametrize(
    ("counter_gain", "length_s", "fatal"),
    [
        (0.57, 1.0, True),
        (0.57, 0.6, False),
        (1.5, 1.0, True),
        (1.0, 0.35, None),
        (1.0, 1.0, None),
    ],
)
def test_few_samples_are_compared_with_the_counter(
    counter_gain: float, length_s: float, fatal: bool | None
) -> None:
    """A counter far off the power is fatal at 1 s, and a remark where late samples could be why."""
    reasons = reasons_of_window(counter_gain, length_s)
    found = [r for r in reasons if r.code is ReasonCode.SENSOR_DISAGREEMENT]
    in_window = [reason.fatal for reason in found if "at rest" not in reason.message]
    assert in_window == ([] if fatal is None else [fatal])


REST = Quantity(value=70.0, unit="W", uncertainty=1.0)


def resting(power_w: float, listed: frozenset[int] | None = frozenset()) -> Evidence:
    """A window of two seconds on a device that rests at 70 W."""
    nothing = Fields(None, None, {})
    state = replace(STATE, processes=listed)
    window = replace(seen(nothing, nothing), before=state, after=state, idle_power_w=REST)
    return replace(window, energy_j=2 * power_w, uncertainty_j=1.0)


@pytest.mark.parametrize(
    ("devices", "code"),
    [
        ([resting(70.0)], ReasonCode.DEVICE_IDLE),
        ([resting(71.9)], ReasonCode.DEVICE_IDLE),
        ([resting(60.0)], ReasonCode.DEVICE_IDLE),
        ([resting(70.0), resting(71.0)], ReasonCode.DEVICE_IDLE),
        ([resting(75.0)], None),
        ([resting(70.0, frozenset({os.getpid()}))], None),
        ([resting(70.0), resting(300.0, frozenset({os.getpid()}))], None),
        ([replace(resting(70.0), idle_power_w=None)], None),
        ([replace(resting(70.0), energy_j=None)], None),
        ([resting(70.0, None)], ReasonCode.DEVICE_IDLE),
        ([], None),
    ],
    ids=[
        "at rest",
        "within the uncertainty",
        "below",
        "two at rest",
        "above",
        "in use",
        "one of two in use",
        "rest unknown",
        "joules unknown",
        "processes unknown, no CUDA here",
        "no device",
    ],
)
def test_devices_at_rest_that_nobody_used_are_idle(
    devices: list[Evidence], code: ReasonCode | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power alone does not decide where it is above rest, nor where this session has a context."""
    monkeypatch.setattr("pytest_energy.meters.nvml.validity.ours_have_cuda", lambda: False)
    reason = idle(devices)
    assert (reason.code if reason else None) == code
    if reason:
        assert ".to(energy.device)" in reason.message
        assert '@pytest.mark.energy(meter="rapl"), or channels=["cpu"]' in reason.message


@pytest.mark.parametrize(
    ("devices", "busy"),
    [
        ([resting(300.0, frozenset({os.getpid()}))], True),
        ([resting(70.0), resting(300.0, frozenset({os.getpid()}))], True),
        ([resting(70.0, frozenset({os.getpid()}))], False),
        ([resting(300.0, frozenset({1}))], False),
        ([], False),
    ],
    ids=["ours", "one of two", "a context without work", "another's", "no device"],
)
def test_a_device_worked_if_it_drew_power_for_a_process_of_ours(
    devices: list[Evidence], busy: bool
) -> None:
    """Neither a context alone nor the power of others is work of this session."""
    assert worked(devices) is busy


@pytest.mark.parametrize(("gain", "doubted"), [(1.0, False), (0.776, True)])
def test_a_counter_that_few_samples_contradict_is_doubted(gain: float, doubted: bool) -> None:
    """A difference above the limit, and above what the edges explain, is a remark.

    Only one above the sum of both makes the window invalid.
    """
    codes = [(reason.code, reason.fatal) for reason in reasons_of_window(gain, 1.0)]
    assert ((ReasonCode.SENSOR_DISAGREEMENT, False) in codes) is doubted
    assert not any(fatal for _, fatal in codes)
