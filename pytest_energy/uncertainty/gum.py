"""Intervals and combined uncertainty: functions of numbers.

Source: JCGM 100:2008, *Guide to the expression of uncertainty in measurement* (GUM).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from functools import lru_cache

COVERAGE = 0.95
"""Coverage probability of expanded uncertainties."""


@lru_cache(maxsize=1024)
def t_quantile(degrees_of_freedom: float, probability: float = (1 + COVERAGE) / 2) -> float:
    """Quantile of Student's t distribution; of the normal one for infinite degrees of freedom."""
    if math.isinf(degrees_of_freedom):
        return statistics.NormalDist().inv_cdf(probability)
    from scipy.special import stdtrit  # slow to import, and not needed without rounds

    return float(stdtrit(degrees_of_freedom, probability))


def variance(values: Sequence[float]) -> float:
    """Variance of two observations or more, as that of a sample (GUM 4.2.2).

    It agrees with :func:`statistics.variance` to 1e-12, without that function's exact fractions,
    which cost most of the time of a verdict. Distances from the first observation keep the digits
    that close observations differ in, and are zero for equal ones.
    """
    first = values[0]
    distances = [value - first for value in values]
    mean = sum(distances) / len(distances)
    return sum([(distance - mean) ** 2 for distance in distances]) / (len(distances) - 1)


def standard_error(values: Sequence[float]) -> float:
    """Standard uncertainty of the mean of repeated observations (GUM 4.2.3); 0 for one value."""
    if len(values) < 2:
        return 0.0
    return math.sqrt(variance(values) / len(values))


def combine(terms: Iterable[float]) -> float:
    """Combined standard uncertainty of uncorrelated terms (GUM 5.1.2)."""
    return math.hypot(*terms)


def no_loss(gain: float, *uncertainties: float | None) -> bool:
    """Whether a difference of two values is not below zero by more than their uncertainties."""
    return gain >= -combine(uncertainty or 0.0 for uncertainty in uncertainties)


def effective_degrees_of_freedom(
    terms: Iterable[tuple[float, float]],
) -> float:
    """Welch-Satterthwaite formula (GUM G.4.1).

    Args:
        terms: Pairs of a standard uncertainty and its degrees of freedom, which may be infinite.

    Returns:
        The effective degrees of freedom of the combination; infinite without a finite term.
    """
    pairs = list(terms)
    weight = sum(u**4 / nu for u, nu in pairs if u > 0 and not math.isinf(nu))
    if weight == 0:
        return math.inf
    return combine(u for u, _ in pairs) ** 4 / weight


def expand(standard: float, degrees_of_freedom: float = math.inf) -> float:
    """Expanded uncertainty for :data:`COVERAGE` (GUM G.6.4)."""
    return t_quantile(degrees_of_freedom) * standard


def uniform(full_width: float) -> float:
    """Standard uncertainty of a value known only to lie in an interval (GUM 4.3.7)."""
    return full_width / math.sqrt(12)


def bounded(full_width: float) -> float:
    """Standard uncertainty of a value known only to lie in an interval, if it may dominate.

    95 % of the values of a uniform distribution lie within 0.95 of half its width, which are 1.65
    of its standard deviations (EA-4/02 M:2022, example S9). :func:`expand` would make them
    1.96 and contain all values.
    """
    return COVERAGE * full_width / 2 / t_quantile(math.inf)


def significant(value: float, digits: int) -> float:
    """Round to a number of significant digits."""
    return float(f"{value:.{digits}g}")
