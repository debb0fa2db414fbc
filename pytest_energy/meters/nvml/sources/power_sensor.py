"""Power samples of a device: from the driver's ring buffer, or by polling the power.

Most drivers keep about the last hundred power samples with their time stamps. A few reads of that
ring give all samples. Polling the power must be more frequent than its updates to find each one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.devices.scopes import MODULE_NAME, has_module, scope_of_power
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
POLLED = "helper-process"
BEFORE_S = 1.0
"""Samples from this long before a window are collected: they show the power before it."""
RING_SAMPLES = 100
"""The fewest samples that a ring holds. Observed: about 120."""
CLOCK_S = 0.25
"""Stamps that are further off than this, and than two periods, are those of another clock."""
PROMPT_PERIODS = 0.05
"""A new sample is seen within this share of a period, since the ring is read 50 times in one."""
WATCH_S = 0.3
WATCH_PERIODS = 3
OLDEST_PERIODS = 1.5
"""The newest sample of a ring is no older than this: the next one comes after one period."""
UNKNOWN_PERIOD_S = 0.1
"""Period of a sensor that is not in the table: that of all known sensors since Turing."""
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
"""Period and averaging window of the power sensor in seconds, by compute capability.

Source: arXiv 2312.02741, table 2."""

# A ring without newer samples answers with one of these codes; a missing ring with others.
_NONE_NEWER = {pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_NO_DATA}

Sample = tuple[float, float]
"""Time in seconds since the epoch, and power in watts."""


@dataclass(frozen=True)
class PowerSensor:
    """The way to read a device's power samples."""

    source: str
    """:data:`RING` or :data:`POLLED`."""
    read: Callable[[float], list[Sample]]
    """Returns the known samples that are newer than a moment, oldest first."""
    pause_s: float
    """The longest pause between two reads that misses no sample."""
    period_s: float
    """Between samples."""
    unseen_s: float = 0.0
    """The part of each period that the sensor does not average."""
    stamps_off_s: float = 0.0
    """By how much the stamps may be off: a new sample's stamp differed by this from its arrival."""

    @property
    def part_time(self) -> bool:
        """Whether a periodic load may deceive the sensor in windows of any length."""
        return self.unseen_s >= self.period_s / 10


def power_sensor(handle: Handle) -> PowerSensor | None:
    """The best way to read a device's power samples; ``None`` if it has no power sensor.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    samples = _filled_ring(handle)
    if samples and not _of_module(handle, samples):
        period_s = _period_s([time_s for time_s, _ in samples])
        span_s = max(samples[-1][0] - samples[0][0], RING_SAMPLES * period_s)
        unseen_s = max(0.0, period_s - sensor_timing(handle, period_s)[1])
        off_s = _clock_offset_s(handle, samples[-1][0], period_s)
        believed = abs(off_s) <= max(CLOCK_S, 2 * period_s)
        clock = RingClock(0.0 if believed else off_s, period_s)
        return PowerSensor(
            RING,
            lambda since: _shifted(handle, since, clock),
            span_s / 4,
            period_s,
            unseen_s,
            abs(off_s) if believed and abs(off_s) > PROMPT_PERIODS * period_s else 0.0,
        )
    if read_power(handle) is not None:
        period_s, averaged_s = sensor_timing(handle, UNKNOWN_PERIOD_S)
        # an answer is up to one period old; faster polling would read the same value again
        unseen_s = max(0.0, period_s - averaged_s) + period_s
        return PowerSensor(POLLED, lambda since: _polled(handle), period_s, period_s, unseen_s)
    return None


def _period_s(stamps_s: Sequence[float]) -> float:
    """The time between samples; their stamps need not be exact, and some samples may be missing."""
    about_s = median(later - earlier for earlier, later in pairwise(stamps_s))
    span_s = stamps_s[-1] - stamps_s[0]
    return span_s / max(1, round(span_s / about_s))


def sensor_timing(handle: Handle, default_s: float) -> tuple[float, float]:
    """Period and averaging window of the power sensor; an unknown one averages nothing."""
    capability = query(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
    return SENSORS_S.get(tuple(capability or ()), (default_s, 0.0))


def _filled_ring(handle: Handle) -> list[Sample]:
    """The samples in the driver's ring; a driver that was just loaded needs a moment to fill it."""
    for _ in range(10):
        samples = read_ring(handle, 0.0)
        if samples is None:
            return []
        if len(samples) > 2:
            return samples
        CLOCK.sleep(0.1)
    return []


def _clock_offset_s(handle: Handle, newest_s: float, period_s: float) -> float:
    """By how much the ring's stamps are early, which some drivers take from another clock.

    The next sample is awaited: it is new, and so its stamp is that of now, unless the ring shows
    samples late. If none comes, the stamps are believed.
    """
    until_s = CLOCK.monotonic() + max(WATCH_S, WATCH_PERIODS * period_s)
    while CLOCK.monotonic() < until_s:
        samples = read_ring(handle, 0.0)
        if samples and samples[-1][0] != newest_s:
            return CLOCK.time() - samples[-1][0]
        CLOCK.sleep(period_s / 50)
    return 0.0


@dataclass
class RingClock:
    """The clock of a ring's stamps, which may drift against this machine's."""

    offset_s: float
    """What to add to a stamp; 0 if the stamps are seconds since the epoch."""
    period_s: float
    """Between samples."""

    def follow(self, newest_s: float, now_s: float) -> None:
        """Correct the offset by the newest sample, which is neither of the future nor old.

        A correction of more than a period is no drift: the ring stands still, or a clock was set.
        """
        age_s = now_s - newest_s - self.offset_s
        excess_s = min(age_s, 0.0) + max(age_s - OLDEST_PERIODS * self.period_s, 0.0)
        if self.offset_s and abs(excess_s) <= self.period_s:
            self.offset_s += excess_s


def _shifted(handle: Handle, since: float, clock: RingClock) -> list[Sample]:
    """The samples newer than ``since``, with stamps in seconds since the epoch."""
    samples = read_ring(handle, since - clock.offset_s) or []
    if samples:
        clock.follow(samples[-1][0], CLOCK.time())
    return [(time_s + clock.offset_s, power_w) for time_s, power_w in samples]


def _of_module(handle: Handle, samples: list[Sample]) -> bool:
    """Whether the ring has the power of a whole module; polling has that of its GPU."""
    return has_module(handle) and scope_of_power(handle, samples[-1][1]) == MODULE_NAME


def read_ring(handle: Handle, since: float) -> list[Sample] | None:
    """The samples in the driver's ring that are newer than ``since`` (seconds since the epoch).

    Returns:
        Oldest first; empty if the driver fails to return them; ``None`` if it keeps no ring.

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
    # by stamp: some rings have a sample several times
    timed = {s.timeStamp * 1e-6: number(s.sampleValue, kind) * 1e-3 for s in samples}
    return sorted(sample for sample in timed.items() if sample[0] > since)


def read_power(handle: Handle) -> float | None:
    """The power in watts: the instantaneous power, or the one that ``nvidia-smi`` shows.

    Raises:
        SensorError: The device is lost, or fails in another way.
    """
    fields = read_fields(handle, (POWER_INSTANT,))
    if POWER_INSTANT in fields:
        return fields[POWER_INSTANT].value * 1e-3
    power_mw = require(pynvml.nvmlDeviceGetPowerUsage, handle)
    return None if power_mw is None else power_mw * 1e-3


def _polled(handle: Handle) -> list[Sample]:
    power_w = read_power(handle)
    return [] if power_w is None else [(CLOCK.time(), power_w)]
