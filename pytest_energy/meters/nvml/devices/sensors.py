"""Readings of a device: its energy counter, and its state and fields at an edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.devices.desktop import desktop_among, utilization
from pytest_energy.meters.nvml.devices.scopes import ENERGY_BY_SCOPE, GPU, has_module
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.driver import (
    Field,
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
"""Fields that count the nanoseconds during which a device was throttled, by cause."""
_OLD_THROTTLES = {
    pynvml.NVML_PERF_POLICY_POWER: "power-cap",
    pynvml.NVML_PERF_POLICY_THERMAL: "thermal",
}
"""The same for drivers before 2024, which offer it by another call."""


@dataclass(frozen=True)
class Fields:
    """The readings of one batch, each with the driver's own time stamp.

    A reading that the driver does not offer is ``None`` or absent.
    """

    counted_j: FieldValue | None
    """Joules by the counter at its last tick."""
    power_w: FieldValue | None
    """The sensor's instantaneous value, or its mean if there is no instantaneous one."""
    throttled_s: Mapping[str, FieldValue]
    """Seconds for which the device was throttled since the driver was loaded, by cause."""
    violated_s: Mapping[str, FieldValue] = field(default_factory=dict)
    """The same by the counters of older drivers, read only if there are no newer ones.

    The two kinds start at different moments and must not be subtracted from one another."""
    counter_reads: int = 0
    """How often the batch has read the energy counter: once for each field of it that answered."""


@dataclass(frozen=True)
class Snapshot:
    """A device's state; ``None`` for what the driver does not offer."""

    temperature_c: float | None
    clock_mhz: float | None
    """The present clock of the multiprocessors."""
    applications_clock_mhz: float | None
    """The clock of the multiprocessors that an administrator has set."""
    power_limit_w: float | None
    """The limit that is enforced now."""
    processes: frozenset[int] | None
    """The processes that have a context on the device; see :func:`processes_on`."""
    desktop: Mapping[int, str] = field(default_factory=dict)
    """The names of the desktop's processes by PID, which ``processes`` does not have."""
    desktop_utilization: float | None = None
    """The share of the multiprocessors that the desktop uses."""


def counter_of(device: Device) -> Callable[[], float] | None:
    """A function that reads the device's energy counter in joules; ``None`` if it has none.

    The driver is asked, because the model does not decide: MIG instances and many virtual GPUs of
    models with a counter have none.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    handle = device.handle
    # Only where it matters: drivers before 2024 do not know the field with a scope.
    by_scope = (ENERGY_BY_SCOPE, GPU)
    if has_module(handle) and require_field(handle, by_scope) is not None:
        return lambda: _field_j(handle, by_scope)
    if require_field(handle, ENERGY) is not None:
        return lambda: _field_j(handle, ENERGY)
    if require(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle) is not None:
        return lambda: _call_j(handle)
    return None


def _field_j(handle: Handle, field: Field) -> float:
    energy_mj = require_field(handle, field)
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
        ReasonCode.METER_FAILED, "NVML: the driver no longer offers the energy counter"
    )


def take_fields(device: Device) -> Fields:
    """Read the quickly changing values in one call.

    Raises:
        SensorError: The device is lost.
    """
    energy = (ENERGY, (ENERGY_BY_SCOPE, GPU))
    values = read_fields(device.handle, (*energy, POWER_INSTANT, POWER_AVERAGE, *THROTTLES))
    counted_mj = values.get(ENERGY_BY_SCOPE, values.get(ENERGY))
    milliwatts = values.get(POWER_INSTANT, values.get(POWER_AVERAGE))
    throttled = {
        cause: values[field].times(1e-9) for field, cause in THROTTLES.items() if field in values
    }
    return Fields(
        counted_j=counted_mj.times(1e-3) if counted_mj else None,
        power_w=milliwatts.times(1e-3) if milliwatts else None,
        throttled_s=throttled,
        violated_s={} if throttled else _old_throttles(device.candidate.board),
        counter_reads=sum(field in values for field in (ENERGY, ENERGY_BY_SCOPE)),
    )


def take_snapshot(device: Device) -> Snapshot:
    """Read a device's state, one call for each value.

    Raises:
        SensorError: The device is lost.
    """
    board = device.candidate.board
    processes, desktop = _processes(device)
    return Snapshot(
        temperature_c=query(pynvml.nvmlDeviceGetTemperature, board, pynvml.NVML_TEMPERATURE_GPU),
        clock_mhz=query(pynvml.nvmlDeviceGetClockInfo, board, pynvml.NVML_CLOCK_SM),
        applications_clock_mhz=query(
            pynvml.nvmlDeviceGetApplicationsClock, board, pynvml.NVML_CLOCK_SM
        ),
        power_limit_w=_watts(query(pynvml.nvmlDeviceGetEnforcedPowerLimit, board)),
        processes=processes,
        desktop=desktop,
        desktop_utilization=utilization(device.handle, desktop),
    )


def highest_limit_w(device: Device) -> float | None:
    """The device's power limit, or its default one if a lower one is enforced now.

    Raises:
        SensorError: The device is lost.
    """
    board = device.candidate.board
    calls = (
        pynvml.nvmlDeviceGetEnforcedPowerLimit,
        pynvml.nvmlDeviceGetPowerManagementDefaultLimit,
    )
    limits_w = [limit_w for call in calls if (limit_w := _watts(query(call, board)))]
    return max(limits_w, default=None)


def processes_on(device: Device) -> frozenset[int] | None:
    """The processes on a device, without those of the desktop, which only draw.

    ``None`` if the driver does not list the compute processes.
    """
    return _processes(device)[0]


def _processes(device: Device) -> tuple[frozenset[int] | None, dict[int, str]]:
    computing = query(pynvml.nvmlDeviceGetComputeRunningProcesses, device.handle)
    drawing = query(pynvml.nvmlDeviceGetGraphicsRunningProcesses, device.handle)
    if computing is None:
        return None, {}
    pids = {int(process.pid) for process in computing}
    painters = {int(process.pid) for process in drawing or ()}
    # A compositor may be on both lists: nvidia-smi shows kwin_wayland as C+G.
    desktop = desktop_among(painters)
    return frozenset((pids | painters) - desktop.keys()), desktop


def _old_throttles(board: Handle) -> dict[str, FieldValue]:
    statuses = {
        cause: query(pynvml.nvmlDeviceGetViolationStatus, board, policy)
        for policy, cause in _OLD_THROTTLES.items()
    }
    return {
        cause: FieldValue(status.violationTime * 1e-9, status.referenceTime * 1e-6)
        for cause, status in statuses.items()
        if status is not None
    }


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts * 1e-3
