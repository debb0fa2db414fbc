"""The process that collects power samples beside the measured one: see ``collector``.

Started as ``python -m pytest_energy.meters.nvml.helper '{"gpu0": "GPU-…"}'``. Reads ``begin`` and
``end`` from its standard input, a line each, and answers each with a line of JSON; ends when the
input does.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml import library
from pytest_energy.meters.nvml.library import SensorError
from pytest_energy.meters.nvml.samples import PowerSensor, Sample, power_sensor

BEFORE_S = 1.0
"""Samples so much older than the beginning are handed over, too: they show the power before it."""


def main(named: Mapping[str, str]) -> None:
    """Serve until the input ends.

    Args:
        named: The devices' UUIDs by channel.
    """
    library.start()
    found = {c: power_sensor(pynvml.nvmlDeviceGetHandleByUUID(uuid)) for c, uuid in named.items()}
    sensors = {channel: sensor for channel, sensor in found.items() if sensor is not None}
    answer({})
    while sys.stdin.readline() == "begin\n":
        kept = {
            channel: _read(sensor, time.time() - BEFORE_S) for channel, sensor in sensors.items()
        }
        answer({})
        _collect(sensors, kept)
        answer(kept)


def answer(samples: Mapping[str, list[Sample]]) -> None:
    """Hand samples over."""
    print(json.dumps(samples), flush=True)


def _collect(sensors: Mapping[str, PowerSensor], kept: dict[str, list[Sample]]) -> None:
    """Add new samples until the next line of input."""
    pause_s = min((sensor.pause_s for sensor in sensors.values()), default=None)
    told = False
    while not told:
        told = bool(select.select([sys.stdin], [], [], pause_s)[0])
        for channel, sensor in sensors.items():
            since = kept[channel][-1][0] if kept[channel] else 0.0
            kept[channel] += _read(sensor, since)
    sys.stdin.readline()


def _read(sensor: PowerSensor, since: float) -> list[Sample]:
    try:
        return sensor.read(since)
    except SensorError:
        return []  # the measured process finds the gap and reports it


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the measured process has ended, so that nobody asks any more
        main(json.loads(sys.argv[1]))
