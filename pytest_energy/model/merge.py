"""One results file out of several: of shards, or of several machines.

The same benchmark may come from two machines, and then keeps the identity of its own; that it comes
twice from one machine, or that files are of different commits, is a conflict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_energy.errors import EnergyError
from pytest_energy.model.result import Result, Run
from pytest_energy.model.workers_merge import combine, located


@dataclass
class MergeConflictError(EnergyError):
    """Files that do not belong together as they are, with every conflict."""

    conflicts: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return "; ".join(self.conflicts)


def merge(runs: Sequence[Run], names: Sequence[str], *, keep: str | None = None) -> Run:
    """Put runs together.

    Args:
        runs: At least one.
        names: What each is called, for conflicts.
        keep: ``first`` or ``last``: which result of a benchmark wins where it comes twice from one
            machine, and that differing commits are accepted; ``None`` refuses both.

    Raises:
        MergeConflictError: They conflict, and ``keep`` does not say which wins.
    """
    found = [*_commits(runs, names), *_twice(runs, names)]
    if found and keep is None:
        raise MergeConflictError(tuple(found))
    ordered = runs if keep != "last" else list(reversed(runs))
    bare = [run.model_copy(update={"benchmarks": []}) for run in runs]
    merged = combine(bare, names)
    results: dict[tuple[str, str], Result] = {}
    for run, key, result in _keyed(ordered):
        results.setdefault(key, located(result, run, merged.environment))
    return merged.model_copy(
        update={
            "benchmarks": sorted(results.values(), key=_place),
            "run": merged.run.model_copy(
                update={
                    "energy_j": _spent_j(runs),
                    "duration_s": sum(run.run.duration_s for run in runs),
                    "complete": all(run.run.complete for run in runs),
                    "notes": [*_notes(runs), f"merged from {', '.join(names)}", *found],
                }
            ),
        }
    )


def _spent_j(runs: Sequence[Run]) -> float | None:
    """What all spent together: each shard has its own time, also where they share a card."""
    known = [run.run.energy_j for run in runs if run.run.energy_j is not None]
    return math.fsum(known) if len(known) == len(runs) else None


def _keyed(runs: Sequence[Run]) -> list[tuple[Run, tuple[str, str], Result]]:
    return [
        (run, (result.id, json.dumps(identity, sort_keys=True)), result)
        for run in runs
        for result in run.benchmarks
        for identity in [result.measured_in(run.environment).identity]
    ]


def _commits(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    commits = {run.run.commit for run in runs if run.run.commit}
    if len(commits) < 2:
        return []
    pairs = zip(names, runs, strict=True)
    told = ", ".join(f"{name} at {(run.run.commit or 'no commit')[:10]}" for name, run in pairs)
    return [f"different commits: {told}"]


def _twice(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    where: dict[tuple[str, str], list[str]] = {}
    for name, run in zip(names, runs, strict=True):
        for _, key, _ in _keyed([run]):
            where.setdefault(key, []).append(name)
    return [
        f"{test_id} on one machine in {' and '.join(found)}"
        for (test_id, _), found in where.items()
        if len(found) > 1
    ]


def _place(result: Result) -> tuple[str, int, str]:
    return result.file or "", result.line or 0, result.id


def _notes(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(note for run in runs for note in run.run.notes))
