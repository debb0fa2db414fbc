"""What is found in the history, in words."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from pytest_energy.history.changes import Creep, HistoryChange, RunOfMachine
from pytest_energy.model.measurement import test_of
from pytest_energy.report import numbers
from pytest_energy.report.sentences import difference


def describe_change(change: HistoryChange) -> Iterator[str]:
    """The lines of a change: what moved and by how much, where, why, and how to look closer."""
    yield f"{'✗' if change.is_rise else '✓'} {what_moved(change)}: {size(change)}"
    yield f"    first run {_run(change.first)}; {_between(change)}"
    if change.context:
        yield f"    changed there: {differences(change)}"
    yield from (f"    {line}" for line in commands(change))


def what_moved(change: HistoryChange) -> str:
    """``tests/test_a.py::test_b on nvidia-h200``."""
    return f"{what(change)} on {change.machine}"


def what(change: HistoryChange) -> str:
    """The benchmark, or all of them."""
    return change.test or "all benchmarks together"


def size(change: HistoryChange) -> str:
    """The change with its interval."""
    step = change.step
    low, high = math.expm1(step.low), math.expm1(step.high)
    points = f"{step.before} runs before, {step.after} after"
    return f"{numbers.interval(change.change, low, high)} ({points})"


def differences(change: HistoryChange) -> str:
    """``driver 570.10 → 575.51, torch 2.9.0 → 2.10.0``."""
    return ", ".join(map(difference, change.context))


def commands(change: HistoryChange) -> list[str]:
    """Commands that measure the two commits on one card, if a benchmark and both are known."""
    if change.test is None or change.commits is None:
        return []
    good, bad = change.commits
    test = shlex.quote(test_of(change.test, change.kind))
    return [
        f"git switch --detach {bad[:12]}",
        f"pytest {test} --energy --energy-against={good[:12]}",
    ]


def describe_creep(creep: Creep) -> str:
    """One line on small changes that add up."""
    return (
        f"↗ {creep.test} on {creep.machine}: {numbers.percent(creep.change)} in"
        f" {creep.accepted} accepted runs since {creep.since:%Y-%m-%d}, without a step beyond the"
        " tolerance"
    )


def _between(change: HistoryChange) -> str:
    if change.commits is None:
        return f"between {_run(change.good)} and {_run(change.bad)}"
    good, bad = change.commits
    return f"commits {good[:12]}..{bad[:12]}"


def _run(run: RunOfMachine) -> str:
    commit = f" ({run.commit[:12]})" if run.commit else ""
    return f"{run.created:%Y-%m-%d %H:%M}{commit}"
