"""Merging of the results of one session's pytest-xdist workers.

Each worker writes its own journal and, at its end, its own results file. A worker that is killed
therefore loses no finished benchmark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_energy.model.measurement import Environment, Facts, Scalar
from pytest_energy.model.result import NOT_RUN, Result, Run, RunInfo, Uncompared, UnpassedTest

BOARD = "board"
"""The fact of the context that identifies a board."""


def worker_file(folder: Path, worker: str) -> Path:
    """The results file of a worker."""
    return folder / f"{worker}.json"


def merge_workers(
    runs: Sequence[Run], names: Sequence[str], killed: Sequence[str] = (), what: str = "workers"
) -> Run:
    """Merge the runs of the workers of one session; each benchmark counts once.

    Args:
        runs: At least one.
        names: The names of the workers, in the same order.
        killed: The workers that ended before they had finished.
        what: What the workers are, in the plural.
    """
    # A killed worker never wrote how much energy it had used.
    energy_j = None if killed else _total_energy_j(runs)
    environment = Environment(
        identity=runs[0].environment.identity,
        context=_common([run.environment.context for run in runs]),
    )
    results, repeated = _distinct(
        [with_own_machine(result, run, environment) for run in runs for result in run.benchmarks]
    )
    notes = [note for run in runs for note in run.run.notes]
    if len(runs) > 1:
        notes.append(f"measured by {len(runs)} {what}: {', '.join(names)}")
    if killed:
        notes.append(f"killed before they had finished: {', '.join(killed)}")
    if repeated:
        notes.append(f"measured by several workers, first result kept: {', '.join(repeated)}")
    return Run(
        created=min(run.created for run in runs),
        environment=environment,
        run=_info(runs, names, list(dict.fromkeys(notes)), energy_j),
        benchmarks=sorted(results, key=place_in_tests),
    )


def place_in_tests(result: Result) -> tuple[str, int, str]:
    """The place of a benchmark in the test files, a sort key that no worker's speed changes."""
    return result.file or "", result.line or 0, result.id


def _info(
    runs: Sequence[Run], names: Sequence[str], notes: list[str], energy_j: float | None
) -> RunInfo:
    # Every worker calls its first device gpu0.
    idle_power_w = {
        f"{name}.{channel}": power_w
        for name, run in zip(names, runs, strict=True)
        for channel, power_w in run.run.idle_power_w.items()
    }
    return runs[0].run.model_copy(
        update={
            "energy_j": energy_j,
            "duration_s": max(run.run.duration_s for run in runs),
            "idle_power_w": idle_power_w if len(runs) > 1 else runs[0].run.idle_power_w,
            "complete": all(run.run.complete for run in runs),
            "notes": notes,
            "accepted": list(dict.fromkeys(path for run in runs for path in run.run.accepted)),
            "uncompared": merge_uncompared(runs),
            "unpassed": merge_unpassed(runs),
            "exit_status": merge_exit_statuses(runs),
            "failures": list(dict.fromkeys(text for run in runs for text in run.run.failures)),
        }
    )


def merge_uncompared(runs: Sequence[Run]) -> list[Uncompared]:
    """The baselines that got a result in none of the runs, each with its best known reason."""
    compared = {result.id for run in runs for result in run.benchmarks}
    reasons: dict[str, str] = {}
    for missing in (missing for run in runs for missing in run.run.uncompared):
        # A worker that was not given the test does not know what became of it elsewhere.
        if missing.id not in compared and reasons.get(missing.id, NOT_RUN) == NOT_RUN:
            reasons[missing.id] = missing.reason
    return [Uncompared(id=test_id, reason=reasons[test_id]) for test_id in sorted(reasons)]


def merge_unpassed(runs: Sequence[Run]) -> list[UnpassedTest]:
    """The tests that did not pass in one of the runs, each once; a failure takes precedence."""
    tests: dict[str, UnpassedTest] = {}
    for test in (test for run in runs for test in run.run.unpassed):
        tests[test.id] = tests.get(test.id, test).or_failure(test)
    return list(tests.values())


def merge_exit_statuses(runs: Sequence[Run]) -> int | None:
    """The first status other than 0; ``None`` if that of a run is not known."""
    statuses = [run.run.exit_status for run in runs]
    return None if None in statuses else next(filter(None, statuses), 0)


def _total_energy_j(runs: Sequence[Run]) -> float | None:
    """The energy of the session; ``None`` if a worker does not know its own.

    Workers on one board all measured the board, so the largest of their values counts for it.
    """
    by_board: dict[str, list[float]] = {}
    for run in runs:
        if run.run.energy_j is None:
            return None
        board = repr(run.environment.context.get(BOARD))
        by_board.setdefault(board, []).append(run.run.energy_j)
    return sum(max(energies_j) for energies_j in by_board.values())


def with_own_machine(result: Result, run: Run, environment: Environment) -> Result:
    """``result`` of ``run`` with the facts of its machine that differ from ``environment``."""
    own = result.measured_in(run.environment)
    return result.model_copy(
        update={
            "identity": None if own.identity == environment.identity else own.identity,
            "context": None if own.context == environment.context else own.context,
        }
    )


def _distinct(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """The first result of each benchmark, and the ids of those with more than one."""
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.id, result)
    counts = Counter(result.id for result in results)
    return list(first.values()), [test_id for test_id, count in counts.items() if count > 1]


def _common(contexts: Sequence[Facts]) -> Facts:
    """The facts of all workers: one value where they agree, else a list of all values."""
    names = dict.fromkeys(name for context in contexts for name in context)
    return {
        name: _joined([context[name] for context in contexts if name in context]) for name in names
    }


def _joined(values: Sequence[Scalar | list[Scalar]]) -> Scalar | list[Scalar]:
    if all(value == values[0] for value in values):
        return values[0]
    lists = [value if isinstance(value, list) else [value] for value in values]
    return list(dict.fromkeys(item for items in lists for item in items))
