"""Changes that the history shows: of one benchmark, or of all benchmarks of a machine together."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from pytest_energy.gate.verdict import compare_facts
from pytest_energy.history.queries import Queries
from pytest_energy.model.measurement import Facts
from pytest_energy.model.metrics import ENERGY, TOLERANCES
from pytest_energy.model.result import Difference
from pytest_energy.session.suite_shift import FEWEST_COMPARABLE
from pytest_energy.uncertainty.change_points import Step, find_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PASSES: Final = 4
"""Passes of the median polish (Tukey, *Exploratory Data Analysis*, 1977); more change nothing."""

SERIES: Final = """
SELECT machine_id, test, workload, any_value(machine), list(run_id ORDER BY created, run_id),
       list(energy_j ORDER BY created, run_id), any_value(identity), any_value(kind),
       coalesce(last(tolerance ORDER BY created), ?)
FROM points WHERE status IN ('measured', 'estimated') AND energy_j > 0
GROUP BY machine_id, test, workload ORDER BY machine_id, test, workload
"""
RUNS: Final = """
SELECT machine_id, run_id, min(created), any_value("commit"), any_value(context)
FROM points GROUP BY machine_id, run_id ORDER BY min(created), run_id
"""


@dataclass(frozen=True)
class RunOfMachine:
    """One run, as far as it was on one machine."""

    run_id: str
    created: datetime
    commit: str | None
    context: Facts


@dataclass(frozen=True, eq=False)
class Series:
    """The joules of one benchmark, or of a machine, over the runs; oldest first."""

    machine: str
    machine_id: str
    identity: Facts
    test: str | None
    """``None`` for the part that all benchmarks of the machine have in common."""
    workload: str
    kind: str
    """As of a benchmark; empty for a machine."""
    tolerance: float
    runs: tuple[RunOfMachine, ...]
    energies_j: NDArray[np.float64]
    """As measured; for a machine relative to its median."""
    logs: NDArray[np.float64]
    """Logarithms, without what all benchmarks of the machine have in common."""


@dataclass(frozen=True, eq=False)
class HistoryChange:
    """A change of level, and what is known of its cause."""

    machine: str
    test: str | None
    """``None`` if all benchmarks of the machine moved."""
    kind: str
    step: Step
    good: RunOfMachine
    """The last run that surely has the old level."""
    bad: RunOfMachine
    """The first run that surely has the new level."""
    first: RunOfMachine
    """The likeliest first run of the new level."""
    runs_since: int
    """Runs of the machine from ``first`` on."""
    context: tuple[Difference, ...]
    """Facts of the machine that differ between ``good`` and ``bad``."""

    @property
    def change(self) -> float:
        """Relative (0.09 is +9 %)."""
        return math.expm1(self.step.log_ratio)

    @property
    def is_rise(self) -> bool:
        """Whether more joules are needed since."""
        return self.step.log_ratio > 0

    @property
    def commits(self) -> tuple[str, str] | None:
        """Two different commits to compare; ``None`` if the runs do not know them."""
        good, bad = self.good.commit, self.bad.commit
        return (good, bad) if good and bad and good != bad else None


class _Benchmark(NamedTuple):
    """A row of :data:`SERIES`."""

    machine_id: str
    test: str
    workload: str
    machine: str
    run_ids: list[str]
    energies_j: list[float]
    identity: str
    kind: str
    tolerance: float


_Runs = dict[str, dict[str, RunOfMachine]]
"""By machine and run, the oldest first."""


def load_series(queries: Queries, test: str | None = None) -> list[Series]:
    """The series of all benchmarks, or of one, and of each machine with enough benchmarks.

    Args:
        queries: The history.
        test: Only this benchmark and its machines; the others still show what machines do.
    """
    runs: _Runs = defaultdict(dict)
    for machine_id, run_id, created, commit, context in queries.ask(RUNS).rows:
        runs[machine_id][run_id] = RunOfMachine(run_id, created, commit, json.loads(context))
    machines: dict[str, list[_Benchmark]] = defaultdict(list)
    for row in queries.ask(SERIES, [TOLERANCES[ENERGY]]).rows:
        benchmark = _Benchmark(*row)
        machines[benchmark.machine_id].append(benchmark)
    found = [
        series
        for machine_id, benchmarks in machines.items()
        for series in _of_machine(benchmarks, [*runs[machine_id].values()])
    ]
    return [series for series in found if test is None or series.test in (test, None)]


def _of_machine(benchmarks: Sequence[_Benchmark], runs: Sequence[RunOfMachine]) -> Iterator[Series]:
    place = {run.run_id: index for index, run in enumerate(runs)}
    table = np.full((len(runs), len(benchmarks)), np.nan)
    for column, benchmark in enumerate(benchmarks):
        rows = [place[run_id] for run_id in benchmark.run_ids]
        table[rows, column] = np.log(benchmark.energies_j)
    common = _in_common(table)
    shown = np.isfinite(common)
    if shown.any():
        yield _of_all(benchmarks, _where(runs, shown), common[shown])
    else:
        # No run has enough benchmarks to show the machine: the joules stay as they are.
        common, shown = np.zeros(len(runs)), np.ones(len(runs), dtype=bool)
    for column, benchmark in enumerate(benchmarks):
        there = np.isfinite(table[:, column]) & shown
        logs = table[there, column]
        yield Series(
            machine=benchmark.machine,
            machine_id=benchmark.machine_id,
            identity=json.loads(benchmark.identity),
            test=benchmark.test,
            workload=benchmark.workload,
            kind=benchmark.kind,
            tolerance=benchmark.tolerance,
            runs=_where(runs, there),
            energies_j=np.exp(logs),
            logs=logs - common[there],
        )


def _of_all(
    benchmarks: Sequence[_Benchmark], runs: tuple[RunOfMachine, ...], common: NDArray[np.float64]
) -> Series:
    return Series(
        machine=benchmarks[0].machine,
        machine_id=benchmarks[0].machine_id,
        identity=json.loads(benchmarks[0].identity),
        test=None,
        workload="",
        kind="",
        tolerance=min(benchmark.tolerance for benchmark in benchmarks),
        runs=runs,
        energies_j=np.exp(common),
        logs=common,
    )


def _where(runs: Sequence[RunOfMachine], there: NDArray[np.bool_]) -> tuple[RunOfMachine, ...]:
    return tuple(run for run, is_there in zip(runs, there, strict=True) if is_there)


def _in_common(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of each run that its benchmarks have in common, around a median of zero.

    Args:
        table: Logarithms by run and benchmark; NaN where a run lacks a benchmark.

    Returns:
        NaN for runs of too few benchmarks.
    """
    enough = np.isfinite(table).sum(1) >= FEWEST_COMPARABLE
    common = np.full(len(table), np.nan)
    if not enough.any():
        return common
    rows = table[enough][:, np.isfinite(table[enough]).any(0)]
    shift = np.zeros(len(rows))
    for _ in range(_PASSES):
        levels = np.nanmedian(rows - shift[:, None], axis=0)
        shift = np.nanmedian(rows - levels, axis=1)
    common[enough] = shift - np.median(shift)
    return common


