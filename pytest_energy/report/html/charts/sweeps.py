"""What a knob costs: energy and latency over batch size, depth, precision or power cap.

A sweep is declared by the fact ``sweep``, or found: benchmarks whose workloads differ in one fact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Facts
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import SWEEP
from pytest_energy.report.html.charts.marks import Mark, marks
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import said
from pytest_energy.report.numbers import quantity, tick

REFERENCES = ("baseline", "float32", "fp32", "none")
"""Words that name the reference of a sweep over words."""
MOST_SERIES, WIDEST_BAR, LETTER = 8, 60, 6
_UNSWEPT = frozenset(
    {"model", "input_shape", "data", "dataset", "task", "run", "family", "macs", "flops", "params"}
)
_UNTOLD = frozenset({"paper"})
"""Facts that change nothing of what runs, so they part no series."""
SLANT = 45
"""Degrees by which labels rise that have no room."""
_SHARED = ("model", "depth", "dataset")
"""What the benchmarks of a declared sweep must have in common, where they say it."""
_HIGHEST_IS_REFERENCE = frozenset({"power_cap_w", "power_limit_w"})
"""Knobs that are off at their highest value."""


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
    kind: str
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
        room = SWEEP.span / len(self.labels) / len(self.series)
        return min(0.8 * room, WIDEST_BAR)

    @property
    def room(self) -> int:
        """Pixels below the plain height that labels need; 0 where they fit beside one another.

        Those that stand in two lines may be twice as wide as a value's place; others are slanted.
        """
        longest = LETTER * max(len(label.text) for label in self.labels)
        fits = longest <= 2 * SWEEP.span / len(self.labels)
        return 0 if fits else round(longest * math.sin(math.radians(SLANT)))

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
    known = [row for row in rows if row.result.energy and row.result.energy.value > 0]
    kinds = dict.fromkeys(row.result.kind for row in known)
    return [
        sweep
        for kind in kinds
        for name, groups in _groups([row for row in known if row.result.kind == kind]).items()
        if (sweep := _sweep(name, kind, groups))
    ]


def _groups(rows: Iterable[Row]) -> dict[str, list[_Group]]:
    """By fact that may be swept, the rows that share all else."""
    found: dict[str, dict[str, _Group]] = {}
    for row in rows:
        for name, value, shared in _swept(_facts(row)):
            groups = found.setdefault(name, {})
            group = groups.setdefault(repr(sorted(shared.items())), _Group(shared, {}))
            group.rows.setdefault(value, row)
    return {name: list(groups.values()) for name, groups in found.items()}


def _swept(facts: Facts) -> Iterator[tuple[str, object, Facts]]:
    """Facts that may be swept, the value here, and what must be the same elsewhere.

    A workload may say in ``sweep`` which fact it varies; others may then follow it, such as the
    technique that a precision needs.
    """
    declared = facts.get("sweep")
    if declared is not None:
        if declared in facts:
            shared = {name: facts[name] for name in _SHARED if name in facts}
            yield str(declared), facts[str(declared)], shared
        return
    for name, value in facts.items():
        if name not in _UNSWEPT and not isinstance(value, list):
            yield name, value, {key: other for key, other in facts.items() if key != name}


def _facts(row: Row) -> Facts:
    """What ran, with family and depth split from a model's name: ``net50`` is ``net`` at 50."""
    facts = {name: it for name, it in row.result.workload.items() if name not in _UNTOLD}
    named = re.fullmatch(r"([a-z_]+?)_?(\d+)", str(facts.get("model", "")))
    if named and "depth" not in facts:
        return {**facts, "model": named[1], "depth": int(named[2])}
    return facts


def _sweep(name: str, kind: str, groups: Iterable[_Group]) -> Sweep | None:
    swept = [group for group in groups if len(group.rows) >= 2]
    if not swept:
        return None
    chosen = sorted(swept, key=lambda group: len(group.rows), reverse=True)[:MOST_SERIES]
    titles = _series_names([_told_facts(group) for group in chosen])
    return _draw(name, kind, titles, [group.rows for group in chosen])


