"""What a device's sensors say: its counter of joules, and the state it is in at an edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.driver import (
    FieldValue,
    Handle,
    SensorError,
    query,
    read_fields,
    require,
    require_field,
)
from pytest_energy.model.measurement import ReasonCode

ENERGY = pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
POWER_AVERAGE = pynvml.NVML_FI_DEV_POWER_AVERAGE
POWER_INSTANT = pynvml.NVML_FI_DEV_POWER_INSTANT
POWER_CAP = pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP
THROTTLES = {
    POWER_CAP: "power-cap",
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: "thermal",
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: "hardware-thermal",
    pynvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN: "power-brake",
}
"""Fields that count the nanoseconds during which a device was held back, by cause."""
_OLD_THROTTLES = {
    pynvml.NVML_PERF_POLICY_POWER: "power-cap",
    pynvml.NVML_PERF_POLICY_THERMAL: "thermal",
}
"""The same of drivers before 2024, by another call."""


@dataclass(frozen=True)
class Fields:
    """What a device says in one batch, each with the driver's own time stamp.

    ``None`` or absent is what the driver does not tell.
    """

    counted_j: FieldValue | None
    """Joules by the counter, which may have ticked a while ago."""
    power_w: FieldValue | None
    """By the sensor's instantaneous value, where there is one, else its mean."""
    throttled_s: Mapping[str, FieldValue]
    """Seconds for which the device has been held back since the driver was loaded, by cause."""
    violated_s: Mapping[str, FieldValue] = field(default_factory=dict)
    """The same by the counters of older drivers, asked where there are no others; they count from
    elsewhere, so that one kind says nothing beside the other."""


@dataclass(frozen=True)
class Snapshot:
    """A device's state; ``None`` is what the driver does not tell."""

    temperature_c: float | None
    clock_mhz: float | None
    """Of the multiprocessors, now."""
    applications_clock_mhz: float | None
    """Of the multiprocessors, as set by an administrator."""
    power_limit_w: float | None
    """As enforced now."""
    processes: frozenset[int] | None
    """The processes that have a context on the device; see :func:`processes_on`."""


def counter_of(device: Device) -> Callable[[], float] | None:
    """A function that reads the device's joules, or ``None`` where it does not count them.

    Whether it does is asked, not inferred: MIG instances and many virtual GPUs do not.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    handle = device.handle
    if require_field(handle, ENERGY) is not None:
        return lambda: _field_j(handle)
    if require(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle) is not None:
        return lambda: _call_j(handle)
    return None


def _field_j(handle: Handle) -> float:
    energy_mj = require_field(handle, ENERGY)
    if energy_mj is None:
        raise _withdrawn()
    return energy_mj.value * 1e-3


def _call_j(handle: Handle) -> float:
    energy_mj = require(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    if energy_mj is None:
        raise _withdrawn()
    return float(energy_mj) * 1e-3


def _withdrawn() -> SensorError:
    return SensorError(
        ReasonCode.METER_FAILED, "NVML: the energy counter is no longer offered by the driver"
    )


def take_fields(device: Device) -> Fields:
    """Read what changes from moment to moment, in one call.

    Raises:
        SensorError: The device is lost.
    """
    read = read_fields(device.handle, (ENERGY, POWER_INSTANT, POWER_AVERAGE, *THROTTLES))
    milliwatts = read.get(POWER_INSTANT, read.get(POWER_AVERAGE))
    throttled = {
        cause: read[field].times(1e-9) for field, cause in THROTTLES.items() if field in read
    }
    return Fields(
        counted_j=read[ENERGY].times(1e-3) if ENERGY in read else None,
        power_w=milliwatts.times(1e-3) if milliwatts else None,
        throttled_s=throttled,
        violated_s={} if throttled else _old_throttles(device.candidate.board),
    )


def take_snapshot(device: Device) -> Snapshot:
    """Read a device's state, one by one.

    Raises:
        SensorError: The device is lost.
    """
    board = device.candidate.board
    return Snapshot(
        temperature_c=query(pynvml.nvmlDeviceGetTemperature, board, pynvml.NVML_TEMPERATURE_GPU),
        clock_mhz=query(pynvml.nvmlDeviceGetClockInfo, board, pynvml.NVML_CLOCK_SM),
        applications_clock_mhz=query(
            pynvml.nvmlDeviceGetApplicationsClock, board, pynvml.NVML_CLOCK_SM
        ),
        power_limit_w=_watts(query(pynvml.nvmlDeviceGetEnforcedPowerLimit, board)),
        processes=processes_on(device),
    )


def processes_on(device: Device) -> frozenset[int] | None:
    """The processes on a device; ``None`` where the driver does not tell which compute on it."""
    computing = query(pynvml.nvmlDeviceGetComputeRunningProcesses, device.handle)
    drawing = query(pynvml.nvmlDeviceGetGraphicsRunningProcesses, device.handle)
    if computing is None:
        return None
    return frozenset(int(process.pid) for process in (*computing, *(drawing or ())))


def _old_throttles(board: Handle) -> dict[str, FieldValue]:
    spent = {
        cause: query(pynvml.nvmlDeviceGetViolationStatus, board, policy)
        for policy, cause in _OLD_THROTTLES.items()
    }
    return {
        cause: FieldValue(s.violationTime * 1e-9, s.referenceTime * 1e-6)
        for cause, s in spent.items()
        if s is not None
    }


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts * 1e-3
