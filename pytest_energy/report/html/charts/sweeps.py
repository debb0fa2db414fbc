"""Energy and latency over batch size, depth, precision, power cap or another fact of the workload.

The fact ``sweep`` declares a sweep; otherwise benchmarks that differ in one fact form one. What is
drawn is what ran: a small twin of batch 128 that ran 16 images a pass lies at 16.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Facts
from pytest_energy.model.metrics import ENERGY, LATENCY, PER_UNIT, metric
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import SWEEP
from pytest_energy.report.html.charts.marks import Mark, Palette
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import humanized
from pytest_energy.report.numbers import quantity, relative_half, tick

REFERENCES = ("baseline", "float32", "fp32", "none")
"""Values that are the reference of a sweep over words."""
MOST_SERIES, WIDEST_BAR, LETTER = 8, 60, 6
_UNSWEPT = frozenset(
    {"model", "input_shape", "data", "dataset", "task", "run", "family", "macs", "flops", "params"}
    | {"function", "window", "candidate"}
)
"""Facts that say what is run, and not how."""
_WITHOUT_EFFECT = frozenset({"paper"})
"""Facts that do not change what runs, so that they separate no series."""
SLANT = 45
"""Degrees by which labels are slanted that do not fit side by side."""
_RAN: Final = {"batch": "batch_size", "resolution": "input_shape"}
"""For a setting that a suite declares: the fact that says what ran, which a small scale shrinks."""
_SHARED = ("model", "depth", "dataset")
"""Facts that all benchmarks of a declared sweep share, if they have them."""
_HIGHEST_IS_REFERENCE = frozenset({"power_cap_w", "power_limit_w"})
"""Limits that have no effect at their highest value."""


@dataclass(frozen=True)
class Stop:
    """One benchmark of a series."""

    row: Row
    x: float
    y: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    text: str


@dataclass(frozen=True)
class Series:
    """Benchmarks that differ only in the swept fact."""

    mark: Mark
    stops: tuple[Stop, ...]
    line: str
    """SVG path data; empty for words, which have nothing between them."""

    @property
    def places(self) -> str:
        """The numbers of its benchmarks in the run."""
        return " ".join(str(stop.row.place) for stop in self.stops)

    @property
    def whiskers(self) -> list[Stop]:
        """The stops whose uncertainty was assessed."""
        return [stop for stop in self.stops if stop.low != stop.high]


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
    """``energy``, ``energy an item``, ``latency``."""
    y: Axis
    labels: tuple[Label, ...]
    series: tuple[Series, ...]
    reference: float
    """Pixel of the reference, which is 1."""
    found: int
    """The number of all series; only the longest ones are drawn."""

    @property
    def legend(self) -> list[Mark]:
        """Each mark once."""
        return list(dict.fromkeys(series.mark for series in self.series))

    @property
    def bar(self) -> float:
        """Width of a bar in pixels; bars show values that are words."""
        room = SWEEP.span / len(self.labels) / len(self.series)
        return min(0.8 * room, WIDEST_BAR)

    @property
    def room(self) -> int:
        """Additional height for slanted labels in pixels; 0 if the labels fit side by side.

        Labels alternate between two lines, so each may be twice as wide as the space of a value.
        """
        longest = LETTER * max(len(label.text) for label in self.labels)
        fits = longest <= 2 * SWEEP.span / len(self.labels)
        return 0 if fits else round(longest * math.sin(math.radians(SLANT)))

    def middle(self, series: Series) -> float:
        """Pixels from a value to the middle of the mark of ``series``."""
        return 0.0 if series.line else self.offset(series) + self.bar / 2

    def offset(self, series: Series) -> float:
        """Pixels from the middle of a value to the left edge of the bar of ``series``."""
        return self.bar * (self.series.index(series) - len(self.series) / 2)


@dataclass(frozen=True)
class _Group:
    facts: Facts
    """The facts that all its benchmarks share."""
    rows: dict[object, Row]
    """By value of the swept fact."""


@dataclass(frozen=True)
class _Swept:
    name: str
    """The fact."""
    kind: str
    titles: list[str]
    groups: list[dict[object, Row]]
    """Of each series: the benchmarks by value of the fact."""
    found: int
    """The number of all series, also of those that are not drawn."""


def build_sweeps(rows: Sequence[Row], palette: Palette) -> list[Sweep]:
    """Sweeps of each fact that varies: energy, and beside it latency, relative to the reference."""
    known = [row for row in rows if row.result.energy and row.result.energy.value > 0]
    kinds = dict.fromkeys(row.result.kind for row in known)
    swept = [
        found
        for kind in kinds
        for name, groups in _groups([row for row in known if row.result.kind == kind]).items()
        if (found := _swept_groups(name, kind, groups))
    ]
    legend = palette.series(title for found in swept for title in found.titles)
    return [sweep for found in swept for sweep in _sweeps(found, legend)]


def _groups(rows: Iterable[Row]) -> dict[str, list[_Group]]:
    """By swept fact, groups of rows that share all other facts."""
    by_fact: dict[str, dict[str, _Group]] = {}
    for row in rows:
        for name, value, shared in _swept(_facts(row)):
            groups = by_fact.setdefault(name, {})
            group = groups.setdefault(repr(sorted(shared.items())), _Group(shared, {}))
            group.rows.setdefault(value, row)
    return {name: list(groups.values()) for name, groups in by_fact.items()}


def _swept(facts: Facts) -> Iterator[tuple[str, object, Facts]]:
    """Facts that may be swept, their values, and the facts that the others must share.

    A workload may declare in ``sweep`` which fact it varies. Other facts may then vary with it: a
    precision may need a technique, for example.
    """
    declared = facts.get("sweep")
    if declared is not None:
        if declared in facts:
            shared = {name: facts[name] for name in _SHARED if name in facts}
            yield str(declared), _ran(str(declared), facts), shared
        return
    for name, value in facts.items():
        if name not in _UNSWEPT and not isinstance(value, list):
            yield name, value, {key: other for key, other in facts.items() if key != name}


def _ran(name: str, facts: Facts) -> object:
    """The value of a declared setting as it ran: images a pass, pixels of a side."""
    ran = facts.get(_RAN.get(name, name))
    if isinstance(ran, list):
        ran = ran[-1] if ran else None
    return facts[name] if ran is None else ran


def _facts(row: Row) -> Facts:
    """The workload, with a name such as ``net50`` split into family ``net`` and depth 50."""
    workload = row.result.workload
    facts = {name: workload[name] for name in workload if name not in _WITHOUT_EFFECT}
    named = re.fullmatch(r"([a-z_]+?)_?(\d+)", str(facts.get("model", "")))
    if named and "depth" not in facts:
        return {**facts, "model": named[1], "depth": int(named[2])}
    return facts


def _swept_groups(name: str, kind: str, groups: Iterable[_Group]) -> _Swept | None:
    """The longest series over one fact; ``None`` if no group has two values."""
    swept = [group for group in groups if len(group.rows) >= 2]
    if not swept:
        return None
    longest = sorted(swept, key=lambda group: len(group.rows), reverse=True)[:MOST_SERIES]
    shared = []
    for group in longest:
        facts = group.facts
        if "depth" in facts:
            # Depth is not swept here, so the model's full name, such as net50, reads best.
            model = next(iter(group.rows.values())).result.workload["model"]
            facts = {**{key: facts[key] for key in facts if key != "depth"}, "model": model}
        shared.append(facts)
    return _Swept(name, kind, _series_names(shared), [group.rows for group in longest], len(swept))


def _sweeps(swept: _Swept, legend: dict[str, Mark]) -> Iterator[Sweep]:
    """Energy, and latency if all of the benchmarks have it.

    Where all count the same work, such as tokens, the energy is that of a unit of it.
    """
    rows = [row for group in swept.groups for row in group.values()]
    units = [name for name in rows[0].result.metrics if name.startswith(PER_UNIT)]
    per_unit = (name for name in units if all(_is_positive(row, name) for row in rows))
    yield _draw(swept, next(per_unit, ENERGY), legend)
    if all(_is_positive(row, LATENCY) for row in rows):
        yield _draw(swept, LATENCY, legend)


def _is_positive(row: Row, what: str) -> bool:
    quantity = row.result.metrics.get(what)
    return quantity is not None and quantity.value > 0


def _draw(swept: _Swept, what: str, legend: dict[str, Mark]) -> Sweep:
    name, kind, groups = swept.name, swept.kind, swept.groups
    numeric = all(_is_number(value) for group in groups for value in group)
    order = _ordered({value for group in groups for value in group}, numeric)
    step = SWEEP.span / len(order)
    places = {value: SWEEP.left + step * (index + 0.5) for index, value in enumerate(order)}
    candidates = order[::-1] if name in _HIGHEST_IS_REFERENCE else order
    references = [next(value for value in candidates if value in group) for group in groups]
    # An epoch of training runs the same items at any batch size, but a pass runs one batch.
    batches = [{str(row.result.workload.get("batch_size")) for row in g.values()} for g in groups]
    # Joules per unit of work are divided by it already.
    divided = kind == "training" or what.startswith(PER_UNIT)
    an_item = not divided and any(len(sizes) > 1 for sizes in batches)
    ratios = [
        {
            value: _amount(row, what, an_item) / _amount(group[base], what, an_item)
            for value, row in group.items()
        }
        for group, base in zip(groups, references, strict=True)
    ]
    fact = humanized(name)
    about = metric(what).label.lower() + (" an item" if an_item else "")
    base = (
        f"{fact} {_label(references[0])}" if len(set(references)) == 1 else f"first {fact} of each"
    )
    title = f"{about.capitalize()}, {base} = 1"
    heights = [1.0]
    for group, relative in zip(groups, ratios, strict=True):
        for value, ratio in relative.items():
            half = ratio * relative_half(group[value].result.metrics[what])
            heights += [max(0.0, ratio - half), ratio + half]
    y = fit(heights, SWEEP.bottom, SWEEP.top, zero=True, name=title)
    series = [
        _series(legend[title], group, what, relative, places, y, numeric)
        for title, group, relative in zip(swept.titles, groups, ratios, strict=True)
    ]
    labels = tuple(Label(places[value], _label(value)) for value in order)
    return Sweep(fact, kind, about, y, labels, tuple(series), y.at(1.0), swept.found)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(values: set[object], numeric: bool) -> list[object]:
    """Numbers in ascending order; words with the reference first."""
    if numeric:
        return sorted(values, key=lambda value: float(str(value)))
    return sorted(values, key=lambda value: (str(value) not in REFERENCES, str(value)))


def _amount(row: Row, what: str, an_item: bool) -> float:
    """Joules or seconds, divided by the items if the batches differ in size."""
    size = row.result.workload.get("batch_size") if an_item else 1
    amount = row.result.metrics[what].value
    return amount / (size if isinstance(size, int | float) and size else 1)


def _label(value: object) -> str:
    return tick(float(str(value))) if _is_number(value) else str(value)


def _series_names(groups: Sequence[Facts]) -> list[str]:
    """Names from the values in which the groups differ; shapes only if nothing else differs."""
    keys = dict.fromkeys(key for group in groups for key in group)
    differing = [key for key in keys if len({repr(group.get(key)) for group in groups}) > 1]
    brief: list[Facts] = [
        {k: v for k, v in group.items() if not isinstance(v, list)} for group in groups
    ]
    names = _names(brief, differing)
    return names if len(set(names)) == len(names) else _names(groups, differing)


def _names(groups: Sequence[Facts], differing: Sequence[str]) -> list[str]:
    """The differing values of each group; numbers need the name of their fact, words do not."""
    names = []
    for facts in groups:
        values = [(key, facts[key]) for key in differing if key in facts]
        words = [f"{humanized(k)} {_label(v)}" if _is_number(v) else str(v) for k, v in values]
        names.append(" ".join(dict.fromkeys(words)))
    return names


def _series(
    mark: Mark,
    group: dict[object, Row],
    what: str,
    relative: dict[object, float],
    places: dict[object, float],
    y: Axis,
    numeric: bool,
) -> Series:
    stops = []
    for value, row in sorted(group.items(), key=lambda item: places[item[0]]):
        ratio, amount = relative[value], row.result.metrics[what]
        half = ratio * relative_half(amount)
        text = f"{_label(value)}, {ratio:.3g} × reference, {quantity(amount)}"
        ends = y.clipped(ratio - half), y.clipped(ratio + half)
        stops.append(Stop(row, places[value], y.at(ratio), *ends, text))
    line = path([(stop.x, stop.y) for stop in stops]) if numeric else ""
    return Series(mark, tuple(stops), line)
