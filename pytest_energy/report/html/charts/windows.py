"""The windows of each test as one stacked bar: how its joules are shared out among its phases.

Windows are different work, so they are no sweep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import PER_UNIT
from pytest_energy.report.html.charts.axes import Axis
from pytest_energy.report.html.charts.geometry import PHASES
from pytest_energy.report.html.charts.marks import Mark, marks
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.numbers import energy, percent, quantity, ticks_of


@dataclass(frozen=True)
class Part:
    """The joules of one window, in the bar of its test."""

    row: Row
    mark: Mark
    begin: float
    end: float
    low: float
    high: float
    """Ends of the 95 % interval of this window, around ``end``."""
    text: str


@dataclass(frozen=True)
class Bar:
    """All windows of one test."""

    name: str
    parts: tuple[Part, ...]
    total: str
    """Joules of one use of each window; empty if one has no joules."""
    missing: tuple[str, ...]
    """Windows without joules."""
    places: str
    """The numbers of its windows in the run."""


@dataclass(frozen=True)
class Windows:
    """A bar for each test with several windows."""

    axis: Axis
    bars: tuple[Bar, ...]
    legend: tuple[Mark, ...]


def build_windows(rows: Sequence[Row]) -> Windows | None:
    """The bars of all tests with two windows or more; ``None`` if no test has."""
    tests: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.result.kind == "window":
            tests[row.result.id.removesuffix(_ending(row))].append(row)
    several = [test for test in tests.values() if len(test) > 1 and any(map(_joules, test))]
    if not several:
        return None
    longest_j = max(sum(q.value + _half(q) for q in map(_joules, test) if q) for test in several)
    axis = Axis(0.0, longest_j or 1.0, PHASES.left, PHASES.right, write=ticks_of("J"))
    legend = marks(_window(row) for test in several for row in test)
    bars = tuple(_bar(test, axis, legend) for test in several)
    return Windows(axis, bars, tuple(legend.values()))


def _bar(test: Sequence[Row], axis: Axis, legend: dict[str, Mark]) -> Bar:
    known = [(row, joules) for row in test if (joules := _joules(row))]
    total_j, begin_j = sum(joules.value for _, joules in known), 0.0
    parts = []
    for row, joules in known:
        end_j = begin_j + joules.value
        share = percent(joules.value / total_j, 0, sign=False)
        each = "".join(f", {quantity(q)}" for name, q in row.metrics.items() if _per_unit(name))
        text = f"{_window(row)}: {quantity(joules)}{each}, {share} of the test's windows"
        low, high = axis.clipped(end_j - _half(joules)), axis.clipped(end_j + _half(joules))
        mark = legend[_window(row)]
        parts.append(Part(row, mark, axis.at(begin_j), axis.at(end_j), low, high, text))
        begin_j = end_j
    missing = tuple(_window(row) for row in test if not _joules(row))
    name = test[0].name.removesuffix(_ending(test[0]))
    places = " ".join(str(row.place) for row in test)
    return Bar(name, tuple(parts), "" if missing else energy(total_j), missing, places)


def _window(row: Row) -> str:
    return str(row.result.workload.get("window", row.name))


def _per_unit(name: str) -> bool:
    return name.startswith(PER_UNIT)


def _ending(row: Row) -> str:
    return f"::{_window(row)}"


def _joules(row: Row) -> Quantity | None:
    """The joules of one use of the window; ``None`` without any, or with none above zero."""
    joules = row.result.energy
    return joules if joules and joules.value > 0 else None


def _half(joules: Quantity) -> float:
    return joules.uncertainty or 0.0
