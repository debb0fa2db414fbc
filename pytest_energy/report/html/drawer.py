"""The details of one benchmark, which do not fit into the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Pair, Quantity, Round
from pytest_energy.model.metrics import metric, per_joule_name, per_unit_name
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.candidates import pair_sentence
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.charts.before_after import BeforeAfter, build_before_after
from pytest_energy.report.html.charts.history import Course, build_history
from pytest_energy.report.html.charts.overlay import Overlay, build_overlay
from pytest_energy.report.html.charts.power import Power, Unreadable, build_power
from pytest_energy.report.html.charts.sides import Sides, build_sides
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import humanized
from pytest_energy.report.sentences import (
    accept_command,
    difference,
    remarks,
    rerun_command,
    sentence,
    undecided,
)

PAGE_BYTES: Final = 5_800_000
"""The size that a page should not exceed; mail servers and artifact viewers refuse large files."""
BENCHMARK_BYTES: Final = 5_600
"""What a benchmark takes without a chart of its power, in all sections together."""
CHART_BYTES: Final = 2_400
"""What such a chart takes without the packed trace."""


@dataclass(frozen=True)
class Compared:
    """One metric and its baseline as text."""

    label: str
    outcome: Outcome
    cells: tuple[str, ...]
    """Baseline → now, change, tolerance."""


@dataclass(frozen=True)
class Drawer:
    """One benchmark in full."""

    key: str
    link: str
    name: str
    result: Result
    sentence: str
    """The verdict."""
    remarks: tuple[str, ...]
    """What would decide it, the likely cause, and what changed."""
    pair: str | None
    """The candidate beside its reference, block by block."""
    metrics: tuple[Compared, ...]
    differences: tuple[str, ...]
    """Facts that differ from the baseline's, but for those that the remarks name."""
    units: str
    """Joules per unit of work, and units per joule."""
    rounds: tuple[tuple[str, ...], ...]
    """The names of the columns, then the cells of each round."""
    budget: str
    """The terms of the uncertainty, largest first."""
    sides: Sides | None
    """Block by block, where another revision was compared."""
    overlay: Overlay | None
    """Where several visits have traces."""
    power: tuple[Power | Unreadable, ...]
    charts_left_out: bool
    """Whether the page has no room for the charts of its power."""
    before_after: BeforeAfter | None
    history: Course | None
    undecided: str | None
    """Which limit ended the measuring of an inconclusive benchmark, and what would decide it."""
    workload: str
    rerun: str
    accept: str | None

    @property
    def agreements(self) -> list[float]:
        """The relative difference between each trace's joules and the counter's."""
        agreements = [chart.agreement for chart in self.power if isinstance(chart, Power)]
        return [agreement for agreement in agreements if agreement is not None]


def rows_with_charts(rows: Sequence[Row]) -> set[int]:
    """The places of the rows whose power is drawn: all, unless the page grew beyond its size.

    In a very large run the charts are those of the benchmarks that matter most: by outcome, those
    within their tolerance last.
    """
    order = sorted(Outcome, key=lambda outcome: outcome is Outcome.UNCHANGED)
    room, places = PAGE_BYTES - BENCHMARK_BYTES * len(rows), set()
    for row in sorted(rows, key=lambda row: order.index(row.result.verdict.outcome)):
        traces = row.result.trace or []
        room -= sum(len(trace.data) for trace in traces) + CHART_BYTES * max(1, len(traces))
        if room < 0:
            break
        places.add(row.place)
    return places


