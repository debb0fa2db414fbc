"""Change points: where the level of a series changes for good. Functions of numbers.

Candidates come from E-divisive means: the split at which the energy distance between both sides is
largest (Matteson and James, *Journal of the American Statistical Association* 109 (2014), eq. 2.7,
with α = 1), in windows that overlap by half, recursively. A candidate stays if Welch's t-test tells
the sides apart; those that do not are taken away, the weakest first, until all that are left do
(Fleming et al., *Hunter*, ICPE 2023).

A series holds logarithms, so that a difference is a relative change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pytest_energy.uncertainty.gum import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW: Final = 60
"""Points in which candidates are searched together."""
FEWEST_AFTER: Final = 3
"""The fewest points on each side of a change."""
MOST_CHANCE: Final = 0.001
"""The largest probability by chance, of Welch's test, of a change that is reported."""
_PLACE: Final = 3.84
"""The 95 % quantile of χ² with one degree of freedom, for the interval of a change's place."""


@dataclass(frozen=True)
class Step:
    """A change of level before a point of the series."""

    index: int
    """The first point of the new level."""
    earliest: int
    """The first place that the data do not exclude (95 %)."""
    latest: int
    """The last such place."""
    before: int
    """Points of the old level."""
    after: int
    """Points of the new level, up to the next change."""
    log_ratio: float
    """Logarithm of new over old."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""
    chance: float
    """The probability of such a difference without a change: Welch's t-test, two-sided."""


def find_steps(values: Sequence[float], least: float = 0.0) -> list[Step]:
    """The changes of level in a series, in its order.

    Args:
        values: Logarithms, oldest first.
        least: The smallest relative change to report.
    """
    series = np.asarray(values, dtype=float)
    places = sorted(_candidates(series))
    while places:
        steps = _steps(series, places)
        weakest = max(steps, key=lambda step: step.chance)
        if weakest.chance < MOST_CHANCE:
            weakest = min(steps, key=lambda step: abs(step.log_ratio))
            if abs(math.expm1(weakest.log_ratio)) >= least:
                return steps
        places.remove(weakest.index)
    return []


def _candidates(series: NDArray[np.float64]) -> set[int]:
    begins = range(0, max(1, len(series) - WINDOW // 2), WINDOW // 2)
    return {place for begin in begins for place in _split(series, begin, begin + WINDOW)}


def _split(series: NDArray[np.float64], begin: int, end: int) -> list[int]:
    """The places within ``series[begin:end]`` at which a level ends."""
    end = min(end, len(series))
    if end - begin < 2 * FEWEST_AFTER:
        return []
    place = begin + _best_split(series[begin:end])
    if _welch(series[begin:place], series[place:end])[1] >= MOST_CHANCE:
        return []
    return [*_split(series, begin, place), place, *_split(series, place, end)]


def _best_split(values: NDArray[np.float64]) -> int:
    """The size of the left side with the largest energy distance between the sides."""
    count = len(values)
    distances = np.abs(values[:, None] - values[None, :])
    sums = np.zeros((count + 1, count + 1))
    sums[1:, 1:] = distances.cumsum(0).cumsum(1)
    left = np.arange(FEWEST_AFTER, count - FEWEST_AFTER + 1)
    right = count - left
    within_left = sums[left, left] / (left * (left - 1))
    within_right = (sums[-1, -1] - 2 * sums[left, -1] + sums[left, left]) / (right * (right - 1))
    between = (sums[left, -1] - sums[left, left]) / (left * right)
    # Eq. 2.7 divides by the number of points, which is the same for all splits.
    divergence = (2 * between - within_left - within_right) * left * right
    return int(left[np.argmax(divergence)])


def _welch(old: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float, float]:
    """Standard error of the difference, probability by chance, and degrees of freedom.

    Welch, *Biometrika* 34 (1947).
    """
    from scipy.special import stdtr

    if min(len(old), len(new)) < FEWEST_AFTER:
        return math.inf, 1.0, 1.0
    parts = np.array([old.var(ddof=1) / len(old), new.var(ddof=1) / len(new)])
    difference = abs(new.mean() - old.mean())
    total = float(parts.sum())
    if total <= 0:
        return 0.0, 0.0 if difference > 0 else 1.0, math.inf
    freedom = total**2 / float((parts**2 / (np.array([len(old), len(new)]) - 1)).sum())
    standard = math.sqrt(total)
    return standard, float(2 * stdtr(freedom, -difference / standard)), freedom


def _steps(series: NDArray[np.float64], places: Sequence[int]) -> list[Step]:
    edges = [0, *places, len(series)]
    return [_step(series, *edges[index - 1 : index + 2]) for index in range(1, len(edges) - 1)]


def _step(series: NDArray[np.float64], begin: int, place: int, end: int) -> Step:
    old, new = series[begin:place], series[place:end]
    standard, chance, freedom = _welch(old, new)
    log_ratio = float(new.mean() - old.mean())
    half = standard * t_quantile(freedom)
    earliest, latest = _where(series[begin:end], place - begin)
    return Step(
        index=place,
        earliest=begin + earliest,
        latest=begin + latest,
        before=len(old),
        after=len(new),
        log_ratio=log_ratio,
        low=log_ratio - half,
        high=log_ratio + half,
        chance=chance,
    )


def _where(values: NDArray[np.float64], place: int) -> tuple[int, int]:
    """The places around ``place`` that the likelihood of two normal levels does not exclude."""
    count = len(values)
    sums, squares = values.cumsum(), (values**2).cumsum()
    left = np.arange(1, count)
    rest = (
        squares[-1] - sums[left - 1] ** 2 / left - (sums[-1] - sums[left - 1]) ** 2 / (count - left)
    )
    floor = np.finfo(float).eps * max(float(squares[-1]), 1e-300)
    fit = count * np.log(np.maximum(rest, floor))
    likely = np.flatnonzero(fit <= fit[place - 1] + _PLACE) + 1
    return min(int(likely[0]), place), max(int(likely[-1]), place)
