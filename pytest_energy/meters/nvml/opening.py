"""Open the meter of NVIDIA GPUs: select devices, wait until they are free, open their sensors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml import validity
from pytest_energy.meters.nvml.devices.processes import wait_until_alone
from pytest_energy.meters.nvml.devices.selection import Device, select_devices
from pytest_energy.meters.nvml.devices.sensors import counter_of, processes_on
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.meter import Instruments, NvmlMeter
from pytest_energy.meters.nvml.sources.collector import Collector, HelperCollector, Samples
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, power_sensor
from pytest_energy.meters.nvml.sources.power_source import PowerSource
from pytest_energy.model.measurement import ReasonCode

IDLE_S = 0.5
"""For how long the idle power is sampled if a device has no counter."""


def open_nvml(request: MeterRequest) -> NvmlMeter:
    """Open the meter on the devices that the request names, or else on all that CUDA shows.

    Raises:
        MeterUnavailableError: The meter cannot measure here; with the reason and the remedy.
    """
    library.start()
    with ExitStack() as undo:
        undo.callback(library.stop)
        try:
            devices = select_devices(request.devices)
            most = validity.limits(request.thresholds)[ReasonCode.CONTENDED]
            _wait_until_alone(devices, request.wait_idle_s, most)
            instruments = _instruments(devices, request.traces, undo)
            meter = NvmlMeter(devices, instruments, request.thresholds, undo)
        except SensorError as error:
            raise MeterUnavailableError(error.reason.code, error.reason.message) from None
        undo.pop_all()
    return meter


def _wait_until_alone(devices: Sequence[Device], limit_s: float, most: float) -> None:
    def listed() -> list[frozenset[int]]:
        return [processes_on(device) or frozenset() for device in devices]

    if foreign := wait_until_alone(listed, limit_s, most):
        raise MeterUnavailableError(
            ReasonCode.CONTENDED,
            f"NVML: after waiting {limit_s:g} s, other processes still use the GPU: "
            f"{', '.join(f'PID {pid}' for pid in sorted(foreign))}; end them, or choose other "
            "devices with --energy-devices",
        )


def _instruments(devices: Sequence[Device], traces: bool, undo: ExitStack) -> Instruments:
    """Open the sources of the devices; ``undo`` closes them.

    Raises:
        MeterUnavailableError: A device has neither an energy counter nor a power sensor.
        SensorError: A device is lost, or a sensor fails.
    """
    counters = {d.channel: read for d in devices if (read := counter_of(d)) is not None}
    sensors = {
        d.channel: s for d in devices if (s := _sensor(d, d.channel in counters)) is not None
    }
    uncounted = {c: sensor for c, sensor in sensors.items() if c not in counters}
    if blind := [d for d in devices if d.channel not in counters | uncounted]:
        raise MeterUnavailableError(ReasonCode.UNSUPPORTED, _no_sensor(blind))
    wanted = [d for d in devices if d.channel in (sensors if traces else uncounted)]
    collector = HelperCollector(wanted) if wanted else None
    if collector is not None:
        undo.callback(collector.close)
    power = PowerSource(uncounted, _idle_samples(collector)) if collector and uncounted else None
    counter = CounterSource(counters) if counters else None
    return Instruments(counter, power, sensors, collector, tuple(d.channel for d in wanted))


def _sensor(device: Device, counted: bool) -> PowerSensor | None:
    """The power sensor. On devices with an energy counter, a failing one counts as absent."""
    try:
        return power_sensor(device.handle)
    except SensorError as error:
        if counted and error.reason.code is not ReasonCode.DEVICE_LOST:
            return None
        raise


def _no_sensor(devices: Sequence[Device]) -> str:
    labels = ", ".join(f"{device.channel} ({device.candidate.name})" for device in devices)
    text = f"NVML: no energy counter and no power sensor on {labels}"
    if any(device.candidate.place for device in devices):
        return f"{text}: a MIG instance has neither; measure the whole GPU by its UUID (GPU-…)"
    return f"{text}: many virtual GPUs have neither; measure on the host, or with another meter"


def _idle_samples(collector: Collector) -> Samples:
    collector.begin()
    time.sleep(IDLE_S)
    return collector.end()
