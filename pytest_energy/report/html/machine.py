"""The machine beside the baseline's: differences first, identity and context told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Facts
from pytest_energy.model.result import Difference, Run
from pytest_energy.report.numbers import fact


@dataclass(frozen=True)
class FactRow:
    """One fact of the machine, now and in the baseline."""

    part: str
    """``identity`` (must agree) or ``context`` (may explain)."""
    name: str
    now: str
    before: str | None
    """``None`` where no baseline tells of another value."""
    differs: bool


def build_surroundings(run: Run, older: Sequence[Run] = ()) -> list[FactRow]:
    """Facts of the machine; those that differ from a baseline or the newest older run first."""
    before = _told_by_verdicts(run)
    reference = max(older, key=lambda one: one.created, default=None)
    rows = [
        row
        for part in ("identity", "context")
        for row in _rows(
            part,
            getattr(run.environment, part),
            before[part],
            getattr(reference.environment, part) if reference else {},
        )
    ]
    return sorted(rows, key=lambda row: not row.differs)


def _rows(part: str, now: Facts, told: dict[str, set[str]], older: Facts) -> Iterable[FactRow]:
    for name in dict.fromkeys((*now, *told, *older)):
        value = fact(now.get(name))
        others = told.get(name, set()) | ({fact(older.get(name))} if older else set())
        before = " or ".join(sorted(others)) or None
        yield FactRow(part, name.replace("_", " "), value, before, bool(others - {value}))


def _told_by_verdicts(run: Run) -> dict[str, dict[str, set[str]]]:
    """What the baselines' machines were, as far as it was not as now."""
    told: dict[str, dict[str, set[str]]] = {
        "identity": defaultdict(set),
        "context": defaultdict(set),
    }
    for result in run.benchmarks:
        for difference in (*result.verdict.differences, *result.verdict.context):
            part, name = _place(difference)
            if part in told:
                told[part][name].add(fact(difference.before))
    return told


def _place(difference: Difference) -> tuple[str, str]:
    part, _, name = difference.name.partition(".")
    return part, name
