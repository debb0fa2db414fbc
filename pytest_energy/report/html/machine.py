"""The facts of the machine beside the baseline's, with the differences first."""

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
    """``identity``, which must agree, or ``context``, which may explain a change."""
    name: str
    now: str
    before: str | None
    """``None`` if no baseline has another value."""
    differs: bool


def build_surroundings(run: Run, older: Sequence[Run] = ()) -> list[FactRow]:
    """The facts of the machine, first those that differ from a baseline or the latest older run."""
    before = _by_verdicts(run)
    reference = max(older, key=lambda earlier: earlier.created, default=None)
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


def _rows(part: str, now: Facts, before: dict[str, set[str]], older: Facts) -> Iterable[FactRow]:
    for name in dict.fromkeys((*now, *before, *older)):
        value = fact(now.get(name))
        others = before.get(name, set()) | ({fact(older.get(name))} if older else set())
        text = " or ".join(sorted(others)) or None
        yield FactRow(part, name.replace("_", " "), value, text, bool(others - {value}))


def _by_verdicts(run: Run) -> dict[str, dict[str, set[str]]]:
    """The facts of the baselines' machines that differ from the present ones."""
    before: dict[str, dict[str, set[str]]] = {
        "identity": defaultdict(set),
        "context": defaultdict(set),
    }
    for result in run.benchmarks:
        for difference in (*result.verdict.differences, *result.verdict.context):
            part, name = _place(difference)
            if part in before:
                before[part][name].add(fact(difference.before))
    return before


def _place(difference: Difference) -> tuple[str, str]:
    part, _, name = difference.name.partition(".")
    return part, name
