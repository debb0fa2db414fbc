"""Channels that contain each other, so that their sum counts joules twice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_energy.errors import UsageError
from pytest_energy.model.measurement import Reason, ReasonCode

if TYPE_CHECKING:
    from pytest_energy.logs.readings import Series

FEWEST_PARTS: Final = 2
FEWEST_VALUES: Final = 5
SUM_SHARE: Final = 0.01
"""A channel that is in every row so close to the sum of the others is their total."""
WHOLES: Final = frozenset(
    ("total", "sum", "overall", "system", "wall", "board", "node", "server", "gesamt")
)
"""Words of channels that may contain any other."""
EXTREMES: Final = frozenset(
    ("min", "minimum", "max", "maximum", "peak", "limit", "cap", "tdp", "rated")
)
MEANS: Final = frozenset(("avg", "average", "mean", "median", "inst", "instant", "instantaneous"))
"""Words of columns that are statistics of one power; their sum is no power."""
PLATFORM: Final = frozenset(("psys",))
PACKAGES: Final = frozenset(("pkg", "package"))
PARTS_OF_PACKAGES: Final = frozenset(("core", "cores", "uncore", "pp0", "pp1"))
"""RAPL's psys contains the packages, and those contain the cores and the processor's graphics
(Linux, *Power Capping Framework*)."""


def overlapping(path: Path, series: Sequence[Series], columns: Sequence[str] = ()) -> list[Reason]:
    """Remarks on channels whose names say that one may contain another.

    Raises:
        UsageError: One contains another for certain: RAPL's domains do, or it is the sum of all
            other columns.
    """
    pairs = [(whole, part) for whole in series for part in series if part is not whole]
    for whole, part in pairs:
        if _is_domain_of(_words(whole.name), _words(part.name)):
            raise _twice(path, f"{whole.name} contains {part.name}")
    # Devices in rows are read one after another: what looks like a sum is chance.
    by_column = len({each.device for each in series}) == 1
    for whole in series if by_column and len(series) > FEWEST_PARTS else ():
        if _is_sum(whole, [each for each in series if each is not whole]):
            raise _twice(path, f"{whole.name} is the sum of the other channels")
    messages = [
        f"{whole.name} may contain {part.name}, whose joules then count twice; name the columns or"
        " devices that count"
        for whole, part in pairs
        if _words(whole.name) & WHOLES and not _words(part.name) & WHOLES
    ]
    messages += _statistics(columns)
    return [Reason(code=ReasonCode.NOTE, message=text, fatal=False) for text in messages]


def _statistics(columns: Sequence[str]) -> list[str]:
    """Remarks on columns that are statistics of a power, such as ``avg`` and ``max``."""
    named = {column: _words(column) & (EXTREMES | MEANS) for column in columns}
    several = [column for column, words in named.items() if words]
    if len(several) > 1 and len({frozenset(named[column]) for column in several}) > 1:
        listed = " and ".join(repr(column) for column in several)
        return [
            f"{listed} may be statistics of one power, whose joules then count twice; name only"
            " the column that counts"
        ]
    return [
        f"column {column!r} is named as a {word}, which is not the power on average"
        for column in several
        for word in sorted(named[column] & EXTREMES)[:1]
    ]


def _twice(path: Path, cause: str) -> UsageError:
    return UsageError(
        f"{path}: {cause}, so that joules would count twice; name only the columns that count, or"
        " the devices with --devices"
    )


def _is_sum(whole: Series, parts: Sequence[Series]) -> bool:
    if not whole.readings or any(len(each.readings) != len(whole.readings) for each in parts):
        return False
    sums = [
        math.fsum(reading.value for reading in row)
        for row in zip(*(each.readings for each in parts), strict=True)
    ]
    values = [reading.value for reading in whole.readings]
    # Constant powers, as of a test, may add up by chance.
    likely = len(set(values)) >= FEWEST_VALUES or _words(whole.name) & WHOLES
    return bool(likely and any(values)) and all(
        math.isclose(value, total, rel_tol=SUM_SHARE)
        for value, total in zip(values, sums, strict=True)
    )


def _is_domain_of(whole: set[str], part: set[str]) -> bool:
    """Whether one domain of RAPL contains the other."""
    if whole & PLATFORM:
        return bool(part & (PACKAGES | PARTS_OF_PACKAGES))
    return bool(whole & PACKAGES and part & PARTS_OF_PACKAGES and not part & PACKAGES)


def _words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return set(re.findall(r"[a-z]+\d?(?![a-z])", spaced))
