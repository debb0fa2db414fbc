"""Readings that the driver does not expose, and the checks that are disabled as a result."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_energy.meters.nvml.devices.scopes import GPU_NAME
from pytest_energy.meters.nvml.devices.sensors import Fields, Snapshot
from pytest_energy.meters.nvml.sources.power_sensor import RING, PowerSensor


def missing_readings(
    opened: Snapshot, fields: Fields, *, counted: bool, sensor: PowerSensor | None, scope: str
) -> Iterator[str]:
    """The missing readings of a device, each with the consequence.

    Args:
        opened: The device's state when the meter was opened.
        fields: Its fields then.
        counted: Whether it has an energy counter.
        sensor: Its power sensor; ``None`` if it has none.
        scope: What its counter counts.
    """
    if not counted:
        yield "energy counter: joules come from power samples, with a wider interval"
    if scope != GPU_NAME:
        yield f"energy of the GPU alone: the counter's scope is {scope}, which may be more"
    if sensor is None:
        yield "power sensor: no power traces, and no check of the counter"
    elif sensor.source != RING:
        yield "driver's ring of power samples: a helper process polls the power instead"
    if fields.power_w is None:
        yield "power fields 185 and 186: the power may be a mean over up to a second"
    if not fields.throttled_s and not fields.violated_s:
        yield "throttle counters: throttling goes unnoticed"
    if opened.processes is None:
        yield "lists of processes: the use of the device by others goes unnoticed"
    if opened.temperature_c is None:
        yield "temperature: a drift of it goes unnoticed"
    if opened.applications_clock_mhz is None:
        yield "applications clock: a change of it goes unnoticed"
    if opened.power_limit_w is None:
        yield "power limit: a change of it, and more power than it, go unnoticed"
