"""Channels that contain each other, so that their sum counts joules twice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_energy.errors import UsageError

if TYPE_CHECKING:
    from pytest_energy.logs.readings import Series

FEWEST_PARTS: Final = 2
FEWEST_VALUES: Final = 5
SUM_SHARE: Final = 0.01
"""A channel that is in every row so close to the sum of the others is their total."""
WHOLES: Final = frozenset(
    ("total", "sum", "overall", "system", "psys", "wall", "board", "node", "server", "gesamt")
)
"""Words of channels that may contain any other."""
PACKAGES: Final = frozenset(("pkg", "package", "socket"))
PARTS_OF_PACKAGES: Final = frozenset(("core", "cores", "uncore", "pp0", "pp1", "igpu"))
"""RAPL's package contains the cores and the graphics of the processor."""


def overlapping(path: Path, series: Sequence[Series], by_column: bool) -> list[str]:
    """Remarks on channels whose names say that one contains others.

    Args:
        path: The file, for errors.
        series: Its channels.
        by_column: Whether each is a column of its own; the readings of devices in rows are taken
            one after another, so that a sum is chance.

    Raises:
        UsageError: The readings show it: one is the sum of the others.
    """
    for whole in series:
        others = [each for each in series if each is not whole]
        if by_column and len(others) >= FEWEST_PARTS and _is_sum(whole, others):
            raise UsageError(
                f"{path}: {whole.name} is the sum of the other channels, so that joules would count"
                " twice; name the columns or devices that count"
            )
    return [
        f"{whole.name} may contain {part.name}, whose joules then count twice; name the columns or"
        " devices that count"
        for whole in series
        for part in series
        if part is not whole and _contains(_words(whole.name), _words(part.name))
    ]


def _is_sum(whole: Series, parts: Sequence[Series]) -> bool:
    if not whole.readings or any(len(each.readings) != len(whole.readings) for each in parts):
        return False
    sums = [
        math.fsum(reading.value for reading in row)
        for row in zip(*(each.readings for each in parts), strict=True)
    ]
    values = [reading.value for reading in whole.readings]
    # Constant powers, as of a test, may add up by chance.
    return len(set(values)) >= FEWEST_VALUES and all(
        math.isclose(value, total, rel_tol=SUM_SHARE)
        for value, total in zip(values, sums, strict=True)
    )


def _contains(whole: set[str], part: set[str]) -> bool:
    if whole & WHOLES:
        return not part & WHOLES
    return bool(whole & PACKAGES and part & PARTS_OF_PACKAGES)


def _words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return set(re.findall(r"[a-z]+\d?(?![a-z])", spaced))
