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
from pytest_energy.report.html.charts.axes import Axis
from pytest_energy.report.html.charts.geometry import ROW
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.numbers import MINUS

LARGEST = 1.0
"""Changes beyond ±100 % are cut at the edge, where an arrow shows it."""
_ORDER = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNCHANGED)


@dataclass(frozen=True)
class ForestRow:
    """One benchmark's interval."""

    row: Row
    verdict: MetricVerdict
    at: float
    low: float
    high: float
    band: tuple[float, float]
    """Pixels of minus and plus the tolerance."""
    beyond: str
    """``<`` or ``>`` if the interval extends beyond the axis, otherwise empty."""


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
    known = [entry.name for entry in present([row.result for row in rows])]
    names = sorted(compared, key=lambda name: known.index(name) if name in known else len(known))
    return [_forest(name, compared[name]) for name in names if _varies(compared[name])]


def _varies(pairs: Sequence[tuple[Row, MetricVerdict]]) -> bool:
    """Whether there is anything to draw: unchanged exact metrics have no interval."""
    return any(verdict.low != verdict.high or verdict.change for _, verdict in pairs)


def _forest(name: str, pairs: Sequence[tuple[Row, MetricVerdict]]) -> Forest:
    axis = _axis([verdict for _, verdict in pairs])
    rows = sorted((_row(*pair, axis) for pair in pairs), key=_importance)
    moved = tuple(row for row in rows if row.verdict.outcome in _ORDER)
    still = tuple(row for row in rows if row.verdict.outcome not in _ORDER)
    return Forest(name, metric(name).label, axis, moved, still)


def _axis(verdicts: Sequence[MetricVerdict]) -> Axis:
    reach = [abs(bound) for verdict in verdicts for bound in _bounds(verdict)]
    reach += [verdict.tolerance or 0.0 for verdict in verdicts]
    largest = min(LARGEST, max(*reach, 0.01) * 1.08)
    return Axis(-largest, largest, ROW.left, ROW.right, write=_per_cent)


def _per_cent(fraction: float) -> str:
    return f"{fraction * 100:+.3g} %".replace("-", MINUS) if fraction else "0"


def _bounds(verdict: MetricVerdict) -> tuple[float, float]:
    change = verdict.change or 0.0
    low = change if verdict.low is None else verdict.low
    return low, change if verdict.high is None else verdict.high


def _row(row: Row, verdict: MetricVerdict, axis: Axis) -> ForestRow:
    low, high = _bounds(verdict)
    allowed = verdict.tolerance or 0.0
    return ForestRow(
        row=row,
        verdict=verdict,
        at=axis.clipped(verdict.change or 0.0),
        low=axis.clipped(low),
        high=axis.clipped(high),
        band=(axis.clipped(-allowed), axis.clipped(allowed)),
        beyond="<" if low < axis.low else ">" if high > axis.high else "",
    )


def _importance(row: ForestRow) -> tuple[int, float]:
    outcome = row.verdict.outcome
    place = _ORDER.index(outcome) if outcome in _ORDER else len(_ORDER)
    return place, -abs(row.verdict.change or 0.0)
