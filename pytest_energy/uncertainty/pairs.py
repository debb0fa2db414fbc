"""The change between two revisions that were measured in alternation: functions of numbers.

In each *block* a fresh pair of processes measures base and head in turn, so that whatever the
machine does to both (temperature, clocks, driver) cancels in the difference of their logarithms.
The blocks of one benchmark are few, so its variance is moderated by those of the whole suite:
Student's t with a variance shrunk towards the suite's. Source: Smyth, *Statistical Applications in
Genetics and Molecular Biology* 3 (2004), sections 3 and 6.2.

The suite is looked at after fixed numbers of blocks. Looks and benchmarks share the permitted error
by Bonferroni's inequality, so that a suite in which nothing changed fails in at most
:data:`SUITE_ERROR` of its runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.gum import t_quantile, variance

LOOKS: Final = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
"""Numbers of blocks after which the suite is looked at by default; see :func:`looks_until`."""
LATER: Final = 8
"""Blocks between the looks after these."""
WITHIN_REASON: Final = 96
"""The largest number of blocks that is proposed."""
FEWEST_TO_FAIL: Final = 4
"""Blocks before a change may be called one: with a shared variance and fewer blocks, heavy tails
and unequal scatter give more false alarms than permitted."""
MOST_PRIOR_FREEDOM: Final = 8.0
"""Bound on the degrees of freedom that the suite's variance counts for, for the same reason."""
FEWEST_FOR_PRIOR: Final = 3
"""Benchmarks that it takes to learn a suite's variance."""
SUITE_ERROR: Final = 0.01
"""Chance that a suite without any change fails, at most."""
PROBABILITY: Final = 0.95
"""With which a rise that counts as visible is called regressed."""


@dataclass(frozen=True)
class PairLook:
    """What is known of one benchmark after some blocks."""

    outcome: Outcome | None
    """``None``: undecided, measure on."""
    change: float
    """Of head against base, relative (0.09 is +9 %)."""
    low: float
    """Lower end of the 95 % interval of ``change``."""
    high: float
    """Upper end of the 95 % interval of ``change``."""
    blocks: int
    standard: float
    """Standard uncertainty of the mean difference of logarithms."""
    degrees_of_freedom: float


@dataclass(frozen=True)
class SuiteVariance:
    """The variance of a single block that the suite's benchmarks have in common."""

    variance: float = 0.0
    """Of the difference of logarithms."""
    degrees_of_freedom: float = 0.0
    """How many it counts for beside a benchmark's own; zero where nothing is known."""

    def moderated(self, own: float, degrees_of_freedom: int) -> tuple[float, float]:
        """A benchmark's variance with the suite's, and its degrees of freedom (Smyth, 3)."""
        total = self.degrees_of_freedom + degrees_of_freedom
        weighted = self.degrees_of_freedom * self.variance + degrees_of_freedom * own
        return weighted / total, total


def looks_until(most_blocks: int) -> list[int]:
    """The numbers of blocks after which a suite is looked at, the last one included.

    Args:
        most_blocks: The largest number of blocks.
    """
    later = range(LOOKS[-1] + LATER, most_blocks, LATER)
    return [*(blocks for blocks in (*LOOKS, *later) if blocks < most_blocks), most_blocks]


def look(
    differences: Mapping[str, Sequence[float]],
    tolerances: Mapping[str, float],
    family: int | None = None,
    most_blocks: int = LOOKS[-1],
    *,
    final: bool = False,
) -> dict[str, PairLook]:
    """Judge every benchmark by its blocks.

    Args:
        differences: The logarithm of head / base of each block, by benchmark; two blocks or more.
        tolerances: The relative change that is accepted, by benchmark.
        family: How many benchmarks share the permitted error; all of these by default.
        most_blocks: After so many blocks an undecided benchmark is inconclusive.
        final: Whether a limit lets no further block follow. Then each benchmark has its last look,
            whatever its number of blocks: a limit of time ends between looks, and a benchmark that
            lost a block has fewer than the others.
    """
    suite = fit_suite_variance(differences.values())
    share = SUITE_ERROR / max(family or len(differences), 1)
    return {
        name: _look(blocks, tolerances[name], suite, share, most_blocks, final)
        for name, blocks in differences.items()
    }


def _look(
    blocks: Sequence[float],
    tolerance: float,
    suite: SuiteVariance,
    error: float,
    most_blocks: int,
    final: bool,
) -> PairLook:
    count = len(blocks)
    mean = statistics.fmean(blocks)
    moderated, freedom = suite.moderated(variance(blocks), count - 1)
    standard = math.sqrt(moderated / count)
    half = t_quantile(freedom) * standard
    looks = looks_until(most_blocks)
    outcome = None
    if count in looks or final:
        outcome = _decide(mean, standard, freedom, error * error_share(count, looks), tolerance)
    if outcome is None and (final or count >= most_blocks):
        outcome = Outcome.INCONCLUSIVE
    low, high = math.expm1(mean - half), math.expm1(mean + half)
    return PairLook(outcome, math.expm1(mean), low, high, count, standard, freedom)


