"""The process that collects power samples beside the measured one: see ``collector``.

Started as ``python -m pytest_energy.meters.nvml.helper '{"gpu0": "GPU-…"}'``. Reads ``begin`` and
``end`` from its standard input, a line each, and answers each with a line of JSON; ends when the
input does.
"""

from __future__ import annotations

import json
import math
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
    """Add new samples until the next line of input, of each sensor as often as it needs."""
    due_s = {channel: time.monotonic() + sensor.pause_s for channel, sensor in sensors.items()}
    told = False
    while not told:
        told = _told_before(min(due_s.values(), default=math.inf))
        for channel, sensor in sensors.items():
            now_s = time.monotonic()
            if told or now_s >= due_s[channel]:
                since = kept[channel][-1][0] if kept[channel] else 0.0
                kept[channel] += _read(sensor, since)
                due_s[channel] = now_s + sensor.pause_s
    sys.stdin.readline()


def _told_before(moment_s: float) -> bool:
    """Wait for a line of input, until a moment of ``time.monotonic`` at the longest."""
    pause_s = None if math.isinf(moment_s) else max(0.0, moment_s - time.monotonic())
    return bool(select.select([sys.stdin], [], [], pause_s)[0])


def _read(sensor: PowerSensor, since: float) -> list[Sample]:
    try:
        return sensor.read(since)
    except SensorError:
        return []  # the measured process finds the gap and reports it


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the measured process has ended, so that nobody asks any more
        main(json.loads(sys.argv[1]))