def build_drawer(row: Row, run: Run, older: Sequence[Reference], *, charts: bool = True) -> Drawer:
    """The drawer of ``row``.

    Args:
        row: The benchmark.
        run: Its run.
        older: Older runs, for its history.
        charts: Whether its power is drawn.
    """
    result = row.result
    verdict = result.verdict
    remarked = verdict.outcome is not Outcome.UNCHANGED
    return Drawer(
        key=row.key,
        link=row.link,
        name=row.name,
        result=result,
        sentence=sentence(result),
        remarks=tuple(remarks(result)) if remarked else (),
        pair=_pair(result.pair),
        metrics=_compared(result),
        differences=tuple(
            map(difference, [*verdict.differences, *([] if remarked else verdict.context)])
        ),
        units=_units(result),
        rounds=_rounds(result.rounds),
        budget=_budget(result.energy),
        sides=build_sides(result),
        overlay=build_overlay(result) if charts else None,
        power=tuple(build_power(result, run)) if charts else (),
        charts_left_out=not charts,
        before_after=build_before_after(result, run, older),
        history=build_history(result, run, [reference.run for reference in older]),
        undecided=undecided(result),
        workload=" · ".join(
            f"{name.replace('_', ' ')} {numbers.fact(value)}"
            for name, value in result.workload.items()
        ),
        rerun=rerun_command(result),
        accept=accept_command(result),
    )


def _compared(result: Result) -> tuple[Compared, ...]:
    """The metrics beside their baselines."""
    rows = []
    for verdict in result.verdict.metrics:
        quantity = result.metrics.get(verdict.metric)
        uncertainty = quantity.uncertainty if quantity else None
        change, allowed = numbers.change(verdict), numbers.tolerance(verdict.tolerance)
        cells = (numbers.before_after(verdict, uncertainty), change, allowed)
        rows.append(Compared(metric(verdict.metric).label, verdict.outcome, cells))
    return tuple(rows)


def _pair(pair: Pair | None) -> str | None:
    """``fast saves 12.0 % [11.2, 12.8] against eager; blocks: −12.1 %, −11.9 %``."""
    if pair is None or pair.change is None:
        return None
    blocks = ", ".join(map(numbers.log_change, pair.differences))
    return f"{pair_sentence(pair)}; blocks: {blocks}"


def _units(result: Result) -> str:
    """``0.41 ± 0.01 J/token · 2.4 ± 0.1 token/J``."""
    names = (
        name
        for unit in result.units
        for name in (per_unit_name(unit), per_joule_name(unit))
        if name in result.metrics
    )
    return " · ".join(numbers.quantity(result.metrics[name]) for name in names)


def _rounds(rounds: Sequence[Round]) -> tuple[tuple[str, ...], ...]:
    """The rounds as a table, without columns of zeros or missing values."""
    if not rounds:
        return ()
    names = dict.fromkeys(name for measured in rounds for name in measured.conditions)
    shown = [name for name in names if any(r.conditions.get(name) for r in rounds)]
    remarked = any(measured.reasons for measured in rounds)
    head = ("Round", "Energy", "A pass", "Duration", "Passes", *map(humanized, shown))
    lines = [(*head, "Remarks") if remarked else head]
    for index, measured in enumerate(rounds, 1):
        passes, duration = numbers.count(measured.passes), numbers.seconds(measured.duration_s)
        energy, a_pass = numbers.MISSING, numbers.MISSING
        if measured.energy_j is not None:
            energy = numbers.measured(measured.energy_j, measured.uncertainty_j, "J")
            if measured.passes:
                a_pass = numbers.energy(measured.energy_j / measured.passes)
        conditions = (numbers.fact(measured.conditions.get(name)) for name in shown)
        cells = (str(index), energy, a_pass, duration, passes, *conditions)
        reasons = "; ".join(reason.message for reason in measured.reasons) or numbers.MISSING
        lines.append((*cells, reasons) if remarked else cells)
    return tuple(lines)


def _budget(energy: Quantity | None) -> str:
    """``scatter 63 % (465 µJ/pass) · gain 34 % (341 µJ/pass)``.

    The shares are of the variance, because standard uncertainties add as squares (GUM 5.1.2).
    """
    if energy is None:
        return ""
    variance = sum(term**2 for term in energy.budget.values())
    terms = sorted(energy.budget.items(), key=lambda item: item[1], reverse=True)
    return " · ".join(
        f"{cause} {numbers.percent(term**2 / variance, 0, sign=False)}"
        f" ({numbers.energy(term, energy.unit)})"
        for cause, term in terms
        if variance > 0
    )
