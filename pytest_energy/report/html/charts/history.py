"""The energy of one benchmark over time: accepted baselines, older runs, this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pytest_energy.model.measurement import Facts, Quantity
from pytest_energy.model.result import Result, Run
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import HISTORY
from pytest_energy.report.numbers import measured, quantity, ticks_of
from pytest_energy.report.summary import energy_verdict

FEWEST = 3
"""The fewest points of a history; the table already shows baseline and this run."""


@dataclass(frozen=True)
class Dot:
    """One value."""

    x: float
    y: float
    text: str
    low: float
    high: float
    """Ends of its 95 % interval."""


@dataclass(frozen=True)
class Course:
    """Values in the order of time."""

    title: str
    y: Axis
    dots: tuple[Dot, ...]
    line: str
    trend: str
    """SVG path data of the straight line by least squares."""
    labels: tuple[tuple[float, str], ...]


def build_history(result: Result, run: Run, older: Sequence[Run]) -> Course | None:
    """Energy of accepted baselines, older runs and this run; ``None`` for too few points."""
    unit, points = points_of(result, run, older)
    if len(points) < FEWEST:
        return None
    bounds = [point.value + side for point in points for side in (-point.half, point.half)]
    y = fit(bounds, HISTORY.bottom, HISTORY.top, about=3, write=ticks_of(unit))
    step = HISTORY.span / len(points)
    dots: list[Dot] = []
    labels: list[tuple[float, str]] = []
    for index, (value, half, text, label) in enumerate(points):
        x = HISTORY.left + step * (index + 0.5)
        dots.append(Dot(x, y.at(value), text, y.at(value - half), y.at(value + half)))
        labels.append((x, label))
    line, trend = path([(dot.x, dot.y) for dot in dots]), straight(dots)
    every = 1 + len(labels) // 6  # more than about six commits do not fit below the axis
    return Course(f"energy ({unit})", y, tuple(dots), line, trend, tuple(labels[::every]))


def straight(dots: Sequence[Dot]) -> str:
    """SVG path data of the straight line through ``dots`` by least squares."""
    slope, start = np.polyfit([dot.x for dot in dots], [dot.y for dot in dots], 1)
    return path([(x, start + slope * x) for x in (dots[0].x, dots[-1].x)])


class Point(NamedTuple):
    """The energy of one run."""

    value: float
    half: float
    """Half-width of its 95 % interval; 0 if it is not known."""
    text: str
    label: str


def points_of(result: Result, run: Run, older: Sequence[Run]) -> tuple[str, list[Point]]:
    """The unit, and the energies of accepted baselines, older runs and this one."""
    verdict = energy_verdict(result)
    metric = verdict.metric if verdict else "energy_j"
    now = result.metrics.get(metric)
    if now is None:
        return "", []
    accepted = [
        Point(
            past.values[metric],
            0.0,
            f"accepted: {measured(past.values[metric], None, now.unit)}",
            _short(past.commit),
        )
        for past in result.verdict.history
        if metric in past.values
    ]
    # The command line takes older files in any order.
    runs = sorted(older, key=lambda earlier_run: earlier_run.created)
    points = (_earlier(earlier_run, result, run, metric) for earlier_run in runs)
    earlier = [point for point in points if point]
    return now.unit, [*accepted, *earlier, _point(run, now)]


def _earlier(older: Run, result: Result, run: Run, metric: str) -> Point | None:
    before = counterpart(older, result, run)
    known = before is not None and metric in before.metrics
    return _point(older, before.metrics[metric]) if before and known else None


def counterpart(older: Run, result: Result, run: Run) -> Result | None:
    """The result of an older run, if it measured the same workload on the same machine."""
    before = next((other for other in older.benchmarks if other.id == result.id), None)
    if before is None or before.workload != result.workload:
        return None
    return before if _machine(before, older) == _machine(result, run) else None


def _machine(result: Result, run: Run) -> Facts:
    return result.measured_in(run.environment).identity


def _point(run: Run, energy: Quantity) -> Point:
    text = f"{run.created}: {quantity(energy)}"
    return Point(energy.value, energy.uncertainty or 0.0, text, _short(run.run.commit))


def _short(commit: str | None) -> str:
    return commit[:7] if commit else "?"
