"""Collecting power samples over a window, in this process or beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from pytest_energy.measurement import ReasonCode
from pytest_energy.meters.nvml.library import SensorError
from pytest_energy.meters.nvml.samples import PowerSensor, Sample
from pytest_energy.meters.nvml.selection import Device

Samples = Mapping[str, Sequence[Sample]]
"""By channel, oldest first."""


class Collector(Protocol):
    """Something that has the samples of a window when it is over."""

    def begin(self) -> None:
        """Keep the samples from shortly before now on."""
        ...

    def end(self) -> Samples:
        """The samples up to now.

        Raises:
            SensorError: They were not collected.
        """
        ...

    def close(self) -> None:
        """Stop for good."""
        ...


class RingCollector:
    """Reads the driver's rings once a window is over: good for windows shorter than the rings."""

    def __init__(self, sensors: Mapping[str, PowerSensor]) -> None:
        self._sensors = sensors

    def begin(self) -> None:
        """Nothing: the driver keeps the samples."""

    def end(self) -> Samples:
        """All that the rings hold."""
        return {channel: sensor.read(0.0) for channel, sensor in self._sensors.items()}

    def close(self) -> None:
        """Nothing to stop."""


class HelperCollector:
    """A process beside the measured one that reads as often as it must, and sleeps otherwise.

    It is started once, with the meter, and does nothing outside windows. It ends with its parent,
    whose end closes its input.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        """Start it and wait until it is ready.

        Raises:
            SensorError: It did not start.
        """
        named = {device.channel: device.candidate.uuid for device in devices}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_energy.meters.nvml.helper", json.dumps(named)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._answer()

    def begin(self) -> None:
        """Have it keep samples."""
        self._tell("begin")
        self._answer()

    def end(self) -> Samples:
        """Have it stop, and hand over what it kept."""
        self._tell("end")
        return {
            channel: [(float(time_s), float(power_w)) for time_s, power_w in samples]
            for channel, samples in self._answer().items()
        }

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # it has ended before, with a command unread
                    stream.close()
        self._process.wait()

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _answer(self) -> dict[str, list[Sample]]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        answer: dict[str, list[Sample]] = json.loads(line)
        return answer

    def _gone(self) -> SensorError:
        status = self._process.poll()
        return SensorError(
            ReasonCode.METER_FAILED,
            f"the process that collects power samples has ended (exit status {status})",
        )
