"""The course of each benchmark's energy over several runs, one row a benchmark.

All rows share one scale, relative to the first value of each, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.result import Run
from pytest_energy.report import numbers
from pytest_energy.report.html.charts.axes import Axis
from pytest_energy.report.html.charts.geometry import TREND
from pytest_energy.report.html.charts.history import FEWEST, Dot, Point, points_of, straight
from pytest_energy.report.html.results_table import Row

LARGEST = 1.0
"""Values beyond ±100 % of the first are cut at the edge."""


@dataclass(frozen=True)
class Trend:
    """One benchmark."""

    row: Row
    dots: tuple[Dot, ...]
    trend: str
    """SVG path data of the straight line by least squares."""
    first: str
    last: str


@dataclass(frozen=True)
class Trends:
    """All benchmarks with a history, the largest change first."""

    axis: Axis
    rows: tuple[Trend, ...]


def build_trends(rows: Sequence[Row], run: Run, older: Sequence[Run]) -> Trends | None:
    """The trends over accepted baselines, older runs and this one; ``None`` without a history."""
    known = [
        (row, unit, points)
        for row in rows
        for unit, points in [points_of(row.result, run, older)]
        if len(points) >= FEWEST and points[0].value > 0
    ]
    if not known:
        return None
    ends = [end for *_, points in known for point in points for end in _relative(point, points)]
    reach = min(LARGEST, max(0.01, *map(abs, ends))) * 1.05
    axis = Axis(-reach, reach, TREND.bottom, TREND.top)
    known.sort(key=lambda each: -abs(each[2][-1].value / each[2][0].value - 1))
    return Trends(axis, tuple(_trend(row, unit, points, axis) for row, unit, points in known))


def _relative(point: Point, points: Sequence[Point]) -> tuple[float, float, float]:
    """A value and the ends of its interval, as changes since the first."""
    first = points[0].value
    return (
        point.value / first - 1,
        (point.value - point.half) / first - 1,
        (point.value + point.half) / first - 1,
    )


def _trend(row: Row, unit: str, points: Sequence[Point], axis: Axis) -> Trend:
    step = TREND.span / len(points)
    dots = [
        Dot(TREND.left + step * (index + 0.5), at, point.text, low, high)
        for index, point in enumerate(points)
        for at, low, high in [map(axis.clipped, _relative(point, points))]
    ]
    first, last = points[0], points[-1]
    return Trend(
        row=row,
        dots=tuple(dots),
        trend=straight(dots),
        first=numbers.measured(first.value, first.half or None, unit),
        last=numbers.measured(last.value, last.half or None, unit),
    )
