"""Collecting power samples over a window, in this process or beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from pytest_energy.meters.helper_process import HelperLostError, HelperProcess
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample
from pytest_energy.model.measurement import ReasonCode

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

    It is started once, with the meter, and collects nothing outside windows.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        """Start it and wait until it is ready.

        Raises:
            SensorError: It did not start.
        """
        named = {device.channel: device.candidate.uuid for device in devices}
        self._helper = HelperProcess(
            "pytest_energy.meters.nvml.sources.helper", [json.dumps(named)]
        )
        self._collecting = False
        self._ask("ready")

    def begin(self) -> None:
        """Have it keep samples; those of a window that was never ended are dropped."""
        self._ask("begin")
        self._collecting = True

    def end(self) -> Samples:
        """Have it stop, and hand over what it kept."""
        if not self._collecting:
            message = "a window that began later took them: one has to end before the next begins"
            raise SensorError(ReasonCode.METER_FAILED, message)
        self._collecting = False
        return {
            channel: [(float(time_s), float(power_w)) for time_s, power_w in samples]
            for channel, samples in self._ask("end").items()
        }

    def close(self) -> None:
        """End it."""
        self._helper.close()

    def _ask(self, question: str) -> dict[str, list[Sample]]:
        try:
            answer: dict[str, list[Sample]] = self._helper.ask(question)
        except HelperLostError as lost:
            message = f"the process that collects power samples {lost}"
            raise SensorError(ReasonCode.METER_FAILED, message) from None
        return answer
