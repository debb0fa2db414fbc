"""Traces and joules from the power samples of a window, to compare with an energy counter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample
from pytest_energy.meters.nvml.sources.power_source import LONGEST_GAP_PERIODS
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import Trace
from pytest_energy.model.traces import encode, integrate, reduce_samples

COMPARED_SAMPLES = 20
"""With fewer samples, their joules are not compared with the counter's."""


def make_trace(channel: str, source: str, samples: Sequence[Sample], window: Span) -> Trace:
    """The power against time in a window, which is in seconds since the epoch."""
    times, powers_w = zip(*samples, strict=True)
    inside = sum(window.start_s < time_s <= window.end_s for time_s in times)
    reduced = reduce_samples(times, powers_w, window.start_s, window.end_s)
    return encode(reduced, channel, source, inside)


def sampled_energy(
    sensor: PowerSensor | None, samples: Sequence[Sample], window: Span
) -> float | None:
    """The joules of a window from its power samples; ``None`` if there are too few of them."""
    if sensor is None or not samples or window.duration_s < COMPARED_SAMPLES * sensor.period_s:
        return None
    if longest_gap_s(samples, window) > LONGEST_GAP_PERIODS * sensor.period_s:
        return None
    times, powers_w = zip(*samples, strict=True)
    return integrate(times, powers_w, window.start_s, window.end_s)


def longest_gap_s(samples: Sequence[Sample], window: Span) -> float:
    """The longest time within a window without a sample."""
    ages_s = (time_s - window.start_s for time_s, _ in samples)
    inside_s = [age_s for age_s in ages_s if 0 < age_s < window.duration_s]
    moments_s = [0.0, *inside_s, window.duration_s]
    return max(later - earlier for earlier, later in pairwise(moments_s))
