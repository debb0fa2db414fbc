"""Everything about one benchmark that the table has no room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.measurement import Quantity, Result, Run
from pytest_energy.report.charts.conditions import (
    Course,
    Sparkline,
    build_history,
    build_sparklines,
)
from pytest_energy.report.charts.power import Power, Unreadable, build_power
from pytest_energy.report.format import measured
from pytest_energy.report.results import Row
from pytest_energy.report.sentences import rerun_command


@dataclass(frozen=True)
class BudgetTerm:
    """One cause of uncertainty."""

    cause: str
    text: str
    share: float
    """Of the variance: standard uncertainties add as squares (GUM 5.1.2)."""


@dataclass(frozen=True)
class Drawer:
    """One benchmark in full."""

    key: str
    name: str
    result: Result
    conditions: dict[str, str]
    """What the edges of its rounds showed: names, and how people say them."""
    budget: tuple[BudgetTerm, ...]
    """Largest first."""
    power: tuple[Power | Unreadable, ...]
    sparklines: tuple[Sparkline, ...]
    """Temperature and clocks over the rounds."""
    history: Course | None
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
        conditions={name: _said(name) for one in result.rounds for name in one.conditions},
        budget=_budget(result.energy),
        power=tuple(build_power(result, run)),
        sparklines=tuple(build_sparklines(result)),
        history=build_history(result, run, older),
        rerun=rerun,
        accept=f"{rerun} --energy-update",
    )


_UNITS = {"_c": " (°C)", "_mhz": " (MHz)", "_w": " (W)", "_s": " (s)", "_j": " (J)"}


def _said(condition: str) -> str:
    """``gpu0 temperature (°C)`` for ``gpu0.temperature_c``."""
    unit = next((unit for unit in _UNITS if condition.endswith(unit)), "")
    words = condition.removesuffix(unit).replace(".", " ").replace("_", " ")
    return words + _UNITS.get(unit, "")


def _budget(energy: Quantity | None) -> tuple[BudgetTerm, ...]:
    if energy is None:
        return ()
    variance = sum(term**2 for term in energy.budget.values())
    terms = sorted(energy.budget.items(), key=lambda item: item[1], reverse=True)
    return tuple(
        BudgetTerm(cause, measured(term, None, energy.unit), term**2 / variance)
        for cause, term in terms
        if variance > 0
    )
