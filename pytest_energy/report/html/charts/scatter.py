"""One metric against another, with the benchmarks that none beats in both (the Pareto front)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Kind, Quantity
from pytest_energy.model.metrics import CATALOGUE, SCORES, Better, metric
from pytest_energy.report.derived_metrics import direction
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import SCATTER
from pytest_energy.report.html.charts.marks import COLOURS, SHAPES, Mark, marks
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.numbers import quantity, tick

KINDS: Final[tuple[Kind, ...]] = ("inference", "training", "call", "window")
"""Joules a pass and joules an epoch do not mix: a figure is of one kind of benchmark."""


@dataclass(frozen=True)
class Preset:
    """A figure that people know."""

    title: str
    x: str
    y: str
    kinds: tuple[Kind, ...] = KINDS
    """Of the first of these that has two points it is drawn."""


PRESETS: Final = (
    Preset("Energy against latency", "latency_s", "energy_j"),
    Preset("Energy against FLOPs", "pass_flops", "energy_j"),
    Preset("Training energy against FLOPs", "flops", "energy_j", ("training",)),
    Preset("Latency against parameters", "params", "latency_s"),
    *(
        preset
        for score in SCORES
        for label in [metric(score).label]
        for preset in (
            Preset(f"{label} against training energy", "total_energy_j", score, ("training",)),
            Preset(f"{label} against energy", "energy_j", score),
            Preset(f"{label} against CO₂", "co2_g", score),
        )
    ),
)
"""The figures drawn before the reader chooses axes, with three for each score that there is."""


@dataclass(frozen=True)
class Point:
    """One benchmark."""

    row: Row
    x: float
    y: float
    mark: Mark
    text: str


@dataclass(frozen=True)
class Scatter:
    """One figure."""

    preset: Preset
    kind: Kind
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    front: str
    """SVG path data of the Pareto front; empty where no direction is better."""
    legend: tuple[Mark, ...]


def build_scatters(rows: Sequence[Row]) -> list[Scatter]:
    """The presets of which there are two benchmarks or more at different places."""
    return [found for preset in PRESETS if (found := _first(preset, rows))]


def _first(preset: Preset, rows: Sequence[Row]) -> Scatter | None:
    drawn = (_scatter(preset, kind, rows) for kind in preset.kinds)
    return next(filter(None, drawn), None)


def _scatter(preset: Preset, kind: Kind, rows: Sequence[Row]) -> Scatter | None:
    pairs = [
        (row, known[preset.x], known[preset.y])
        for row in rows
        if row.result.kind == kind and preset.x in (known := row.known()) and preset.y in known
    ]
    if len({(x.value, y.value) for _, x, y in pairs}) < 2:
        return None
    x_axis = _axis(preset.x, [x for _, x, _ in pairs], SCATTER.left, SCATTER.right)
    y_axis = _axis(preset.y, [y for _, _, y in pairs], SCATTER.bottom, SCATTER.top)
    group = grouping([row for row, _, _ in pairs])
    legend = marks(_group(row, group) for row, _, _ in pairs)
    points = tuple(
        Point(
            row,
            x_axis.at(x.value),
            y_axis.at(y.value),
            legend[_group(row, group)],
            f"{row.name}: {quantity(x)}, {quantity(y)}",
        )
        for row, x, y in pairs
    )
    ways = metric(preset.x).better, metric(preset.y).better
    front = pareto([(x.value, y.value) for _, x, y in pairs], *ways)
    line = path([(x_axis.at(x), y_axis.at(y)) for x, y in front]) if len(front) > 1 else ""
    return Scatter(preset, kind, x_axis, y_axis, points, line, tuple(legend.values()))


Plain = dict[str, object]


@dataclass(frozen=True)
class Explorer:
    """What the script needs to draw any metric against any."""

    group: str
    """The fact that tells groups apart to begin with."""
    kinds: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    """Metrics that may be an axis, and what they are called."""
    facts: tuple[str, ...]
    shapes: tuple[str, ...]
    colours: int
    told: Plain
    """Axes by kind and metric, and the values from training by row."""


def build_explorer(rows: Sequence[Row]) -> Explorer:
    """The settings with which the script begins."""
    kinds = tuple(kind for kind in KINDS if any(row.result.kind == kind for row in rows))
    axes: dict[str, Plain] = {
        kind: _axes([row for row in rows if row.result.kind == kind]) for kind in kinds
    }
    training = {row.key: {n: q.value for n, q in row.training.items()} for row in rows}
    names = {name for found in axes.values() for name in found}
    known = [one.name for one in CATALOGUE if one.name in names]
    return Explorer(
        group=grouping(rows),
        kinds=tuple(axes),
        labels=tuple((n, metric(n).label) for n in (*known, *sorted(names - set(known)))),
        facts=tuple(dict.fromkeys(["kind", *(n for row in rows for n in row.result.workload)])),
        shapes=SHAPES,
        colours=len(COLOURS),
        told={"axes": axes, "training": {key: found for key, found in training.items() if found}},
    )


def _axes(rows: Sequence[Row]) -> Plain:
    """An axis for every metric of these rows, as plain values."""
    found: dict[str, list[Quantity]] = {}
    for row in rows:
        for name, value in row.known().items():
            found.setdefault(name, []).append(value)
    results = [row.result for row in rows]
    return {
        name: {
            "label": _label(name, known[0]),
            "better": direction(name, results),
            "log": _is_log([one.value for one in known]),
            "scales": _scales([one.value for one in known], known[0].unit),
        }
        for name, known in found.items()
    }


def _scales(numbers: Sequence[float], unit: str) -> list[Plain]:
    """The linear scale, and where all are above zero the logarithmic one."""
    kinds = [False, True] if min(numbers) > 0 else [False]
    axes = [fit(numbers, 0, 1, log=log, write=_write(unit)) for log in kinds]
    return [
        {"low": axis.low, "high": axis.high, "ticks": [(one.value, one.text) for one in axis.ticks]}
        for axis in axes
    ]


def _axis(name: str, known: Sequence[Quantity], begin: float, end: float) -> Axis:
    numbers = [one.value for one in known]
    write, name = _write(known[0].unit), _label(name, known[0])
    return fit(numbers, begin, end, log=_is_log(numbers), name=name, write=write)


def _is_log(numbers: Sequence[float]) -> bool:
    """Whether they span more than a factor of eight."""
    return min(numbers) > 0 and max(numbers) > 8 * min(numbers)


def _label(name: str, known: Quantity) -> str:
    label = metric(name).label
    said = known.unit in ("", "1") or known.unit.lower() in label.lower()
    return label if said else f"{label} ({known.unit})"


def _write(unit: str) -> Callable[[float], str]:
    """How numbers stand at an axis: without a unit there is nothing that a prefix could go to."""
    return "{:.10g}".format if unit == "1" else tick


def grouping(rows: Sequence[Row]) -> str:
    """The fact of the workload that tells groups apart: 2 to 8 of them, technique before model."""
    for name in ("technique", "model", "paper", "task", "dataset", "data", "batch_size"):
        if 2 <= len({_group(row, name) for row in rows}) <= 8:
            return name
    return "kind"


def _group(row: Row, name: str) -> str:
    return str(row.result.workload.get(name, row.result.kind))


def pareto(
    points: Sequence[tuple[float, float]], x: Better | None, y: Better | None
) -> list[tuple[float, float]]:
    """Points than which none is as good in both and better in one, ordered by x.

    Where a direction is better for neither axis there is no front.
    """
    if x is None or y is None:
        return []
    x_sign, y_sign = (1 if way == "less" else -1 for way in (x, y))
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda one: (x_sign * one[0], y_sign * one[1])):
        if not front or y_sign * point[1] < y_sign * front[-1][1]:
            front.append(point)
    return sorted(front)
