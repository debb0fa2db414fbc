"""One metric against another, with Pareto fronts: benchmarks that no other beats in both.

Each task and data set has a front of its own. To classify an image and to segment a street are
different work, so neither beats the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

from pytest_energy.model.measurement import Kind, Quantity
from pytest_energy.model.metrics import CATALOGUE, PER_UNIT, SCORES, Better, metric
from pytest_energy.report.derived_metrics import direction
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import SCATTER
from pytest_energy.report.html.charts.marks import COLOURS, SHAPES, Mark, Palette, group_of
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.numbers import quantity, takes_prefix, ticks_have, ticks_of

MARK: Final = 8
"""Pixels that a mark covers of its own interval."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""A figure shows one kind: joules a pass and joules an epoch are not comparable."""


@dataclass(frozen=True)
class Preset:
    """A well-known figure."""

    title: str
    x: str
    y: str
    kinds: tuple[Kind, ...] = KINDS
    """It is drawn for the first of these kinds that has two points."""


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
"""The figures drawn before the reader chooses axes, with three for each score."""


@dataclass(frozen=True)
class Point:
    """One benchmark."""

    row: Row
    x: float
    y: float
    mark: Mark
    text: str
    bars: str
    """SVG path data of the 95 % intervals across and up; empty if the mark covers both."""


@dataclass(frozen=True)
class Scatter:
    """One figure."""

    preset: Preset
    kind: Kind
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    fronts: tuple[str, ...]
    """SVG path data of the Pareto fronts; none if an axis has no better direction."""
    legend: tuple[Mark, ...]


def build_scatters(rows: Sequence[Row], palette: Palette) -> list[Scatter]:
    """The presets with at least two benchmarks at different points, and those of joules a token."""
    figures = []
    units = dict.fromkeys(name for row in rows for name in row.metrics if name.startswith(PER_UNIT))
    per_unit = [
        Preset(f"{metric(name).label} against latency", "latency_s", name) for name in units
    ]
    for preset in (*PRESETS, *per_unit):
        candidates = (_scatter(preset, kind, rows, palette) for kind in preset.kinds)
        if figure := next(filter(None, candidates), None):
            figures.append(figure)
    return figures


def _scatter(preset: Preset, kind: Kind, rows: Sequence[Row], palette: Palette) -> Scatter | None:
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
    names = dict.fromkeys(group_of(row, group) for row, _, _ in pairs)
    legend = {name: palette.of(group, name) for name in names}
    points = tuple(
        Point(
            row,
            x_axis.at(x.value),
            y_axis.at(y.value),
            legend[group_of(row, group)],
            f"{quantity(x)}, {quantity(y)}",
            _bars(x, y, x_axis, y_axis),
        )
        for row, x, y in pairs
    )
    ways = metric(preset.x).better, metric(preset.y).better
    by_work: dict[object, list[tuple[float, float]]] = defaultdict(list)
    for row, x, y in pairs:
        by_work[_work(row)].append((x.value, y.value))
    fronts = [pareto(group, *ways) for group in by_work.values()]
    lines = tuple(
        path([(x_axis.at(x), y_axis.at(y)) for x, y in front]) for front in fronts if len(front) > 1
    )
    return Scatter(preset, kind, x_axis, y_axis, points, lines, tuple(legend.values()))


WORK: Final = ("task", "dataset", "data")
"""The facts that benchmarks on one front share. The script groups by the same."""


def _work(row: Row) -> object:
    return tuple(row.result.workload.get(name) for name in WORK)


def _bars(x: Quantity, y: Quantity, x_axis: Axis, y_axis: Axis) -> str:
    """A line across and a line up, each as long as the interval; none that the mark covers."""
    at_x, at_y = x_axis.at(x.value), y_axis.at(y.value)
    (left, right), (bottom, top) = _ends(x, x_axis), _ends(y, y_axis)
    across = f"M{left:.1f} {at_y:.1f}H{right:.1f}" if right - left > MARK else ""
    return across + (f"M{at_x:.1f} {bottom:.1f}V{top:.1f}" if bottom - top > MARK else "")


def _ends(known: Quantity, axis: Axis) -> tuple[float, float]:
    half = known.uncertainty or 0.0
    return axis.clipped(known.value - half), axis.clipped(known.value + half)


Plain = dict[str, object]


@dataclass(frozen=True)
class Explorer:
    """Values for the script, which draws any metric against any other."""

    group: str
    """The fact that distinguishes groups at first."""
    kinds: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    """Metrics that may be an axis, and their labels."""
    facts: tuple[str, ...]
    shapes: tuple[str, ...]
    colours: int
    data: Plain
    """Axes by kind and metric, the values from training by row, and the facts of :data:`WORK`."""