def _decide(
    mean: float, standard: float, freedom: float, error: float, tolerance: float
) -> Outcome | None:
    """What a look says of a mean difference of logarithms; ``None``: undecided.

    A rise must be proven, and be estimated beyond the tolerance. To ask that the whole interval
    lies beyond it finds fewer true rises at the same rate of false alarms.
    """
    change, half = math.expm1(mean), t_quantile(freedom) * standard
    proven = error > 0 and abs(mean) > t_quantile(freedom, 1 - error) * standard
    if proven and abs(change) > tolerance:
        return Outcome.REGRESSED if change > 0 else Outcome.IMPROVED
    if -tolerance <= math.expm1(mean - half) and math.expm1(mean + half) <= tolerance:
        return Outcome.UNCHANGED
    return None


def further_blocks(
    found: PairLook, tolerance: float, family: int, most_blocks: int = LOOKS[-1]
) -> int | None:
    """How many more blocks would decide, if change and scatter stay what they are.

    Args:
        found: The last look at the benchmark.
        tolerance: The relative change that is accepted.
        family: How many benchmarks share the permitted error.
        most_blocks: The limit so far. If it has to be raised, the looks are those of the new one.

    Returns:
        ``None`` if no look up to :data:`WITHIN_REASON` blocks decides: the change is too close to
        the tolerance.
    """
    mean = math.log1p(found.change)
    for blocks in looks_until(max(most_blocks, WITHIN_REASON)):
        later = _later(found, blocks, max(blocks, most_blocks), family)
        if blocks > found.blocks and _decide(mean, *later, tolerance):
            return blocks - found.blocks
    return None


def _later(
    found: PairLook, blocks: int, most_blocks: int, family: int
) -> tuple[float, float, float]:
    """A later look, if blocks scatter as those so far: what :func:`_decide` asks of it.

    Returns:
        The standard uncertainty of the mean, its degrees of freedom and the permitted error.
    """
    freedom = found.degrees_of_freedom + blocks - found.blocks
    error = SUITE_ERROR / max(family, 1) * error_share(blocks, looks_until(most_blocks))
    return found.standard * math.sqrt(found.blocks / blocks), freedom, error


def smallest_change(
    found: PairLook,
    tolerance: float,
    family: int,
    most_blocks: int = LOOKS[-1],
    permitted: int | None = None,
) -> float | None:
    """The smallest relative rise that is called regressed, with a probability of 95 %.

    It is the power of one look, the best of those that the limit permits, if later blocks scatter
    as those so far. Source: a t test with a shifted t distribution in place of the noncentral one
    (Lachin, *Controlled Clinical Trials* 2 (1981)).

    Args:
        found: The last look at the benchmark; its mean does not matter.
        tolerance: The relative change that is accepted.
        family: How many benchmarks share the permitted error.
        most_blocks: The largest number of blocks; the permitted error is spent over them.
        permitted: The number of blocks for which there is time; all of these by default.

    Returns:
        ``None`` if the limits permit too few blocks to call anything a change.
    """
    visible = []
    for blocks in looks_until(most_blocks if permitted is None else permitted):
        if blocks < FEWEST_TO_FAIL:
            continue
        standard, freedom, error = _later(found, blocks, most_blocks, family)
        missed = t_quantile(freedom, PROBABILITY) * standard
        # Both conditions of a look: the estimate is beyond the tolerance, and the rise is proven.
        proven = t_quantile(freedom, 1 - error) * standard + missed
        visible.append(math.expm1(max(math.log1p(tolerance) + missed, proven)))
    return min(visible, default=None)


def error_share(blocks: int, looks: Sequence[int] = LOOKS) -> float:
    """The part of the permitted error that a look after so many blocks may spend.

    In proportion to the blocks since the look before; nothing before :data:`FEWEST_TO_FAIL`. A look
    between these, which a limit ends, has what was left since the last one.
    """
    if blocks < FEWEST_TO_FAIL:
        return 0.0
    before = max((count for count in looks if FEWEST_TO_FAIL <= count < blocks), default=0)
    return (blocks - before) / looks[-1]


def fit_suite_variance(suite: Iterable[Sequence[float]]) -> SuiteVariance:
    """Learn what the benchmarks' variances have in common, from their logarithms' moments.

    Source: Smyth 2004, section 6.2. A benchmark whose blocks agree to the last digit tells nothing
    and is left out.
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma

    known = [(variance(blocks), len(blocks) - 1) for blocks in suite if len(blocks) > 1]
    spread = [(own, freedom) for own, freedom in known if own > 0]
    if len(spread) < FEWEST_FOR_PRIOR:
        return SuiteVariance()
    moments = [_moments_of_logarithm(freedom) for _, freedom in spread]
    logs = [math.log(own) - mean for (own, _), (mean, _) in zip(spread, moments, strict=True)]
    excess = variance(logs) - statistics.fmean(of_logarithm for _, of_logarithm in moments)
    if excess <= _moments_of_logarithm(MOST_PRIOR_FREEDOM)[1]:
        freedom = MOST_PRIOR_FREEDOM
    else:
        freedom = 2 * brentq(
            lambda half: float(polygamma(1, half)) - excess, 1e-4, MOST_PRIOR_FREEDOM / 2
        )
    location = statistics.fmean(logs) + _moments_of_logarithm(freedom)[0]
    return SuiteVariance(math.exp(location), freedom)


@lru_cache(maxsize=1024)
def _moments_of_logarithm(freedom: float) -> tuple[float, float]:
    """Mean and variance of the logarithm of an estimated variance, if the true one is 1."""
    from scipy.special import digamma, polygamma

    half = freedom / 2
    return float(digamma(half)) - math.log(half), float(polygamma(1, half))
