"""Marks that distinguish groups by shape and by colour, so that either is enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_energy.report.html.results_table import Row

SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.5L5 4H-5Z",
    "M0 -5.8L5.2 0L0 5.8L-5.2 0Z",
    "M0 5.5L5 -4H-5Z",
    "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
)
COLOURS = (
    "#0b62c4", "#c2410c", "#15803d", "#a21caf", "#b45309", "#0e7490", "#be123c", "#4d7c0f",
)  # fmt: skip
"""Each has a contrast of at least 3 : 1 on white; dark pages use lighter ones from the style."""


@dataclass(frozen=True)
class Mark:
    """How the members of a group are drawn; ``index`` also selects the style's class."""

    name: str
    index: int

    @property
    def shape(self) -> str:
        """The id of the shape in the page's definitions."""
        return f"s{self.index % len(SHAPES)}"

    @property
    def colour(self) -> str:
        """The colour for viewers that ignore the style."""
        return COLOURS[self.index % len(COLOURS)]

    @property
    def style(self) -> str:
        """The class whose colour follows the light or dark scheme."""
        return f"c{self.index % len(COLOURS)}"


@dataclass(frozen=True)
class Palette:
    """One mark a group in all figures of a page, by the fact that forms the groups."""

    by_fact: dict[str, dict[str, Mark]]

    def of(self, fact: str, name: str) -> Mark:
        """The mark of the benchmarks whose ``fact`` is ``name``."""
        return self.by_fact[fact][name]

    def series(self, names: Iterable[str]) -> dict[str, Mark]:
        """The marks of series, which have the name of a group or several facts in their names.

        The others come behind all groups, so that none looks like a group.
        """
        groups = {
            name: mark
            for fact in reversed(SERIES_OF)
            for name, mark in self.by_fact.get(fact, {}).items()
        }
        others = [name for name in dict.fromkeys(names) if name not in groups]
        behind = max((mark.index + 1 for mark in groups.values()), default=0)
        return groups | {name: Mark(name, behind + at) for at, name in enumerate(others)}


SERIES_OF = ("technique", "model")
"""Facts whose values name the series of a sweep."""


def build_palette(rows: Iterable[Row]) -> Palette:
    """A palette of all facts of the workloads, in the order of the run, as the script has it."""
    by_fact: dict[str, dict[str, None]] = {}
    known = list(rows)
    for fact in dict.fromkeys(["kind", *(name for row in known for name in row.result.workload)]):
        by_fact[fact] = dict.fromkeys(group_of(row, fact) for row in known)
    return Palette({fact: marks(names) for fact, names in by_fact.items()})


def group_of(row: Row, fact: str) -> str:
    """The group of a benchmark by ``fact``; its kind if it has no such fact."""
    return str(row.result.workload.get(fact, row.result.kind))


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """One mark a name, in order of appearance."""
    return {name: Mark(name, index) for index, name in enumerate(dict.fromkeys(names))}
