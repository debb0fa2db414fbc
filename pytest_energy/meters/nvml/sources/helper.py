"""The helper process that collects power samples, started by ``collector``.

Its command is ``python -m pytest_energy.meters.nvml.sources.helper PARENT '{"gpu0": "GPU-…"}'``.
:mod:`pytest_energy.meters.helper_process` says how it is asked and when it ends.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from contextlib import suppress

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.helper_process import Question, Questions
from pytest_energy.meters.nvml import driver as library
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.power_sensor import (
    BEFORE_S,
    PowerSensor,
    Sample,
    power_sensor,
)


def main(questions: Questions, uuids: Mapping[str, str]) -> None:
    """Answer questions until the measured process has ended.

    Args:
        questions: One of ``begin``, ``end`` and ``ready`` each.
        uuids: The devices' UUIDs by channel.

    Raises:
        EOFError: The measured process has ended.
    """
    library.start()
    handles = {channel: pynvml.nvmlDeviceGetHandleByUUID(uuid) for channel, uuid in uuids.items()}
    found = {channel: power_sensor(handle) for channel, handle in handles.items()}
    sensors = {channel: sensor for channel, sensor in found.items() if sensor is not None}
    while True:
        samples: dict[str, list[Sample]] = {}
        question = questions.next()
        while question is not None and question.text == "begin":
            since = CLOCK.time() - BEFORE_S
            samples = {channel: _read(sensor, since) for channel, sensor in sensors.items()}
            question.answer({})
            question = _collect(sensors, samples, questions)
        if question is not None:
            question.answer(samples)


def _collect(
    sensors: Mapping[str, PowerSensor], samples: dict[str, list[Sample]], questions: Questions
) -> Question:
    """Add new samples until the next question; each sensor is read as often as it needs."""
    due_s = {channel: CLOCK.monotonic() + sensor.pause_s for channel, sensor in sensors.items()}
    question = None
    while question is None:
        question = questions.next(min(due_s.values(), default=math.inf) - CLOCK.monotonic())
        for channel, sensor in sensors.items():
            now_s = CLOCK.monotonic()
            if question is not None or now_s >= due_s[channel]:
                since = samples[channel][-1][0] if samples[channel] else 0.0
                samples[channel] += _read(sensor, since)
                due_s[channel] = now_s + sensor.pause_s
    return question


def _read(sensor: PowerSensor, since: float) -> list[Sample]:
    try:
        return sensor.read(since)
    except SensorError:
        return []  # the measured process reports the gap


if __name__ == "__main__":
    with suppress(BrokenPipeError, EOFError):  # the measured process has ended
        main(Questions(sys.argv[1]), json.loads(sys.argv[2]))
