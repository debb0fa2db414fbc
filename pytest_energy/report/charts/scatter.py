"""One metric against another, with the benchmarks that none beats in both (the Pareto front)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.measurement import Quantity
from pytest_energy.report.charts.axes import Axis, fit, path
from pytest_energy.report.charts.marks import COLOURS, SHAPES, Mark, marks
from pytest_energy.report.format import quantity
from pytest_energy.report.metrics import Better, metric, values
from pytest_energy.report.results import Row

WIDTH, HEIGHT = 560, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46


@dataclass(frozen=True)
class Preset:
    """A figure that people know."""

    title: str
    x: str
    y: str
    source: str = ""


PRESETS = (
    Preset("Energy against latency", "latency_s", "energy_j"),
    Preset("Energy against FLOPs", "flops", "energy_j", "as in Edelman et al. 2023"),
    Preset("Latency against parameters", "params", "latency_s", "as in Badar et al. 2021"),
    Preset("Accuracy against energy", "energy_j", "accuracy", "as in Badar et al. 2021"),
    Preset(
        "Accuracy against training energy",
        "total_energy_j",
        "accuracy",
        "as in Badar et al. 2021",
    ),
    Preset("Accuracy against CO₂", "co2_g", "accuracy", "as in Badar et al. 2021"),
)


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
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    front: str
    """SVG path data of the Pareto front; empty where no direction is better."""
    legend: tuple[Mark, ...]


def build_scatters(rows: Sequence[Row]) -> list[Scatter]:
    """The presets of which there are two benchmarks or more at different places."""
    return [found for preset in PRESETS if (found := _scatter(preset, rows))]


def _scatter(preset: Preset, rows: Sequence[Row]) -> Scatter | None:
    pairs = [
        (row, known[preset.x], known[preset.y])
        for row in _comparable(rows)
        if preset.x in (known := values(row.result)) and preset.y in known
    ]
    if len({(x.value, y.value) for _, x, y in pairs}) < 2:
        return None
    x_axis = _axis(preset.x, [x for _, x, _ in pairs], LEFT, WIDTH - RIGHT)
    y_axis = _axis(preset.y, [y for _, _, y in pairs], HEIGHT - BOTTOM, TOP)
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
    return Scatter(preset, x_axis, y_axis, points, line, tuple(legend.values()))


@dataclass(frozen=True)
class Explorer:
    """What the script needs to draw any metric against any."""

    unit: str | None
    """Of energy: benchmarks of other units are left out."""
    group: str
    shapes: tuple[str, ...]
    colours: int


def build_explorer(rows: Sequence[Row]) -> Explorer:
    """The settings with which the script begins."""
    shown = _comparable(rows)
    energy = shown[0].result.energy if shown else None
    return Explorer(energy.unit if energy else None, grouping(shown), SHAPES, len(COLOURS))


def _comparable(rows: Sequence[Row]) -> list[Row]:
    """Rows of the most frequent unit of energy: joules a pass and an epoch do not mix."""
    units = Counter(row.result.energy.unit for row in rows if row.result.energy)
    if not units:
        return list(rows)
    common = units.most_common(1)[0][0]
    return [row for row in rows if row.result.energy and row.result.energy.unit == common]


def _axis(name: str, known: Sequence[Quantity], begin: float, end: float) -> Axis:
    """Logarithmic where values span more than a factor of eight."""
    numbers = [one.value for one in known]
    log = min(numbers) > 0 and max(numbers) > 8 * min(numbers)
    unit = known[0].unit
    label = metric(name).label + ("" if unit in ("", "1") else f" ({unit})")
    return fit(numbers, begin, end, log=log, name=label)


def grouping(rows: Sequence[Row]) -> str:
    """The fact of the workload that tells groups apart: 2 to 8 of them, technique before model."""
    for name in ("technique", "model", "data", "batch_size"):
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
