"""Power samples of a device: from the driver's ring where it keeps one, else by asking.

The driver keeps the last hundred or so power samples with their time stamps. Reading that ring now
and then gives all samples with a few calls, where asking for the power finds each one only by
asking more often than it changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.devices.sensors import POWER_INSTANT
from pytest_energy.meters.nvml.driver import (
    ABSENT,
    LOST,
    Handle,
    failure,
    number,
    query,
    read_fields,
    require,
)

RING = "driver-ring"
ASKED = "helper-process"
RING_SAMPLES = 100
"""Rings hold at least so many. Seen: about 120."""
UNKNOWN_PERIOD_S = 0.1
"""Of a power sensor that is not in the table: that of all of them since Turing."""
SENSORS_S = {
    (6, 0): (0.02, 0.01),
    (6, 1): (0.02, 0.01),
    (7, 0): (0.02, 0.01),
    (7, 5): (0.1, 0.1),
    (8, 0): (0.1, 0.025),
    (8, 6): (0.1, 0.1),
    (8, 9): (0.1, 0.1),
    (9, 0): (0.1, 0.025),
}
"""How often the power sensor of a compute capability looks, and how long, in seconds.

Source: arXiv 2312.02741, table 2."""

_NONE_NEWER = {pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA}

Sample = tuple[float, float]
"""Seconds since the epoch, and watts."""


@dataclass(frozen=True)
class PowerSensor:
    """How a device's power samples are had."""

    source: str
    """:data:`RING` or :data:`ASKED`."""
    read: Callable[[float], list[Sample]]
    """All samples that are known and newer than a moment, oldest first."""
    pause_s: float
    """Read at least so often to miss nothing."""
    period_s: float
    """Between samples."""
    unseen_s: float = 0.0
    """The part of each period at which the sensor does not look."""

    @property
    def part_time(self) -> bool:
        """Whether a pulsing load may deceive the sensor, however long it is watched."""
        return self.unseen_s >= self.period_s / 10


def power_sensor(handle: Handle) -> PowerSensor | None:
    """The best way to a device's power samples; ``None`` where it has no power sensor.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    kept = _filled_ring(handle)
    if kept:
        period_s = median(b[0] - a[0] for a, b in pairwise(kept))
        span_s = max(kept[-1][0] - kept[0][0], RING_SAMPLES * period_s)
        unseen_s = max(0.0, period_s - sensor_timing(handle, period_s)[1])
        return PowerSensor(
            RING, lambda since: read_ring(handle, since) or [], span_s / 4, period_s, unseen_s
        )
    if read_power(handle) is not None:
        every_s, long_s = sensor_timing(handle, UNKNOWN_PERIOD_S)
        # an answer is up to a period old; asking more often would tell the same value again
        unseen_s = max(0.0, every_s - long_s) + every_s
        return PowerSensor(ASKED, lambda since: _asked(handle), every_s, every_s, unseen_s)
    return None


def sensor_timing(handle: Handle, otherwise_s: float) -> tuple[float, float]:
    """How often the power sensor looks and how long; of an unknown one as if for a moment only."""
    capability = query(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return SENSORS_S.get(tuple(capability or ()), (otherwise_s, 0.0))


def _filled_ring(handle: Handle) -> list[Sample]:
    """What is in the driver's ring; right after the driver was loaded that takes a moment."""
    for _ in range(10):
        kept = read_ring(handle, 0.0)
        if kept is None:
            return []
        if len(kept) > 2:
            return kept
        time.sleep(0.1)
    return []


def read_ring(handle: Handle, since: float) -> list[Sample] | None:
    """The samples in the driver's ring that are newer than ``since`` (seconds since the epoch).

    Returns:
        Oldest first; none where the driver fails to tell them; ``None`` where it keeps no ring.

    Raises:
        SensorError: The device is lost.
    """
    since_us = max(0, int(since * 1e6))
    try:
        kind, samples = pynvml.nvmlDeviceGetSamples(
            handle, pynvml.NVML_TOTAL_POWER_SAMPLES, since_us
        )
    except pynvml.NVMLError as error:
        if error.value in LOST:
            raise failure(error.value, "nvmlDeviceGetSamples") from None
        return None if error.value in ABSENT - _NONE_NEWER else []
    timed = [(s.timeStamp * 1e-6, number(s.sampleValue, kind) * 1e-3) for s in samples]
    return sorted(sample for sample in timed if sample[0] > since)


def read_power(handle: Handle) -> float | None:
    """The power in watts: instantaneous where the driver tells it, else as ``nvidia-smi`` has it.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    fields = read_fields(handle, (POWER_INSTANT,))
    if POWER_INSTANT in fields:
        return fields[POWER_INSTANT].value * 1e-3
    power_mw = require(pynvml.nvmlDeviceGetPowerUsage, handle)
    return None if power_mw is None else power_mw * 1e-3


def _asked(handle: Handle) -> list[Sample]:
    power_w = read_power(handle)
    return [] if power_w is None else [(time.time(), power_w)]
