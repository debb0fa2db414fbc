"""Traces and joules from the power samples of a window, to compare with an energy counter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample
from pytest_energy.meters.nvml.sources.power_source import LONGEST_GAP_PERIODS
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import Trace
from pytest_energy.model.traces import encode, integrate, reduce_samples
from pytest_energy.uncertainty.gum import combine, expand, uniform

EDGELESS_SAMPLES = 20
"""With so many samples, those at the edges of a window hardly matter."""
FEWEST_SAMPLES = 3
"""With fewer, the edges are all that there is."""
LATE_PERIODS = 2
"""The samples of a slow sensor follow the power by up to so many periods."""


@dataclass(frozen=True)
class SampledEnergy:
    """The joules of a window by its power samples, and how far the samples at its edges reach."""

    energy_j: float
    edges_j: float = 0.0
    """Half-width of the 95 % interval, because an edge lies anywhere within a sample's period."""
    late_j: float = 0.0
    """What a sensor that follows the power late may have missed."""


def make_trace(channel: str, source: str, samples: Sequence[Sample], window: Span) -> Trace:
    """The power against time in a window, which is in seconds since the epoch."""
    times, powers_w = zip(*samples, strict=True)
    inside = sum(window.start_s < time_s <= window.end_s for time_s in times)
    reduced = reduce_samples(times, powers_w, window.start_s, window.end_s)
    return encode(reduced, channel, source, inside)


def sampled_energy(
    sensor: PowerSensor | None, samples: Sequence[Sample], window: Span
) -> SampledEnergy | None:
    """The joules of a window from its power samples; ``None`` if there are too few of them."""
    if sensor is None or not samples or window.duration_s < FEWEST_SAMPLES * sensor.period_s:
        return None
    if longest_gap_s(samples, window) > LONGEST_GAP_PERIODS * sensor.period_s:
        return None
    times, powers_w = zip(*samples, strict=True)
    energy_j = integrate(times, powers_w, window.start_s, window.end_s)
    if window.duration_s >= EDGELESS_SAMPLES * sensor.period_s:
        return SampledEnergy(energy_j)
    period_j = energy_j / window.duration_s * sensor.period_s
    edges_j = expand(combine(2 * [uniform(period_j)]))
    return SampledEnergy(energy_j, edges_j, LATE_PERIODS * period_j)


def sampled_load(
    sensor: PowerSensor, samples: Sequence[Sample], span: Span, load_s: float
) -> SampledEnergy | None:
    """The joules of a steady load and of the rest around it; ``None`` if there are too few samples.

    A sensor that sees a part of each period sees a steady load rightly, except in the two periods
    in which it begins and ends.

    Args:
        sensor: The sensor.
        samples: Its samples, oldest first.
        span: From rest to rest, in seconds since the epoch.
        load_s: The length of the load.
    """
    sampled = sampled_energy(sensor, samples, span)
    if sampled is None:
        return None
    edges_j = combine(2 * [uniform(sensor.unseen_s)]) * sampled.energy_j / load_s
    return replace(sampled, edges_j=max(sampled.edges_j, expand(edges_j)))


def longest_gap_s(samples: Sequence[Sample], window: Span) -> float:
    """The longest time within a window without a sample."""
    ages_s = (time_s - window.start_s for time_s, _ in samples)
    inside_s = [age_s for age_s in ages_s if 0 < age_s < window.duration_s]
    moments_s = [0.0, *inside_s, window.duration_s]
    return max(later - earlier for earlier, later in pairwise(moments_s))
