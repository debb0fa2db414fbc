"""The facts of the machine beside the baseline's, with the differences first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import Facts, Scalar
from pytest_energy.model.result import Run
from pytest_energy.report.labels import humanized, name_and_unit
from pytest_energy.report.machines import Machines
from pytest_energy.report.numbers import machine_fact


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
    rows = []
    for part in ("identity", "context"):
        facts: Facts = getattr(run.environment, part)
        older_facts: Facts = getattr(reference.environment, part) if reference else {}
        for name in dict.fromkeys((*facts, *before[part], *older_facts)):
            now = machine_fact(facts.get(name))
            others = before[part][name] | (
                {machine_fact(older_facts.get(name))} if older_facts else set()
            )
            text = " or ".join(sorted(others)) or None
            rows.append(FactRow(part, humanized(name), now, text, bool(others - {now})))
    return sorted(rows, key=lambda row: not row.differs)


def describe_machines(machines: Machines, measured: Sequence[str]) -> dict[str, str]:
    """``device NVIDIA H200; power limit 700 W``: the facts in which the machines differ, by name.

    Args:
        machines: The machines of a run.
        measured: The names of those that have results.
    """
    used = {name: machines.identities[name] for name in dict.fromkeys(measured)}
    facts = dict.fromkeys(name for identity in used.values() for name in identity)
    differing = [
        name
        for name in facts
        if len({machine_fact(identity.get(name)) for identity in used.values()}) > 1
    ]
    return {
        machine: "; ".join(_described(name, identity.get(name)) for name in differing)
        for machine, identity in used.items()
    }


def _described(name: str, value: Scalar | list[Scalar]) -> str:
    words, unit = name_and_unit(name)
    return f"{words} {machine_fact(value)}{unit if value is not None else ''}"


def _by_verdicts(run: Run) -> dict[str, dict[str, set[str]]]:
    """The facts of the baselines' machines that differ from the present ones."""
    before: dict[str, dict[str, set[str]]] = {
        "identity": defaultdict(set),
        "context": defaultdict(set),
    }
    for result in run.benchmarks:
        for difference in (*result.verdict.differences, *result.verdict.context):
            part, _, name = difference.name.partition(".")
            # Differences of the workload are no facts of the machine.
            if part in before:
                before[part][name].add(machine_fact(difference.before))
    return before