def find_changes(series: Iterable[Series]) -> list[HistoryChange]:
    """The changes of at least half the tolerance: rises first, the newest first."""
    changes = [
        _change(one, step)
        for one in series
        for step in find_steps(one.logs.tolist(), least=one.tolerance / 2)
    ]
    return sorted(changes, key=lambda c: (c.is_rise, c.first.created), reverse=True)


def _change(series: Series, step: Step) -> HistoryChange:
    good, bad = series.runs[step.earliest - 1], series.runs[step.latest]
    return HistoryChange(
        machine=series.machine,
        test=series.test,
        kind=series.kind,
        step=step,
        good=good,
        bad=bad,
        first=series.runs[step.index],
        runs_since=len(series.runs) - step.index,
        context=tuple(compare_facts(good.context, bad.context)),
    )


@dataclass(frozen=True)
class Creep:
    """Small accepted changes of a benchmark that add up to more than its tolerance."""

    machine: str
    test: str
    change: float
    """Relative: the newest accepted runs against the oldest of the same level."""
    accepted: int
    """Accepted runs between which it grew."""
    since: datetime


ACCEPTED: Final = """
SELECT machine_id, test, workload, any_value(machine), list(energy_j ORDER BY created, run_id),
       list(created ORDER BY created, run_id), coalesce(last(tolerance ORDER BY created), ?)
FROM points WHERE accepted AND energy_j > 0
GROUP BY machine_id, test, workload ORDER BY machine_id, test
"""


def find_creep(queries: Queries) -> list[Creep]:
    """Benchmarks whose accepted runs moved by more than the tolerance, none of them at once."""
    found = []
    for _, test, _, machine, energies, times, tolerance in queries.ask(
        ACCEPTED, [TOLERANCES[ENERGY]]
    ).rows:
        begin = _begin_of_level(energies, tolerance)
        level = energies[begin:]
        if len(level) < 2 * _ENDS:
            continue
        change = float(np.mean(level[-_ENDS:]) / np.mean(level[:_ENDS])) - 1
        if abs(change) > tolerance:
            found.append(Creep(machine, test, change, len(level), times[begin]))
    return found


_ENDS: Final = 2
"""Accepted runs that stand for the beginning of a level, and for its end."""


def _begin_of_level(energies: Sequence[float], tolerance: float) -> int:
    """The first run after the last change that was itself beyond the tolerance."""
    jumps = [
        index
        for index in range(1, len(energies))
        if abs(energies[index] / energies[index - 1] - 1) > tolerance
    ]
    return jumps[-1] if jumps else 0
