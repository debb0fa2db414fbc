"""Open the meter of NVIDIA GPUs: select devices, wait until they are free, open their sensors."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml import validity
from pytest_energy.meters.nvml.devices.processes import wait_until_alone
from pytest_energy.meters.nvml.devices.scopes import (
    ENERGY_BY_SCOPE,
    GPU,
    GPU_NAME,
    has_module,
    scope_of_power,
    scoped,
)
from pytest_energy.meters.nvml.devices.selection import Device, select_devices
from pytest_energy.meters.nvml.devices.sensors import counter_of, highest_limit_w, processes_on
from pytest_energy.meters.nvml.devices.sleep import sleeping_gpus
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.meter import Instruments, NvmlMeter
from pytest_energy.meters.nvml.sources.collector import Collector, HelperCollector, Samples
from pytest_energy.meters.nvml.sources.counter_reads import CounterReads, measure_losses
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.sources.own_load import torch_load
from pytest_energy.meters.nvml.sources.power_sensor import RING, PowerSensor, power_sensor
from pytest_energy.meters.nvml.sources.power_source import PowerSource
from pytest_energy.meters.nvml.sources.sample_energy import FEWEST_SAMPLES
from pytest_energy.model.measurement import ReasonCode

IDLE_S = 0.5
"""For how long the idle power is sampled if a device has no counter."""
IDLE_SHARE = 0.5
"""Idle GPUs draw 5 to 20 % of their limit, and up to 40 % with several screens; the limit of the
check ``implausible-power`` multiplies this."""
UNKNOWN_LIMIT_W = 450.0
"""Power limit of a device that does not tell it, as those of laptops: no laptop has a higher one,
and half of it is above the idle power of every data-centre card."""


def open_nvml(request: MeterRequest) -> NvmlMeter:
    """Open the meter on the devices that the request names, or else on all that CUDA shows.

    Raises:
        MeterUnavailableError: The meter cannot measure here; with the reason and the remedy.
    """
    if not request.wake and os.environ.get("CUDA_VISIBLE_DEVICES") is None:
        _let_sleep(sleeping_gpus())
    library.start()
    with ExitStack() as undo:
        undo.callback(library.stop)
        try:
            devices = select_devices(request.devices)
            most = validity.limits(request.thresholds)[ReasonCode.CONTENDED]
            _wait_until_alone(devices, request.wait_idle_s, most)
            instruments = replace(
                open_instruments(devices, request.traces, undo),
                own_load=partial(torch_load, devices),
            )
            meter = NvmlMeter(devices, instruments, request.thresholds, undo)
            undo.callback(meter.close)  # it has taken what was open
            for device in devices:
                _check_idle(device, meter.idle_power_w[device.channel].value, request.thresholds)
        except SensorError as error:
            raise MeterUnavailableError(error.reason.code, error.reason.message) from None
        undo.pop_all()
    return meter


def _let_sleep(sleeping: Sequence[str]) -> None:
    """Refuse to wake GPUs that nobody asked for: their idle power would be called the machine's."""
    if sleeping:
        raise MeterUnavailableError(
            ReasonCode.NO_METER,
            f"NVML: the GPU {', '.join(sleeping)} sleeps, and is not woken to be measured as idle;"
            " measure it with --energy-meter=nvml",
        )


def _check_idle(device: Device, idle_w: float, thresholds: Mapping[str, float]) -> None:
    """Refuse an idle power that no idle device has.

    Raises:
        MeterUnavailableError: The power is too high; something uses the device, or its sensor is
            wrong.
    """
    allowed = validity.limits(thresholds)[ReasonCode.IMPLAUSIBLE_POWER]
    limit_w = highest_limit_w(device) or UNKNOWN_LIMIT_W
    if idle_w <= IDLE_SHARE * allowed * limit_w:
        return
    raise MeterUnavailableError(
        ReasonCode.IMPLAUSIBLE_POWER,
        f"NVML: {device.channel} ({device.candidate.name}) draws {idle_w:.0f} W while it should be "
        f"idle, above {IDLE_SHARE * allowed:.0%} of its limit of {limit_w:g} W: another program "
        "uses it, or its sensor is wrong; check nvidia-smi, or accept it with "
        f"--energy-validity-limit=implausible-power={idle_w / limit_w / IDLE_SHARE + 0.1:.1f}",
    )


def _wait_until_alone(devices: Sequence[Device], limit_s: float, most: float) -> None:
    def listed() -> list[frozenset[int]]:
        return [processes_on(device) or frozenset() for device in devices]

    if foreign := wait_until_alone(listed, limit_s, most):
        raise MeterUnavailableError(
            ReasonCode.CONTENDED,
            f"NVML: after waiting {limit_s:g} s, other processes still use the GPU: "
            f"{validity.named(foreign)}; {validity.accepting(len(foreign))}, or choose other "
            "devices with --energy-devices",
        )


