"""Joules by power samples, for devices that do not count energy.

A sample tells the mean power over the sensor's window before it; the time from sample to sample is
its period. All samples from the last one before the window to one after it are summed, and the
idle energy of what lies outside the window is taken off, as with a counter. Where the sensor looks
at a part w of each period T only, a step of the load at an unknown moment of the period is seen as
if it had come up to T − w earlier or later: with the height of the step this gives the uncertainty
of each edge.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.collector import Samples
from pytest_energy.meters.nvml.sources.counter_source import Joules, with_unseen
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, Sample
from pytest_energy.model.measurement import Quantity, ReasonCode
from pytest_energy.model.traces import integrate
from pytest_energy.uncertainty.gum import combine, standard_error, uniform
from pytest_energy.uncertainty.rounds import mean_of

SAMPLES_AFTER = 3
"""So many samples after the window tell the power that the device then idles at."""
SHORTEST_PERIODS = 10
"""A window of fewer samples is not resolved: its edges make out too much of it."""
LONGEST_GAP_PERIODS = 5
"""Samples further apart than so many periods leave a gap that is told."""

LARGEST_MISS = 0.43
"""A sensor that looks away was wrong by up to this share, whatever the window's length, on loads
that repeat each 50 to 100 ms. Source: arXiv 2312.02741."""


class PowerSource:
    """The power sensors of some devices."""

    name = "power"

    def __init__(self, sensors: Mapping[str, PowerSensor], samples: Samples) -> None:
        """Take the idle power from samples of idle devices, by channel.

        Raises:
            SensorError: A sensor gave no samples.
        """
        self._sensors = sensors
        self.channels = tuple(sensors)
        self.period_s = max(sensor.period_s for sensor in sensors.values())
        self.idle_power_w = {c: sampled_idle_power(c, samples.get(c, ())) for c in sensors}

    @property
    def shortest_window_s(self) -> float:
        """Ten samples: the edges of a shorter window make out too much of it."""
        return SHORTEST_PERIODS * self.period_s

    @property
    def settling_s(self) -> float:
        """How long samples are needed before a window, and after it."""
        return (SAMPLES_AFTER + 1) * self.period_s

    def joules(
        self, samples: Samples, started: float, ended: float
    ) -> dict[str, Joules | SensorError]:
        """The joules of each channel between two moments.

        Args:
            samples: From :attr:`settling_s` before the window to as long after it.
            started: When the window began, in seconds since the epoch.
            ended: When it ended.
        """
        return {c: self._joules(c, samples.get(c, ()), started, ended) for c in self.channels}

    def _joules(
        self, channel: str, samples: Sequence[Sample], started: float, ended: float
    ) -> Joules | SensorError:
        sensor = self._sensors[channel]
        before = [sample for sample in samples if sample[0] <= started]
        after = [sample for sample in samples if sample[0] >= ended + sensor.period_s]
        if not before or not after:
            return SensorError(
                ReasonCode.DATA_GAP, f"{channel}: no power samples around the window's edges"
            )
        kept = [before[-1], *(s for s in samples if before[-1][0] < s[0] <= after[-1][0])]
        gap_s = max(later[0] - earlier[0] for earlier, later in pairwise(kept))
        if gap_s > LONGEST_GAP_PERIODS * sensor.period_s:
            return SensorError(
                ReasonCode.DATA_GAP,
                f"{channel}: no power samples for {gap_s:.3g} s, where the sensor gives one each "
                f"{sensor.period_s:.3g} s",
            )
        after_w = [power_w for _, power_w in after]
        used = sampled_joules(kept, after_w, started, ended, sensor.unseen_s)
        if not sensor.part_time:
            return used
        return with_unseen(used, largest_miss(used.energy_j))


def largest_miss(energy_j: float) -> float:
    """Standard uncertainty of joules of which nothing is known but :data:`LARGEST_MISS`."""
    return LARGEST_MISS * abs(energy_j) / math.sqrt(3)


def sampled_joules(
    samples: Sequence[Sample],
    after_w: Sequence[float],
    started: float,
    ended: float,
    unseen_s: float,
) -> Joules:
    """The joules between two moments by samples from before the first to after the second.

    Args:
        samples: The first of them not after ``started``; oldest first.
        after_w: The power that the device idles at afterwards.
        started: When the window began, in seconds since the epoch.
        ended: When it ended.
        unseen_s: The part of each period that the sensor does not see.
    """
    times, powers_w = zip(*samples, strict=True)
    total_j = integrate(times, powers_w, times[0], times[-1])
    before_s, after_s = started - times[0], times[-1] - ended
    gap_w = statistics.fmean(after_w)
    outside_j = powers_w[0] * before_s + gap_w * after_s
    energy_j = total_j - outside_j
    step_w = energy_j / (ended - started) - gap_w
    edges_j = math.sqrt(2) * abs(step_w) * uniform(unseen_s + _STAMP_S)
    return Joules(
        energy_j=energy_j,
        budget={"edges": combine((edges_j, standard_error(after_w) * after_s))},
        rest_w=gap_w,
    )


_STAMP_S = 1e-3
"""Time stamps of samples are right to about a millisecond."""


def sampled_idle_power(channel: str, samples: Sequence[Sample]) -> Quantity:
    """The mean of samples of an idle device.

    Raises:
        SensorError: There are none.
    """
    if len(samples) < 2:
        raise SensorError(ReasonCode.METER_FAILED, f"{channel}: the power sensor gives no samples")
    return mean_of([power_w for _, power_w in samples], "W")
