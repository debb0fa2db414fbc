"""The process that collects power samples beside the measured one: see ``collector``.

Started as ``python -m pytest_energy.meters.nvml.sources.helper PARENT '{"gpu0": "GPU-…"}'``. How it
is asked and when it ends: see :mod:`pytest_energy.meters.helper_process`.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.helper_process import Question, Questions
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample, power_sensor

BEFORE_S = 1.0
"""Samples so much older than the beginning are handed over, too: they show the power before it."""


def main(questions: Questions, named: Mapping[str, str]) -> None:
    """Serve until nobody asks any more.

    Args:
        questions: What is asked: to ``begin``, to ``end``, or whether it is ``ready``.
        named: The devices' UUIDs by channel.

    Raises:
        EOFError: Nobody asks any more.
    """
    library.start()
    found = {c: power_sensor(pynvml.nvmlDeviceGetHandleByUUID(uuid)) for c, uuid in named.items()}
    sensors = {channel: sensor for channel, sensor in found.items() if sensor is not None}
    while True:
        kept: dict[str, list[Sample]] = {}
        question = questions.next()
        while question is not None and question.text == "begin":
            since = time.time() - BEFORE_S
            kept = {channel: _read(sensor, since) for channel, sensor in sensors.items()}
            question.answer({})
            question = _collect(sensors, kept, questions)
        if question is not None:
            question.answer(kept)


def _collect(
    sensors: Mapping[str, PowerSensor], kept: dict[str, list[Sample]], questions: Questions
) -> Question:
    """Add new samples, of each sensor as often as it needs, until the next question."""
    due_s = {channel: time.monotonic() + sensor.pause_s for channel, sensor in sensors.items()}
    question = None
    while question is None:
        question = questions.next(min(due_s.values(), default=math.inf) - time.monotonic())
        for channel, sensor in sensors.items():
            now_s = time.monotonic()
            if question is not None or now_s >= due_s[channel]:
                since = kept[channel][-1][0] if kept[channel] else 0.0
                kept[channel] += _read(sensor, since)
                due_s[channel] = now_s + sensor.pause_s
    return question


def _read(sensor: PowerSensor, since: float) -> list[Sample]:
    try:
        return sensor.read(since)
    except SensorError:
        return []  # the measured process finds the gap and reports it


if __name__ == "__main__":
    with suppress(BrokenPipeError, EOFError):  # the measured process has ended
        main(Questions(sys.argv[1]), json.loads(sys.argv[2]))
