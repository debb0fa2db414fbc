"""Change against the baseline with its 95 % interval and the tolerance band, one row a benchmark.

Each row of the table has its own small drawing on a common axis. Therefore the plot can break
across printed pages, and its numbers stand beside it as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict
from pytest_energy.report.derived_metrics import present
from pytest_energy.report.html.charts.axes import Axis, percent_tick
from pytest_energy.report.html.charts.geometry import MOST_ROWS, ROW
from pytest_energy.report.html.results_table import Row

LARGEST = 1.0
"""Changes beyond ±100 % are cut at the edge, where an arrow shows it."""
MOVED = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNCHANGED)


@dataclass(frozen=True)
class ForestRow:
    """One benchmark's interval; its pixels are computed when it is drawn, as most are not."""

    row: Row
    verdict: MetricVerdict
    axis: Axis

    @property
    def at(self) -> float:
        """The change."""
        return self.axis.clipped(self.verdict.change or 0.0)

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.axis.clipped(_bounds(self.verdict)[0])

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.axis.clipped(_bounds(self.verdict)[1])

    @property
    def band(self) -> tuple[float, float]:
        """Minus and plus the tolerance."""
        allowed = self.verdict.tolerance or 0.0
        return self.axis.clipped(-allowed), self.axis.clipped(allowed)

    @property
    def beyond(self) -> str:
        """``<`` or ``>`` if the interval extends beyond the axis, otherwise empty."""
        low, high = _bounds(self.verdict)
        return "<" if low < self.axis.low else ">" if high > self.axis.high else ""

    @property
    def background(self) -> str:
        """The id of the tolerance band with the line of zero, which most rows share."""
        return f"band-{self.band[0]:.1f}"


@dataclass(frozen=True)
class Forest:
    """All intervals of one metric."""

    name: str
    label: str
    axis: Axis
    moved: tuple[ForestRow, ...]
    """All but the unchanged, in the order of outcomes, largest change first."""
    still: tuple[ForestRow, ...]

    @property
    def backgrounds(self) -> dict[str, tuple[float, float]]:
        """The bands of the rows that are drawn, by id."""
        drawn = (*self.moved[:MOST_ROWS], *self.still[:MOST_ROWS])
        return {row.background: row.band for row in drawn}

    @property
    def count(self) -> int:
        """The number of benchmarks."""
        return len(self.moved) + len(self.still)


def build_forests(rows: Sequence[Row]) -> list[Forest]:
    """One forest for each metric that was compared, energy first."""
    compared: dict[str, list[tuple[Row, MetricVerdict]]] = {}
    for row in rows:
        for verdict in row.result.verdict.metrics:
            if verdict.change is not None:
                compared.setdefault(verdict.metric, []).append((row, verdict))
    # Unchanged exact metrics have no interval, so there is nothing to draw.
    drawn = {
        name: pairs
        for name, pairs in compared.items()
        if any(verdict.low != verdict.high or verdict.change for _, verdict in pairs)
    }
    known = [entry.name for entry in present([row.result for row in rows])]
    names = sorted(drawn, key=lambda name: known.index(name) if name in known else len(known))
    return [_forest(name, drawn[name]) for name in names]


def _forest(name: str, pairs: Sequence[tuple[Row, MetricVerdict]]) -> Forest:
    reach = [abs(bound) for _, verdict in pairs for bound in _bounds(verdict)]
    reach += [verdict.tolerance or 0.0 for _, verdict in pairs]
    largest = min(LARGEST, max(*reach, 0.01) * 1.08)
    axis = Axis(-largest, largest, ROW.left, ROW.right, write=percent_tick)
    by_size = sorted(pairs, key=lambda pair: abs(pair[1].change or 0.0), reverse=True)
    rows = [ForestRow(row, verdict, axis) for row, verdict in by_size]
    moved = tuple(row for outcome in MOVED for row in rows if row.verdict.outcome is outcome)
    still = tuple(row for row in rows if row.verdict.outcome not in MOVED)
    return Forest(name, metric(name).label, axis, moved, still)


def _bounds(verdict: MetricVerdict) -> tuple[float, float]:
    """The ends of the interval; a change without an interval is its own two ends."""
    change = verdict.change or 0.0
    low = change if verdict.low is None else verdict.low
    return low, change if verdict.high is None else verdict.high
