"""Everything about one benchmark that the table has no room for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.measurement import Quantity, Result, Run
from pytest_energy.report.format import measured
from pytest_energy.report.results import Row


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
    conditions: tuple[str, ...]
    """What the edges of its rounds showed, by name."""
    budget: tuple[BudgetTerm, ...]
    """Largest first."""
    rerun: str
    accept: str


def build_drawer(row: Row, run: Run, older: Sequence[Run]) -> Drawer:
    """The drawer of ``row``."""
    result = row.result
    rerun = f"pytest {shlex.quote(_test_id(result))} --energy"
    return Drawer(
        key=row.key,
        name=row.name,
        result=result,
        conditions=tuple(dict.fromkeys(n for one in result.rounds for n in one.conditions)),
        budget=_budget(result.energy),
        rerun=rerun,
        accept=f"{rerun} --energy-update",
    )


def _test_id(result: Result) -> str:
    """The node id that pytest takes: without the name of a window within the test."""
    return result.id.rpartition("::")[0] if result.kind == "window" else result.id


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
