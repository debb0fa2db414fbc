"""The columns of the table in the terminal and in Markdown; each row is a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_energy.model.metrics import PER_UNIT
from pytest_energy.model.result import MetricVerdict, Result
from pytest_energy.report import candidates, numbers, pairs


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    title: str
    cell: Callable[[Result], str]
    rank: int
    """Where the width is too small, columns with the highest rank are dropped first."""
    numeric: bool = True


def metric_verdict(result: Result, metric: str = "energy_j") -> MetricVerdict | None:
    """The verdict on one metric, if it was judged."""
    return next((v for v in result.verdict.metrics if v.metric == metric), None)


def _with_uncertainty(metric: str) -> Callable[[Result], str]:
    return lambda result: numbers.quantity(result.metrics.get(metric))


def _rounded(metric: str) -> Callable[[Result], str]:
    # A terminal has no room for every uncertainty; that of the energy decides.
    def cell(result: Result) -> str:
        quantity = result.metrics.get(metric)
        return numbers.quantity(quantity and quantity.model_copy(update={"uncertainty": None}))

    return cell


def _per_unit(result: Result) -> str:
    """Joules per unit of work; the first one if there are several."""
    named = (name for name in result.metrics if name.startswith(PER_UNIT))
    return numbers.quantity(result.metrics.get(next(named, "")))


def _baseline(result: Result) -> str:
    verdict = metric_verdict(result)
    if verdict is None or verdict.baseline is None or verdict.value is None:
        return numbers.MISSING
    return numbers.measured(verdict.baseline, verdict.baseline_uncertainty, verdict.unit)


def _interval(result: Result) -> str:
    verdict = metric_verdict(result)
    return numbers.change(verdict) if verdict else numbers.MISSING


def _change(result: Result) -> str:
    verdict = metric_verdict(result)
    return numbers.percent(verdict.change if verdict else None)


def _outcome(result: Result) -> str:
    outcome = result.verdict.outcome
    return f"{outcome.traits.symbol} {outcome.label}"


WIDE = (
    Column("baseline", _baseline, 1),
    Column("energy", _with_uncertainty("energy_j"), 0),
    Column("change", _interval, 1),
    Column("per unit", _per_unit, 2),
    Column("vs reference", candidates.difference, 1),
    Column("latency", _with_uncertainty("latency_s"), 2),
    Column("power", _with_uncertainty("power_w"), 3),
    Column("FLOPs", _with_uncertainty("flops"), 4),
    Column("params", _with_uncertainty("params"), 5),
)
"""With every uncertainty, for pages that scroll."""
PAIRED = (
    Column("base → head", pairs.base_and_head, 0),
    Column("difference [95 %]", pairs.difference, 1),
    Column("blocks", lambda result: pairs.blocks(result.comparison), 2),
    Column("outcome", _outcome, 0, numeric=False),
)
"""For benchmarks that were compared with another revision."""
NARROW = (
    Column("energy", _with_uncertainty("energy_j"), 0),
    Column("per unit", _per_unit, 2),
    Column("change", _change, 1),
    Column("vs reference", candidates.difference, 1),
    Column("latency", _rounded("latency_s"), 2),
    Column("power", _rounded("power_w"), 3),
    Column("FLOPs", _rounded("flops"), 4),
    Column("params", _rounded("params"), 5),
    Column("outcome", _outcome, 0, numeric=False),
)
"""For a terminal."""


def filled(columns: Sequence[Column], results: Sequence[Result]) -> tuple[Column, ...]:
    """The columns in which at least one result has a value."""
    return tuple(
        column
        for column in columns
        if any(column.cell(result) != numbers.MISSING for result in results)
    )
