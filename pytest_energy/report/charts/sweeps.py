"""What a knob costs: energy and latency over batch size, depth, precision or power cap.

A sweep is found, not declared: benchmarks whose workloads differ in one fact only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_energy.measurement import Facts
from pytest_energy.report.charts.axes import Axis, fit, path
from pytest_energy.report.charts.marks import Mark, marks
from pytest_energy.report.format import quantity, tick
from pytest_energy.report.results import Row

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
REFERENCES = ("baseline", "float32", "fp32", "none")
"""Words that name the reference of a sweep over words."""
MOST_SERIES = 8
_UNSWEPT = frozenset({"model", "input_shape", "data", "kind", "family", "macs", "flops", "params"})


@dataclass(frozen=True)
class Stop:
    """One benchmark of a series."""

    row: Row
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Series:
    """Benchmarks that differ in the swept fact only."""

    mark: Mark
    stops: tuple[Stop, ...]
    line: str
    """SVG path data; empty where the fact is a word and nothing lies between two of them."""


@dataclass(frozen=True)
class Label:
    """A value of the swept fact below the axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Sweep:
    """One swept fact, one metric."""

    fact: str
    about: str
    y: Axis
    labels: tuple[Label, ...]
    series: tuple[Series, ...]
    one: float
    """Pixel of the reference."""

    @property
    def legend(self) -> list[Mark]:
        """Each mark once."""
        return list(dict.fromkeys(series.mark for series in self.series))

    @property
    def bar(self) -> float:
        """Pixels that a bar is wide, where values are words."""
        return 0.8 * (WIDTH - LEFT - RIGHT) / len(self.labels) / len(self.series)

    def offset(self, series: Series) -> float:
        """Pixels from the middle of a value to the left edge of the bar of ``series``."""
        return self.bar * (self.series.index(series) - len(self.series) / 2)


@dataclass(frozen=True)
class _Group:
    facts: Facts
    """Those that all of it share."""
    rows: dict[object, Row]
    """By value of the swept fact."""


def build_sweeps(rows: Sequence[Row]) -> list[Sweep]:
    """Every fact over which something was swept, energy relative to the reference."""
    known = [(row, facts) for row in rows if row.result.energy for facts in [_facts(row)]]
    names = dict.fromkeys(name for _, facts in known for name in facts)
    found = (_sweep(name, known) for name in names if name not in _UNSWEPT)
    return [sweep for sweep in found if sweep]


def _facts(row: Row) -> Facts:
    """The workload, with the family and depth that a model's name tells (``resnet50``)."""
    facts: Facts = {"kind": row.result.kind, **row.result.workload}
    named = re.fullmatch(r"([a-z_]+?)_?(\d+)", str(facts.get("model", "")))
    if named and "depth" not in facts:
        return {**facts, "model": named[1], "depth": int(named[2])}
    return facts


def _sweep(name: str, known: Iterable[tuple[Row, Facts]]) -> Sweep | None:
    groups: dict[str, _Group] = {}
    for row, facts in known:
        if name in facts and not isinstance(facts[name], list):
            rest = {key: value for key, value in facts.items() if key != name}
            group = groups.setdefault(repr(sorted(rest.items())), _Group(rest, {}))
            group.rows.setdefault(facts[name], row)
    swept = [group for group in groups.values() if len(group.rows) >= 2]
    if not swept:
        return None
    chosen = sorted(swept, key=lambda group: len(group.rows), reverse=True)[:MOST_SERIES]
    return _draw(
        name, _series_names([_told_facts(one) for one in chosen]), [g.rows for g in chosen]
    )


def _told_facts(group: _Group) -> Facts:
    """What the group shares, a model under its own name where depth is not swept."""
    if "depth" not in group.facts:
        return group.facts
    model = next(iter(group.rows.values())).result.workload["model"]
    return {
        **{name: value for name, value in group.facts.items() if name != "depth"},
        "model": model,
    }


def _draw(name: str, titles: Sequence[str], groups: Sequence[dict[object, Row]]) -> Sweep:
    numeric = all(_is_number(value) for group in groups for value in group)
    order = _ordered({value for group in groups for value in group}, numeric)
    centre = (WIDTH - LEFT - RIGHT) / len(order)
    places = {value: LEFT + centre * (index + 0.5) for index, value in enumerate(order)}
    ratios = [_relative(group, order, name) for group in groups]
    heights = [1.0, *(ratio for series in ratios for ratio in series.values())]
    y = fit(heights, HEIGHT - BOTTOM, TOP, zero=True, name=_axis_name(name, order[0]))
    legend = marks(titles)
    series = [
        _series(legend[title], group, relative, places, y, numeric)
        for title, group, relative in zip(titles, groups, ratios, strict=True)
    ]
    labels = tuple(Label(places[value], _label(value)) for value in order)
    return Sweep(name.replace("_", " "), _about(name), y, labels, tuple(series), y.at(1.0))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(found: set[object], numeric: bool) -> list[object]:
    """Numbers by size; words with the reference first."""
    if numeric:
        return sorted(found, key=lambda value: float(str(value)))
    return sorted(found, key=lambda value: (str(value) not in REFERENCES, str(value)))


def _relative(group: dict[object, Row], order: Sequence[object], name: str) -> dict[object, float]:
    """Energy over that of the first value in ``order`` that the group has."""
    reference = next(value for value in order if value in group)
    base = _energy(group[reference], name)
    return {value: _energy(row, name) / base for value, row in group.items()}


def _energy(row: Row, name: str) -> float:
    """Joules a pass, or an item where the batch size is swept: larger batches do more."""
    assert row.result.energy is not None
    size = row.result.workload.get("batch_size") if name == "batch_size" else 1
    return row.result.energy.value / (size if isinstance(size, int | float) and size else 1)


def _about(name: str) -> str:
    return "energy an item" if name == "batch_size" else "energy"


def _axis_name(name: str, reference: object) -> str:
    return f"{_about(name).capitalize()}, {name.replace('_', ' ')} {_label(reference)} = 1"


def _label(value: object) -> str:
    return tick(float(str(value))) if _is_number(value) else str(value)


def _series_names(groups: Sequence[Facts]) -> list[str]:
    """What tells the groups apart: the values of the facts in which they differ."""
    keys = dict.fromkeys(key for group in groups for key in group)
    telling = [key for key in keys if len({repr(group.get(key)) for group in groups}) > 1]
    return [" ".join(_word(key, group[key]) for key in telling if key in group) for group in groups]


def _word(key: str, value: object) -> str:
    return f"{key.replace('_', ' ')} {_label(value)}" if _is_number(value) else str(value)


def _series(
    mark: Mark,
    group: dict[object, Row],
    relative: dict[object, float],
    places: dict[object, float],
    y: Axis,
    numeric: bool,
) -> Series:
    stops = [
        Stop(row, places[value], y.at(relative[value]), _told(row, value, relative[value]))
        for value, row in group.items()
    ]
    ordered = tuple(sorted(stops, key=lambda stop: stop.x))
    return Series(mark, ordered, path([(s.x, s.y) for s in ordered]) if numeric else "")


def _told(row: Row, value: object, ratio: float) -> str:
    return f"{row.name}: {_label(value)}, {ratio:.3g} × reference, {quantity(row.result.energy)}"
