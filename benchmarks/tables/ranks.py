"""The statistical tests of paper B, and whether there are enough values for them.

A test is refused if even a perfect ordering of the values could not reach :data:`SIGNIFICANCE`. Its
smallest possible p is that of one arrangement among all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Association:
    """The result of a test, or why it was refused."""

    test: str
    count: int
    """The number of values."""
    statistic: float = math.nan
    p: float = math.nan
    refusal: str = ""

    @property
    def tested(self) -> bool:
        """Whether the test was not refused."""
        return not self.refusal


def group_effect(values: Sequence[tuple[str, float]]) -> Association:
    """Kruskal-Wallis H: do groups of (label, value) differ in rank?"""
    groups = _groups(values)
    test, count = "Kruskal–Wallis H", len(values)
    if len(groups) < 2:
        return Association(test, count, refusal=_too_few(count, "fewer than two groups"))
    sizes = sorted(len(group) for group in groups)
    # Exchanging groups of equal size does not change H, so several orderings are perfect ones.
    perfect_orderings = math.prod(math.factorial(sizes.count(size)) for size in set(sizes))
    smallest_p = perfect_orderings / _arrangements(sizes)
    if smallest_p > SIGNIFICANCE:
        return Association(test, count, refusal=_too_few(count, smallest_p))
    if len({value for _, value in values}) == 1:
        return Association(test, count, refusal="all values are equal")
    from scipy.stats import kruskal

    statistic, p = kruskal(*groups)
    return Association(test, count, float(statistic), float(p))


def data_effect(values: Sequence[tuple[str, float]], one: str) -> Association:
    """Point-biserial correlation of a two-valued label with a value.

    Args:
        values: Pairs of label and value.
        one: The label that counts as 1; the other counts as 0.
    """
    groups = _groups(values)
    test, count = "point-biserial r", len(values)
    if len(groups) != 2:
        return Association(test, count, refusal=_too_few(count, f"{len(groups)} of 2 labels"))
    smallest_p = 2 / _arrangements([len(group) for group in groups])
    if smallest_p > SIGNIFICANCE:
        return Association(test, count, refusal=_too_few(count, smallest_p))
    if len({value for _, value in values}) == 1:
        return Association(test, count, refusal="all values are equal")
    from scipy.stats import pointbiserialr

    statistic, p = pointbiserialr(
        [label == one for label, _ in values], [value for _, value in values]
    )
    return Association(test, count, float(statistic), float(p))


def agreement(pairs: Sequence[tuple[float, float]]) -> Association:
    """Spearman rank correlation of two instruments' values of the same runs."""
    test, count = "Spearman ρ", len(pairs)
    smallest_p = min(1.0, 2 / math.factorial(count))
    if smallest_p > SIGNIFICANCE:
        return Association(test, count, refusal=_too_few(count, smallest_p))
    first, second = zip(*pairs, strict=True)
    if len(set(first)) == 1 or len(set(second)) == 1:
        return Association(test, count, refusal="all values of an instrument are equal")
    from scipy.stats import spearmanr

    statistic, p = spearmanr(first, second)
    return Association(test, count, float(statistic), float(p))


def _groups(values: Sequence[tuple[str, float]]) -> list[list[float]]:
    labels = sorted({label for label, _ in values})
    return [[value for label, value in values if label == group] for group in labels]


def _arrangements(sizes: Sequence[int]) -> int:
    """The number of ways to part values into groups of these sizes."""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


def _too_few(count: int, why: float | str) -> str:
    if isinstance(why, float):
        why = f"even a perfect order has p ≥ {why:.2g}"
    return f"too few values ({count}): {why}"