def build_explorer(rows: Sequence[Row]) -> Explorer:
    """The script's values and first settings."""
    kinds = tuple(kind for kind in KINDS if any(row.result.kind == kind for row in rows))
    axes: dict[str, Plain] = {
        kind: _axes([row for row in rows if row.result.kind == kind]) for kind in kinds
    }
    training = {row.key: {n: q.value for n, q in row.training.items()} for row in rows}
    names = {name for of_kind in axes.values() for name in of_kind}
    known = [entry.name for entry in CATALOGUE if entry.name in names]
    return Explorer(
        group=grouping(rows),
        kinds=tuple(axes),
        labels=tuple((n, metric(n).label) for n in (*known, *sorted(names - set(known)))),
        facts=tuple(dict.fromkeys(["kind", *(n for row in rows for n in row.result.workload)])),
        shapes=SHAPES,
        colours=len(COLOURS),
        data={
            "axes": axes,
            "training": {key: row for key, row in training.items() if row},
            "work": WORK,
        },
    )


def _axes(rows: Sequence[Row]) -> Plain:
    """An axis for every metric of these rows, as plain values."""
    by_name: dict[str, list[Quantity]] = {}
    for row in rows:
        for name, value in row.known().items():
            by_name.setdefault(name, []).append(value)
    results = [row.result for row in rows]
    return {
        name: {
            "label": _label(name, known[0]),
            "metric": metric(name).label,
            "unit": known[0].unit if known[0].unit != "1" else "",
            "prefixed": takes_prefix(known[0].unit),
            "better": direction(name, results),
            "log": _is_log([quantity.value for quantity in known]),
            "scales": _scales(known),
        }
        for name, known in by_name.items()
    }


def _scales(known: Sequence[Quantity]) -> list[Plain]:
    """The linear scale and, if all values are positive, the logarithmic one."""
    kinds = [False, True] if min(quantity.value for quantity in known) > 0 else [False]
    write = ticks_of(known[0].unit)
    # The script draws with these ticks, so that they are those of the figures without script.
    axes = [fit(_reach(known, log=log), 0, 1, log=log, write=write) for log in kinds]
    return [
        {
            "low": axis.low,
            "high": axis.high,
            "ticks": [(mark.value, mark.text) for mark in axis.ticks],
        }
        for axis in axes
    ]


def _axis(name: str, known: Sequence[Quantity], begin: float, end: float) -> Axis:
    log = _is_log([quantity.value for quantity in known])
    write, name = ticks_of(known[0].unit), _label(name, known[0])
    return fit(_reach(known, log=log), begin, end, log=log, name=name, write=write)


def _reach(known: Sequence[Quantity], *, log: bool) -> list[float]:
    """All values with the ends of their intervals, as far as the axis can show them."""
    halves = [(quantity.value, quantity.uncertainty or 0.0) for quantity in known]
    ends = [end for value, half in halves for end in (value - half, value, value + half)]
    return [end for end in ends if end > 0 or not log]


def _is_log(values: Sequence[float]) -> bool:
    """Whether the values span more than a factor of eight."""
    return min(values) > 0 and max(values) > 8 * min(values)


def _label(name: str, known: Quantity) -> str:
    label = metric(name).label
    complete = known.unit in ("", "1") or ticks_have(known.unit)
    complete = complete or known.unit.lower() in label.lower()
    return label if complete else f"{label} ({known.unit})"


def grouping(rows: Sequence[Row]) -> str:
    """The first fact that forms 2 to 8 groups; technique comes before model."""
    for name in ("technique", "model", "paper", "task", "dataset", "data", "batch_size"):
        if 2 <= len({group_of(row, name) for row in rows}) <= 8:
            return name
    return "kind"


def pareto(
    points: Sequence[tuple[float, float]], x: Better | None, y: Better | None
) -> list[tuple[float, float]]:
    """The Pareto front, ordered by x: no other point is as good in both and better in one.

    It is empty if an axis has no better direction.
    """
    if x is None or y is None:
        return []
    x_sign, y_sign = (1 if way == "less" else -1 for way in (x, y))
    # From the best x to the worst, a point is on the front if its y beats all before it.
    front: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda point: (x_sign * point[0], y_sign * point[1])):
        if not front or y_sign * point[1] < y_sign * front[-1][1]:
            front.append(point)
    return sorted(front)
