"""One run out of those that the workers of a session leave in a folder.

Each worker writes its own results file after each benchmark, whole or not at all, so that one that
is killed loses nothing that it had finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_energy.model.json_files import load_run
from pytest_energy.model.measurement import Environment, Facts, Scalar
from pytest_energy.model.result import Result, Run, RunInfo

BOARD = "board"
"""The fact of the context that tells boards apart."""


def worker_file(folder: Path, worker: str) -> Path:
    """Where a worker keeps its results."""
    return folder / f"{worker}.json"


def read_spool(folder: Path) -> dict[str, Run]:
    """The runs of all workers by their names, in the order of their numbers.

    Raises:
        FileFormatError: A file in the folder is no results file.
    """
    files = sorted(folder.glob("*.json"), key=lambda file: (len(file.stem), file.stem))
    return {file.stem: load_run(file) for file in files}


def combine(runs: Sequence[Run], names: Sequence[str], killed: Sequence[str] = ()) -> Run:
    """Put the runs of workers of one session together; each benchmark is counted once.

    Args:
        runs: At least one.
        names: What the workers are called, in the same order.
        killed: Those that ended before they had finished.
    """
    energy_j = None if killed else _energy_j(runs)  # what a killed one spent nobody knows
    environment = Environment(
        identity=runs[0].environment.identity,
        context=_common([run.environment.context for run in runs]),
    )
    results, twice = _distinct(
        [located(result, run, environment) for run in runs for result in run.benchmarks]
    )
    notes = [note for run in runs for note in run.run.notes]
    if len(runs) > 1:
        notes.append(f"measured by {len(runs)} workers: {', '.join(names)}")
    if killed:
        notes.append(f"killed before they had finished: {', '.join(killed)}")
    if twice:
        notes.append(f"measured by several workers, the first one kept: {', '.join(twice)}")
    return Run(
        created=min(run.created for run in runs),
        environment=environment,
        run=_info(runs, names, list(dict.fromkeys(notes)), energy_j),
        benchmarks=sorted(results, key=_place),
    )


def _place(result: Result) -> tuple[str, int, str]:
    """Where a benchmark stands in its tests: which worker was faster decides nothing."""
    return result.file or "", result.line or 0, result.id


def _info(
    runs: Sequence[Run], names: Sequence[str], notes: list[str], energy_j: float | None
) -> RunInfo:
    idle = {
        f"{name}.{channel}": power_w
        for name, run in zip(names, runs, strict=True)
        for channel, power_w in run.run.idle_power_w.items()
    }
    return runs[0].run.model_copy(
        update={
            "energy_j": energy_j,
            "duration_s": max(run.run.duration_s for run in runs),
            "idle_power_w": idle if len(runs) > 1 else runs[0].run.idle_power_w,
            "complete": all(run.run.complete for run in runs),
            "notes": notes,
            "accepted": list(dict.fromkeys(path for run in runs for path in run.run.accepted)),
        }
    )


def _energy_j(runs: Sequence[Run]) -> float | None:
    """What the session spent: of workers that shared a device, the one that saw most of it."""
    by_devices: dict[str, list[float | None]] = {}
    for run in runs:
        board = repr(run.environment.context.get(BOARD))
        by_devices.setdefault(board, []).append(run.run.energy_j)
    total = 0.0
    for spent in by_devices.values():
        known = [energy_j for energy_j in spent if energy_j is not None]
        if len(known) < len(spent):
            return None
        total += max(known)
    return total


def located(result: Result, run: Run, environment: Environment) -> Result:
    """``result`` of ``run`` with its machine's facts where they are not those of all."""
    own = result.measured_in(run.environment)
    return result.model_copy(
        update={
            "identity": None if own.identity == environment.identity else own.identity,
            "context": None if own.context == environment.context else own.context,
        }
    )


def _distinct(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    kept: dict[str, Result] = {}
    twice = []
    for result in results:
        if result.id in kept:
            twice.append(result.id)
        else:
            kept[result.id] = result
    return list(kept.values()), list(dict.fromkeys(twice))


def _common(contexts: Sequence[Facts]) -> Facts:
    """Facts of all workers: one value where they agree, else every one that was found."""
    names = dict.fromkeys(name for context in contexts for name in context)
    return {
        name: _values([context[name] for context in contexts if name in context]) for name in names
    }


def _values(found: Sequence[Scalar | list[Scalar]]) -> Scalar | list[Scalar]:
    flat = [item for value in found for item in (value if isinstance(value, list) else [value])]
    return found[0] if all(value == found[0] for value in found) else list(dict.fromkeys(flat))
