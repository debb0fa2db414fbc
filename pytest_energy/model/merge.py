"""Merging of the results of several shards or machines.

A benchmark measured on two machines is kept twice, each with the identity of its machine. The same
benchmark twice from one machine is a conflict, and so are files of different commits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_energy.errors import EnergyError
from pytest_energy.model.result import Result, Run
from pytest_energy.model.workers_merge import (
    merge_uncompared,
    merge_workers,
    place_in_tests,
    with_own_machine,
)

Key = tuple[str, str]
"""The id of a benchmark, and the identity of its machine as JSON."""


@dataclass
class MergeConflictError(EnergyError):
    """The files conflict; carries every conflict."""

    conflicts: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        number = len(self.conflicts)
        conflicts = f"{number} conflict{'' if number == 1 else 's'}"
        title = f"{conflicts}; --keep=first or --keep=last chooses the result"
        return "\n".join([title, *(f"  {conflict}" for conflict in self.conflicts)])


def merge_runs(
    runs: Sequence[Run], names: Sequence[str], *, keep: Literal["first", "last"] | None = None
) -> Run:
    """Merge runs into one.

    Args:
        runs: At least one.
        names: The name of each run, for conflicts and notes.
        keep: Which result to keep if a benchmark comes twice from one machine. ``first`` and
            ``last`` also accept different commits; ``None`` refuses both.

    Raises:
        MergeConflictError: The runs conflict and ``keep`` is ``None``.
    """
    conflicts = [*_different_commits(runs, names), *_repeated(runs, names)]
    if conflicts and keep is None:
        raise MergeConflictError(tuple(conflicts))
    ordered = runs if keep != "last" else list(reversed(runs))
    # Merging workers keeps each benchmark once. Without benchmarks it merges what surrounds them.
    merged = merge_workers([run.model_copy(update={"benchmarks": []}) for run in runs], names)
    results: dict[Key, Result] = {}
    for run in ordered:
        for key, result in _keyed(run):
            results.setdefault(key, with_own_machine(result, run, merged.environment))
    notes = dict.fromkeys(note for run in runs for note in run.run.notes)
    info = merged.run.model_copy(
        update={
            "energy_j": _total_energy_j(runs),
            "duration_s": sum(run.run.duration_s for run in runs),
            "complete": all(run.run.complete for run in runs),
            "uncompared": merge_uncompared(runs),
            "failures": list(dict.fromkeys(text for run in runs for text in run.run.failures)),
            # Those of one run say nothing of the others.
            "suite_shift": None,
            "control": None,
            "notes": [*notes, f"merged from {', '.join(names)}", *conflicts],
        }
    )
    benchmarks = sorted(results.values(), key=place_in_tests)
    return merged.model_copy(update={"benchmarks": benchmarks, "run": info})


def _total_energy_j(runs: Sequence[Run]) -> float | None:
    """The sum; ``None`` if it is unknown of a run.

    Shards run one after the other, also on one card. That makes the sum right here, unlike for the
    workers of one session, which see the same joules at the same time.
    """
    energies_j = [run.run.energy_j for run in runs if run.run.energy_j is not None]
    return math.fsum(energies_j) if len(energies_j) == len(runs) else None


def _keyed(run: Run) -> list[tuple[Key, Result]]:
    return [
        (
            (
                result.id,
                json.dumps(result.measured_in(run.environment).identity, sort_keys=True),
            ),
            result,
        )
        for result in run.benchmarks
    ]


def _different_commits(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    commits = {run.run.commit for run in runs if run.run.commit}
    if len(commits) < 2:
        return []
    by_file = (
        f"{name} at {(run.run.commit or 'no commit')[:10]}"
        for name, run in zip(names, runs, strict=True)
    )
    return [f"different commits: {', '.join(by_file)}"]


def _repeated(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    files: dict[Key, list[str]] = {}
    for name, run in zip(names, runs, strict=True):
        for key, _ in _keyed(run):
            files.setdefault(key, []).append(name)
    return [
        f"{test_id} on one machine in {' and '.join(names_of_files)}"
        for (test_id, _), names_of_files in files.items()
        if len(names_of_files) > 1
    ]