def _told_facts(group: _Group) -> Facts:
    """What the group shares, a model under its own name where depth is not swept."""
    if "depth" not in group.facts:
        return group.facts
    model = next(iter(group.rows.values())).result.workload["model"]
    return {
        **{name: value for name, value in group.facts.items() if name != "depth"},
        "model": model,
    }


def _draw(
    name: str, kind: str, titles: Sequence[str], groups: Sequence[dict[object, Row]]
) -> Sweep:
    numeric = all(_is_number(value) for group in groups for value in group)
    order = _ordered({value for group in groups for value in group}, numeric)
    centre = SWEEP.span / len(order)
    places = {value: SWEEP.left + centre * (index + 0.5) for index, value in enumerate(order)}
    candidates = order[::-1] if name in _HIGHEST_IS_REFERENCE else order
    an_item = kind != "training" and any(map(_batches_differ, groups))
    ratios = [_relative(group, candidates, an_item) for group in groups]
    heights = [1.0, *(ratio for series in ratios for ratio in series.values())]
    about = "energy an item" if an_item else "energy"
    references = {_reference(group, candidates) for group in groups}
    shared = len(references) == 1
    base = f"{said(name)} {_label(references.pop())}" if shared else f"first {said(name)} of each"
    title = f"{about.capitalize()}, {base} = 1"
    y = fit(heights, SWEEP.bottom, SWEEP.top, zero=True, name=title)
    legend = marks(titles)
    series = [
        _series(legend[title], group, relative, places, y, numeric)
        for title, group, relative in zip(titles, groups, ratios, strict=True)
    ]
    labels = tuple(Label(places[value], _label(value)) for value in order)
    return Sweep(said(name), kind, about, y, labels, tuple(series), y.at(1.0))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(found: set[object], numeric: bool) -> list[object]:
    """Numbers by size; words with the reference first."""
    if numeric:
        return sorted(found, key=lambda value: float(str(value)))
    return sorted(found, key=lambda value: (str(value) not in REFERENCES, str(value)))


def _batches_differ(group: dict[object, Row]) -> bool:
    return len({str(row.result.workload.get("batch_size")) for row in group.values()}) > 1


def _relative(
    group: dict[object, Row], candidates: Sequence[object], an_item: bool
) -> dict[object, float]:
    """Energy over that of the group's reference."""
    base = _energy(group[_reference(group, candidates)], an_item)
    return {value: _energy(row, an_item) / base for value, row in group.items()}


def _reference(group: dict[object, Row], candidates: Sequence[object]) -> object:
    """The first of ``candidates`` that the group has."""
    return next(value for value in candidates if value in group)


def _energy(row: Row, an_item: bool) -> float:
    """Joules, or joules an item where passes of larger batches do more."""
    assert row.result.energy is not None
    size = row.result.workload.get("batch_size") if an_item else 1
    return row.result.energy.value / (size if isinstance(size, int | float) and size else 1)


def _label(value: object) -> str:
    return tick(float(str(value))) if _is_number(value) else str(value)


def _series_names(groups: Sequence[Facts]) -> list[str]:
    """What tells the groups apart: values in which they differ, shapes only where nothing else."""
    keys = dict.fromkeys(key for group in groups for key in group)
    telling = [key for key in keys if len({repr(group.get(key)) for group in groups}) > 1]
    brief: list[Facts] = [
        {k: v for k, v in group.items() if not isinstance(v, list)} for group in groups
    ]
    names = _names(brief, telling)
    return names if len(set(names)) == len(names) else _names(groups, telling)


def _names(groups: Sequence[Facts], telling: Sequence[str]) -> list[str]:
    words = ([_word(key, group[key]) for key in telling if key in group] for group in groups)
    return [" ".join(dict.fromkeys(found)) for found in words]


def _word(key: str, value: object) -> str:
    return f"{said(key)} {_label(value)}" if _is_number(value) else str(value)


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