def open_instruments(
    devices: Sequence[Device],
    traces: bool,
    undo: ExitStack,
    collect: Callable[[Sequence[Device], Mapping[str, PowerSensor]], Collector] | None = None,
) -> Instruments:
    """Open the sources of the devices.

    Args:
        devices: The devices to measure.
        traces: Whether the samples of devices with a counter are collected, too.
        undo: Closes the sources.
        collect: How samples are collected, if not by a helper process.

    Raises:
        MeterUnavailableError: A device has neither an energy counter nor a power sensor.
        SensorError: A device is lost, or a sensor fails.
    """
    counters = {
        d.channel: CounterReads(read) for d in devices if (read := counter_of(d)) is not None
    }
    sensors = {
        d.channel: s for d in devices if (s := _sensor(d, d.channel in counters)) is not None
    }
    uncounted = {c: sensor for c, sensor in sensors.items() if c not in counters}
    if blind := [d for d in devices if d.channel not in counters | uncounted]:
        raise MeterUnavailableError(ReasonCode.UNSUPPORTED, _no_sensor(blind))
    counter = CounterSource(counters, lambda c: counters[c].step_j) if counters else None
    if counter is not None:
        for channel, rest in measure_losses(counter.tickers, counters).items():
            counter.idle_power_w[channel] = rest.power
            counter.idle_spans[channel] = rest.span
    at_rest = _at_rest(sensors, counter) if counter else {}
    scopes = _scopes(devices, counter) if counter else {}
    # The samples are those of the GPU: they are no check of a counter of something else.
    sensors = {c: s for c, s in sensors.items() if scopes.get(c, GPU_NAME) == GPU_NAME}
    at_rest = {channel: power for channel, power in at_rest.items() if channel in sensors}
    wanted = [d for d in devices if d.channel in (sensors if traces else uncounted)]
    collector: Collector | None = None
    if wanted:
        collector = collect(wanted, sensors) if collect else HelperCollector(wanted)
        undo.callback(collector.close)
    power = PowerSource(uncounted, _idle_samples(collector)) if collector and uncounted else None
    collected = tuple(d.channel for d in wanted)
    return Instruments(counter, power, sensors, collector, collected, scopes, counters, at_rest)


def _scopes(devices: Sequence[Device], counter: CounterSource) -> dict[str, str]:
    """What the counters of devices in modules count: the GPU, the module, or it is unknown."""
    return {
        device.channel: GPU_NAME
        if scoped(device.handle, ENERGY_BY_SCOPE, GPU) is not None
        else scope_of_power(device.handle, counter.idle_power_w[device.channel].value)
        for device in devices
        if device.channel in counter.channels and has_module(device.handle)
    }


def _sensor(device: Device, counted: bool) -> PowerSensor | None:
    """The power sensor. On devices with an energy counter, a failing one counts as absent."""
    try:
        return power_sensor(device.handle)
    except SensorError as error:
        if counted and error.reason.code is not ReasonCode.DEVICE_LOST:
            return None
        raise


def _at_rest(
    sensors: Mapping[str, PowerSensor], counter: CounterSource
) -> dict[str, tuple[float, float]]:
    """The idle power of devices by their counters and by the power samples of the same time.

    Of the same time, because the power of a device may fall for seconds after it was used.
    """
    powers = {}
    for channel, span in counter.idle_spans.items():
        if channel not in sensors or sensors[channel].source != RING:
            continue
        since_epoch = span.since_epoch()
        sampled_w = _mean_between(sensors[channel], since_epoch.start_s, since_epoch.end_s)
        if sampled_w:
            powers[channel] = (counter.idle_power_w[channel].value, sampled_w)
    return powers


def _mean_between(sensor: PowerSensor, began_s: float, ended_s: float) -> float | None:
    """The mean of the power samples of a span; ``None`` if the driver keeps too few."""
    try:
        samples = sensor.read(began_s)
    except SensorError:
        return None
    powers_w = [power_w for time_s, power_w in samples if time_s <= ended_s]
    return statistics.fmean(powers_w) if len(powers_w) >= FEWEST_SAMPLES else None


def _no_sensor(devices: Sequence[Device]) -> str:
    labels = ", ".join(f"{device.channel} ({device.candidate.name})" for device in devices)
    text = f"NVML: no energy counter and no power sensor on {labels}"
    if any(device.candidate.place for device in devices):
        return f"{text}: a MIG instance has neither; measure the whole GPU by its UUID (GPU-…)"
    return f"{text}: many virtual GPUs have neither; measure on the host, or with another meter"


def _idle_samples(collector: Collector) -> Samples:
    collector.begin()
    CLOCK.sleep(IDLE_S)
    return collector.end()
