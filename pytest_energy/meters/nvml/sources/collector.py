"""Collect power samples over a window, in this process or in a helper process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from json import dumps  # a test may replace json.dumps
from typing import Protocol

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.helper_process import HelperLostError, HelperProcess
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.power_sensor import BEFORE_S, RING, PowerSensor, Sample
from pytest_energy.model.measurement import ReasonCode

Samples = Mapping[str, Sequence[Sample]]
"""Power samples by channel, oldest first."""


class Collector(Protocol):
    """Has the samples of a window after its end."""

    def begin(self) -> None:
        """Collect samples from shortly before now on."""
        ...

    def end(self) -> Samples:
        """Return the samples up to now.

        Raises:
            SensorError: The samples were not collected.
        """
        ...

    def close(self) -> None:
        """Stop for good."""
        ...


class RingCollector:
    """Reads the driver's rings after a window; for windows that are shorter than the rings."""

    def __init__(self, sensors: Mapping[str, PowerSensor]) -> None:
        self._sensors = sensors
        self._since = 0.0

    def begin(self) -> None:
        """Remember the moment: the driver keeps the samples."""
        self._since = CLOCK.time() - BEFORE_S

    def end(self) -> Samples:
        """Return what the rings hold of the window, and of the time before it."""
        return {channel: sensor.read(self._since) for channel, sensor in self._sensors.items()}

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""


class RingWatch:
    """Keeps the samples of the driver's rings from its own beginning on, read when it is called."""

    def __init__(self, sensors: Mapping[str, PowerSensor]) -> None:
        self._rings = {c: sensor for c, sensor in sensors.items() if sensor.source == RING}
        self._seen: dict[str, dict[float, float]] = {channel: {} for channel in self._rings}
        self._since = CLOCK.time() - BEFORE_S

    def __call__(self) -> None:
        """Read each ring; one that does not answer leaves a gap."""
        for channel, ring in self._rings.items():
            with suppress(SensorError):
                self._seen[channel].update(ring.read(self._since))

    @property
    def samples(self) -> Samples:
        """What was read so far."""
        return {channel: sorted(seen.items()) for channel, seen in self._seen.items()}


class HelperCollector:
    """Collects the samples in a helper process, which sleeps between its reads.

    The process is started once, with the meter, and collects nothing outside windows.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        """Start the process and wait until it is ready.

        Raises:
            SensorError: The process did not start.
        """
        named = {device.channel: device.candidate.uuid for device in devices}
        module = "pytest_energy.meters.nvml.sources.helper"
        try:
            self._helper = HelperProcess(module, [dumps(named)])
        except HelperLostError as lost:
            message = f"the process that collects power samples {lost}"
            raise SensorError(ReasonCode.METER_FAILED, message) from None
        self._collecting = False
        self._ask("ready")

    def begin(self) -> None:
        """Start collecting; samples of a window that was never ended are dropped."""
        self._ask("begin")
        self._collecting = True

    def end(self) -> Samples:
        """Stop collecting, and return the samples."""
        if not self._collecting:
            message = "a later window took them; end each window before the next one begins"
            raise SensorError(ReasonCode.METER_FAILED, message)
        self._collecting = False
        return {
            channel: [(float(time_s), float(power_w)) for time_s, power_w in samples]
            for channel, samples in self._ask("end").items()
        }

    def close(self) -> None:
        """End the process."""
        self._helper.close()

    def _ask(self, question: str) -> dict[str, list[Sample]]:
        try:
            answer: dict[str, list[Sample]] = self._helper.ask(question)
        except HelperLostError as lost:
            message = f"the process that collects power samples {lost}"
            raise SensorError(ReasonCode.METER_FAILED, message) from None
        return answer
