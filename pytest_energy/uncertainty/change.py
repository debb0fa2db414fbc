"""The relative change between two sets of runs, with an interval: functions of numbers.

Runs differ for two reasons. *Within* a run, its rounds vary and the sensor has a resolution. Each
run shows this by itself. *Between* runs, temperature, placement and clocks differ. This variation
is estimated from the accepted runs of a baseline; while they are few, part of it is assumed
(:class:`Prior`).

All calculations use logarithms, so that a doubling and a halving are equally large changes.

Sources: random effects by moments, DerSimonian and Laird, *Controlled Clinical Trials* 7 (1986);
the prior as additional observations, Smyth, *Statistical Applications in Genetics
and Molecular Biology* 3 (2004), eq. 3.2; effective degrees of freedom, JCGM 100:2008, G.4.1.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pytest_energy.uncertainty.gum import (
    COVERAGE,
    combine,
    effective_degrees_of_freedom,
    t_quantile,
    variance,
)


@dataclass(frozen=True)
class Estimate:
    """The value of one run."""

    value: float
    """Above zero."""
    standard: float = 0.0
    """Standard uncertainty within the run, in the unit of ``value``."""
    degrees_of_freedom: float = math.inf

    @property
    def relative(self) -> float:
        """Standard uncertainty as a fraction of the value."""
        return self.standard / self.value


@dataclass(frozen=True)
class Prior:
    """The assumed variation between runs, before there are runs to estimate it from."""

    relative: float = 0.01
    """Standard deviation between runs, as a fraction."""
    weight: float = 8.0
    """Number of observations that the assumption counts as; 0 for no assumption."""


PRIOR: Final = Prior()


@dataclass(frozen=True)
class Scatter:
    """The variation between runs, as far as it is known."""

    relative: float
    """Standard deviation between runs, as a fraction, without the variation within runs."""
    degrees_of_freedom: float
    runs: int
    """Number of accepted runs that it was estimated from."""


@dataclass(frozen=True)
class Change:
    """A relative change (0.09 is +9 %) with its uncertainty."""

    log_ratio: float
    standard: float
    """Standard uncertainty of ``log_ratio``."""
    degrees_of_freedom: float = math.inf

    @property
    def relative(self) -> float:
        """The change as a fraction of the older value."""
        return math.expm1(self.log_ratio)

    def interval(self, coverage: float = COVERAGE) -> tuple[float, float]:
        """Lower and upper end of the interval of the relative change."""
        half = self._half((1 + coverage) / 2)
        return math.expm1(self.log_ratio - half), math.expm1(self.log_ratio + half)

    def differs(self, significance: float) -> bool:
        """Whether 'no change' is rejected at this two-sided significance level."""
        return abs(self.log_ratio) > self._half(1 - significance / 2)

    def without(self, shift: Change) -> Change:
        """What is left of the change when a shift that others share is taken off."""
        terms = [(one.standard, one.degrees_of_freedom) for one in (self, shift)]
        return Change(
            self.log_ratio - shift.log_ratio,
            combine(term for term, _ in terms),
            effective_degrees_of_freedom(terms),
        )

    def _half(self, probability: float) -> float:
        if self.standard == 0:
            return 0.0
        return t_quantile(self.degrees_of_freedom, probability) * self.standard


def learn_scatter(levels: Iterable[Sequence[Estimate]], prior: Prior = PRIOR) -> Scatter:
    """Estimate the variation between runs.

    Args:
        levels: Accepted runs, level by level. Within a level there was no known change.
        prior: The assumption, with its weight.
    """
    repeated = [level for level in levels if len(level) > 1]
    freedom = sum(len(level) - 1 for level in repeated)
    squares = sum(
        (len(level) - 1) * variance([math.log(run.value) for run in level]) for level in repeated
    )
    total = prior.weight + freedom
    if not total:
        return Scatter(0.0, math.inf, 0)
    within = sum((len(level) - 1) * _mean_square(level) for level in repeated)
    # Runs vary by what differs between them and by what varies within each. The second part is
    # subtracted (DerSimonian and Laird's moment estimate), since a change counts it by itself.
    between = (prior.weight * prior.relative**2 + squares - within) / total
    runs = sum(len(level) for level in repeated)
    return Scatter(math.sqrt(max(between, 0.0)), total, runs)


OUTLYING: Final = 0.02
"""Smallest distance, as a fraction, at which a first run may be left out."""
OUTLYING_SIGNIFICANCE: Final = 0.001
FEWEST_OTHERS: Final = 4
"""Runs after the first that it takes to judge the first by them."""


def outlying_first(values: Sequence[float]) -> float | None:
    """How far the first of several runs is from the others, if it does not belong to them.

    The first run on a machine that has not settled may be 7 to 14 % off, and would then spoil the
    mean and the scatter of all. It is judged by the prediction interval of the others.

    Args:
        values: One per run, in the order of measurement, above zero.

    Returns:
        The distance as a fraction (0.07 is 7 % above the others); ``None`` if the first belongs.
    """
    first, *others = (math.log(value) for value in values)
    if len(others) < FEWEST_OTHERS:
        return None
    distance = first - statistics.fmean(others)
    standard = math.sqrt(variance(others)) * math.sqrt(1 + 1 / len(others))
    bound = t_quantile(len(others) - 1, 1 - OUTLYING_SIGNIFICANCE / 2) * standard
    return math.expm1(distance) if abs(distance) > max(bound, OUTLYING) else None


def _mean_square(runs: Sequence[Estimate]) -> float:
    return statistics.fmean(run.relative**2 for run in runs)


def pool_round_variance(new: Estimate, freedom: float, squares: float) -> Estimate:
    """``new`` with an uncertainty from its own rounds and those of the older runs.

    Few rounds estimate their variance badly, so the rounds of all runs are pooled. If the new
    rounds vary more than the pool, their own variance counts, so that a noisy day never looks
    calmer than it was.

    Args:
        new: The new rounds.
        freedom: Degrees of freedom of the older rounds, see :func:`rounds_of`.
        squares: Their sum of squares, likewise.
    """
    own = new.degrees_of_freedom
    if math.isinf(own) or not freedom:
        return new
    variance = _round_variance(new)
    pooled = (squares + own * variance) / (freedom + own)
    standard = new.value * math.sqrt(max(pooled, variance) / (own + 1))
    return Estimate(new.value, standard, freedom + own)


def rounds_of(runs: Iterable[Estimate]) -> tuple[float, float]:
    """Degrees of freedom of the rounds of all runs, and the sum of their relative squares."""
    repeated = [run for run in runs if not math.isinf(run.degrees_of_freedom)]
    squares = sum([run.degrees_of_freedom * _round_variance(run) for run in repeated])
    return sum([run.degrees_of_freedom for run in repeated]), squares


def _round_variance(run: Estimate) -> float:
    """Relative variance of a single round of a run."""
    return run.relative**2 * (run.degrees_of_freedom + 1)


def relative_change(
    new: Estimate,
    old: Sequence[Estimate],
    scatter: Scatter,
    visits: int = 1,
    extra: float = 0.0,
) -> Change:
    """The change from the mean of ``old`` to ``new``.

    Args:
        new: The mean over all visits to the benchmark.
        old: One estimate per accepted run.
        scatter: The variation between single runs.
        visits: Number of visits that ``new`` is the mean of.
        extra: Another relative standard uncertainty of the ratio, such as two boards' gains.
    """
    return changes_from(old)(new, scatter, visits, extra)


class ChangeFrom(Protocol):
    """:func:`relative_change` from some runs."""

    def __call__(self, new: Estimate, scatter: Scatter, visits: int, extra: float = 0.0) -> Change:
        """The change to ``new``."""


def changes_from(old: Sequence[Estimate]) -> ChangeFrom:
    """:func:`relative_change` from these runs; what all changes from them share is computed once.

    A session asks ten times for each of its baselines, and there may be thousands.
    """
    count, mean_log = len(old), statistics.fmean([math.log(run.value) for run in old])
    rounds = rounds_of(old)
    shares = [(run.relative / count, run.degrees_of_freedom) for run in old]
    of_old = (combine(share for share, _ in shares), effective_degrees_of_freedom(shares))

    def change(new: Estimate, scatter: Scatter, visits: int, extra: float = 0.0) -> Change:
        within = pool_round_variance(new, *rounds)
        between = scatter.relative * math.sqrt(1 / visits + 1 / count)
        terms = [
            (between, scatter.degrees_of_freedom),
            (extra, math.inf),
            (within.relative, within.degrees_of_freedom),
            of_old,
        ]
        return Change(
            math.log(new.value) - mean_log,
            combine(term for term, _ in terms),
            effective_degrees_of_freedom(terms),
        )

    return change


def median_change(log_ratios: Sequence[float]) -> Change:
    """The median of many benchmarks' changes, with its uncertainty.

    The scatter is taken from the median absolute deviation, so that neither the median nor its
    uncertainty follows the few benchmarks that did change. The median of normal values scatters by
    √(π/2) times as much as their mean.

    Args:
        log_ratios: Logarithms of new over old, in ascending order, at least two.
    """
    count = len(log_ratios)
    median = (log_ratios[(count - 1) // 2] + log_ratios[count // 2]) / 2
    deviation = _median_distance(log_ratios, median)
    scatter = statistics.NormalDist().inv_cdf(0.75) ** -1 * deviation
    return Change(median, math.sqrt(math.pi / 2 / count) * scatter, count - 1)


def _median_distance(ascending: Sequence[float], centre: float) -> float:
    """The median of the distances from a centre, found without looking at each of them."""

    def nth(number: int) -> float:
        # The nearest values are neighbours: a bisection finds where they begin.
        first = bisect_left(
            range(len(ascending) - number),
            True,
            key=lambda place: centre - ascending[place] <= ascending[place + number] - centre,
        )
        return max(centre - ascending[first], ascending[first + number - 1] - centre)

    count = len(ascending)
    return (nth((count + 1) // 2) + nth(count // 2 + 1)) / 2
