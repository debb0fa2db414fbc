"""What a driver does not tell of a device, and what nobody notices for want of it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_energy.meters.nvml.devices.sensors import Fields, Snapshot
from pytest_energy.meters.nvml.sources.power_sensor import RING, PowerSensor


def missing(
    opened: Snapshot, fields: Fields, *, counted: bool, sensor: PowerSensor | None
) -> Iterator[str]:
    """What is missing of a device, each with what follows from it.

    Args:
        opened: Its state.
        fields: What it said in one batch.
        counted: Whether it counts joules.
        sensor: How its power samples are had; ``None`` where they are not.
    """
    if not counted:
        yield "energy counter: joules come from power samples, with a wider interval"
    if sensor is None:
        yield "power sensor: no power traces, and nothing to check the counter by"
    elif sensor.source != RING:
        yield "driver's ring of power samples: a helper process asks for the power instead"
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
