"""What the power samples of a window tell, beside a counter or in its place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample
from pytest_energy.meters.nvml.sources.power_source import LONGEST_GAP_PERIODS
from pytest_energy.model.measurement import Trace
from pytest_energy.model.traces import encode, integrate, reduce_samples

COMPARED_SAMPLES = 20
"""From so many samples on, the joules by power samples are compared with the counter's."""


def make_trace(
    channel: str, source: str, samples: Sequence[Sample], start: float, end: float
) -> Trace:
    """The power against time between two moments, in seconds since the epoch."""
    times, powers_w = zip(*samples, strict=True)
    inside = sum(start < time_s <= end for time_s in times)
    return encode(reduce_samples(times, powers_w, start, end), channel, source, inside)


def sampled_energy(
    sensor: PowerSensor | None, samples: Sequence[Sample], start: float, duration_s: float
) -> float | None:
    """The joules of a window by its power samples; ``None`` where they are too few to say."""
    if sensor is None or not samples or duration_s < COMPARED_SAMPLES * sensor.period_s:
        return None
    if longest_gap_s(samples, start, duration_s) > LONGEST_GAP_PERIODS * sensor.period_s:
        return None
    times, powers_w = zip(*samples, strict=True)
    return integrate(times, powers_w, start, start + duration_s)


def longest_gap_s(samples: Sequence[Sample], start: float, duration_s: float) -> float:
    """The longest time within a window for which there is no sample."""
    inside = [t - start for t, _ in samples if 0 < t - start < duration_s]
    return max(later - earlier for earlier, later in pairwise([0.0, *inside, duration_s]))
