"""The relative change between two sets of runs, with an interval: functions of numbers.

A run's value differs from the next run's for two reasons. *Within* a run, its rounds scatter and
the sensor has a resolution: that much is known of each run by itself. *Between* runs, temperature,
placement and clocks differ: that is learnt from the accepted runs of a baseline, and assumed
(:class:`Prior`) before there are enough of them.

Everything is done on logarithms, so that a doubling and a halving are equally far from no change.

Sources: random effects by moments, DerSimonian and Laird, *Controlled Clinical Trials* 7 (1986);
the assumed scatter counted as so many observations, Smyth, *Statistical Applications in Genetics
and Molecular Biology* 3 (2004), eq. 3.2; effective degrees of freedom, JCGM 100:2008, G.4.1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_energy.uncertainty.gum import (
    COVERAGE,
    combine,
    effective_degrees_of_freedom,
    t_quantile,
)


@dataclass(frozen=True)
class Estimate:
    """The value that one run found."""

    value: float
    """Above zero."""
    standard: float = 0.0
    """Standard uncertainty from within the run, in the unit of ``value``."""
    degrees_of_freedom: float = math.inf

    @property
    def relative(self) -> float:
        """Standard uncertainty as a fraction of the value."""
        return self.standard / self.value


@dataclass(frozen=True)
class Prior:
    """What is assumed of the scatter between runs before it has been seen."""

    relative: float = 0.01
    """Standard deviation between runs, as a fraction."""
    weight: float = 8.0
    """How many observations the assumption counts for."""


@dataclass(frozen=True)
class Scatter:
    """The scatter between runs, as far as it is known."""

    relative: float
    """Standard deviation between runs, as a fraction; what rounds within a run explain is off."""
    degrees_of_freedom: float
    runs: int
    """How many accepted runs told of it."""


@dataclass(frozen=True)
class Change:
    """A relative change (0.09 is +9 %) and what is known of its uncertainty."""

    log_ratio: float
    standard: float
    """Standard uncertainty of ``log_ratio``."""
    degrees_of_freedom: float = math.inf

    @property
    def relative(self) -> float:
        """The change as a fraction of the older value."""
        return math.expm1(self.log_ratio)

    def interval(self, coverage: float = COVERAGE) -> tuple[float, float]:
        """Lower and upper end of the relative change."""
        half = self._half((1 + coverage) / 2)
        return math.expm1(self.log_ratio - half), math.expm1(self.log_ratio + half)

    def differs(self, significance: float) -> bool:
        """Whether 'nothing has changed' is refused at this two-sided significance."""
        return abs(self.log_ratio) > self._half(1 - significance / 2)

    def _half(self, probability: float) -> float:
        if self.standard == 0:
            return 0.0
        return t_quantile(self.degrees_of_freedom, probability) * self.standard


def learn_scatter(levels: Iterable[Sequence[Estimate]], prior: Prior = Prior()) -> Scatter:
    """The scatter between runs from accepted ones.

    Args:
        levels: Runs between which nothing is known to have changed, level by level.
        prior: What is assumed, and how much it counts.
    """
    known = [level for level in levels if len(level) > 1]
    freedom = sum(len(level) - 1 for level in known)
    squares = sum(
        (len(level) - 1) * statistics.variance([math.log(run.value) for run in level])
        for level in known
    )
    within = sum((len(level) - 1) * _mean_square(level) for level in known)
    variance = (prior.weight * prior.relative**2 + squares - within) / (prior.weight + freedom)
    runs = sum(len(level) for level in known)
    return Scatter(math.sqrt(max(variance, 0.0)), prior.weight + freedom, runs)


def _mean_square(runs: Sequence[Estimate]) -> float:
    return statistics.fmean(run.relative**2 for run in runs)


def steadied(new: Estimate, old: Sequence[Estimate]) -> Estimate:
    """``new`` with the scatter of its few rounds held against that of the older runs' rounds.

    Rounds of both are pooled for their degrees of freedom; a run whose own rounds scatter more
    than that keeps its own scatter, so that a noisy day never looks calmer than it was.
    """
    rounds = [run for run in (new, *old) if not math.isinf(run.degrees_of_freedom)]
    freedom = sum(run.degrees_of_freedom for run in rounds)
    if new not in rounds or freedom == new.degrees_of_freedom:
        return new
    squares = sum(run.degrees_of_freedom * _round_variance(run) for run in rounds)
    variance = max(squares / freedom, _round_variance(new))
    standard = new.value * math.sqrt(variance / (new.degrees_of_freedom + 1))
    return Estimate(new.value, standard, freedom)


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
    """From the mean of ``old`` to ``new``.

    Args:
        new: The mean over all visits to the benchmark.
        old: One estimate an accepted run.
        scatter: The scatter between runs; divided by how many runs each side is the mean of.
        visits: How many visits ``new`` is the mean of.
        extra: A further relative standard uncertainty of the ratio (two boards' gains, say).
    """
    within = steadied(new, old)
    between = scatter.relative * math.sqrt(1 / visits + 1 / len(old))
    terms = [
        (between, scatter.degrees_of_freedom),
        (extra, math.inf),
        (within.relative, within.degrees_of_freedom),
        *((run.relative / len(old), run.degrees_of_freedom) for run in old),
    ]
    return Change(
        math.log(new.value) - statistics.fmean(math.log(run.value) for run in old),
        combine(term for term, _ in terms),
        effective_degrees_of_freedom(terms),
    )
