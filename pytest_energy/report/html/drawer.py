"""Everything about one benchmark that the table has no room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Quantity, Round
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.html.charts.history import Course, build_history
from pytest_energy.report.html.charts.power import Power, Unreadable, build_power
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import said
from pytest_energy.report.sentences import rerun_command


@dataclass(frozen=True)
class Compared:
    """One metric beside its baseline, as text."""

    label: str
    outcome: Outcome
    cells: tuple[str, ...]
    """Baseline → now, change, tolerance."""


@dataclass(frozen=True)
class Drawer:
    """One benchmark in full."""

    key: str
    name: str
    result: Result
    metrics: tuple[Compared, ...]
    rounds: tuple[tuple[str, ...], ...]
    """Names of columns, then the cells of each round."""
    budget: str
    """What makes up the uncertainty, largest first."""
    power: tuple[Power | Unreadable, ...]
    history: Course | None
    workload: str
    rerun: str
    accept: str

    @property
    def agreements(self) -> list[float]:
        """How far each trace's joules lie from the counter's, relative."""
        known = [one.agreement for one in self.power if isinstance(one, Power)]
        return [agreement for agreement in known if agreement is not None]


def build_drawer(row: Row, run: Run, older: Sequence[Run]) -> Drawer:
    """The drawer of ``row``."""
    result = row.result
    rerun = rerun_command(result)
    return Drawer(
        key=row.key,
        name=row.name,
        result=result,
        metrics=tuple(_compared(verdict, result) for verdict in result.verdict.metrics),
        rounds=_rounds(result.rounds),
        budget=_budget(result.energy),
        power=tuple(build_power(result, run)),
        history=build_history(result, run, older),
        workload=" · ".join(
            f"{name.replace('_', ' ')} {numbers.fact(value)}"
            for name, value in result.workload.items()
        ),
        rerun=rerun,
        accept=f"{rerun} --energy-update",
    )


def _compared(verdict: MetricVerdict, result: Result) -> Compared:
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    change, allowed = numbers.change(verdict), numbers.tolerance(verdict.tolerance)
    cells = (numbers.before_after(verdict, uncertainty), change, allowed)
    return Compared(metric(verdict.metric).label, verdict.outcome, cells)


def _rounds(rounds: Sequence[Round]) -> tuple[tuple[str, ...], ...]:
    """The rounds as a table, without columns that say nothing."""
    if not rounds:
        return ()
    names = dict.fromkeys(name for done in rounds for name in done.conditions)
    telling = [name for name in names if any(done.conditions.get(name) for done in rounds)]
    remarks = [_remarks(done) for done in rounds] if any(d.reasons for d in rounds) else []
    head = ("Round", "Passes", "Duration", "Energy", "A pass", *map(said, telling))
    body = [
        (str(index), *_joules(done), *(numbers.fact(done.conditions.get(name)) for name in telling))
        for index, done in enumerate(rounds, 1)
    ]
    if not remarks:
        return (head, *body)
    told = [(*cells, remark) for cells, remark in zip(body, remarks, strict=True)]
    return ((*head, "Remarks"), *told)


def _joules(done: Round) -> tuple[str, ...]:
    joules, a_pass = numbers.MISSING, numbers.MISSING
    if done.energy_j is not None:
        joules = numbers.measured(done.energy_j, done.uncertainty_j, "J")
        a_pass = numbers.energy(done.energy_j / done.passes) if done.passes else numbers.MISSING
    return numbers.count(done.passes), numbers.seconds(done.duration_s), joules, a_pass


def _remarks(done: Round) -> str:
    return "; ".join(reason.message for reason in done.reasons) or numbers.MISSING


def _budget(energy: Quantity | None) -> str:
    """``scatter 63 % (465 µJ/pass) · gain 34 % (341 µJ/pass)``.

    Shares are of the variance: standard uncertainties add as squares (GUM 5.1.2).
    """
    if energy is None:
        return ""
    variance = sum(term**2 for term in energy.budget.values())
    terms = sorted(energy.budget.items(), key=lambda item: item[1], reverse=True)
    return " · ".join(
        f"{cause} {numbers.percent(term**2 / variance, 0, sign=False)} ({told})"
        for cause, term in terms
        for told in [numbers.energy(term, energy.unit)]
        if variance > 0
    )
