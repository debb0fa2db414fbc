"""The statistical tests of paper B, and when there are too few values for them.

A test is refused where even a perfect ordering of so many values could not reach
:data:`SIGNIFICANCE`: its smallest possible p is that of one arrangement among all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Association:
    """What a test found, or why it was refused."""

    test: str
    count: int
    """How many values it was asked about."""
    statistic: float = math.nan
    p: float = math.nan
    refusal: str = ""

    @property
    def tested(self) -> bool:
        """Whether the test was made."""
        return not self.refusal


def architecture_effect(values: Sequence[tuple[str, float]]) -> Association:
    """Kruskal-Wallis H: do groups of (label, value) differ in rank?"""
    groups = _groups(values)
    test, count = "Kruskal–Wallis H", len(values)
    if len(groups) < 2:
        return Association(test, count, refusal=_too_few(count, "fewer than two groups"))
    sizes = sorted(len(group) for group in groups)
    # Orderings of the groups by rank give the same H where the groups are of equal size.
    alike = math.prod(math.factorial(sizes.count(size)) for size in set(sizes))
    smallest_p = alike / _arrangements(sizes)
    if smallest_p > SIGNIFICANCE:
        return Association(test, count, refusal=_too_few(count, smallest_p))
    if len({value for _, value in values}) == 1:
        return Association(test, count, refusal="all values are equal")
    from scipy.stats import kruskal

    statistic, p = kruskal(*groups)
    return Association(test, count, float(statistic), float(p))


def data_effect(values: Sequence[tuple[str, float]]) -> Association:
    """Point-biserial correlation of a two-valued label with a value; the later label counts 1."""
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

    last = max(label for label, _ in values)
    statistic, p = pointbiserialr(
        [label == last for label, _ in values], [value for _, value in values]
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

    found = spearmanr(first, second)
    return Association(test, count, float(found.statistic), float(found.pvalue))


def _groups(values: Sequence[tuple[str, float]]) -> list[list[float]]:
    labels = sorted({label for label, _ in values})
    return [[value for label, value in values if label == wanted] for wanted in labels]


def _arrangements(sizes: Sequence[int]) -> int:
    """In how many ways values fall into groups of these sizes."""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


def _too_few(count: int, why: float | str) -> str:
    if isinstance(why, float):
        why = f"even a perfect order has p ≥ {why:.2g}"
    return f"too few values ({count}): {why}"
