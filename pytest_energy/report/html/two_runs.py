"""Any two of the runs given to the report, the later one compared with the earlier one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from pytest_energy.model.result import Result
from pytest_energy.report.comparison import Reference, judge_energies
from pytest_energy.report.html.charts.forest import Forest, build_forests
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import short_names

MOST: Final = 5
"""So many runs can be chosen from, the newest ones: the pairs grow with the square."""


@dataclass(frozen=True)
class TwoRuns:
    """One pair."""

    before: int
    """The number of the earlier run among :attr:`Choice.runs`."""
    after: int
    forest: Forest | None
    """``None`` if the runs share no benchmark whose joules are comparable."""
    alone: int
    """Benchmarks that only one of the runs has, or that cannot be compared."""


@dataclass(frozen=True)
class Choice:
    """The runs by age, and each pair of them, that of the newest two first."""

    runs: tuple[str, ...]
    pairs: tuple[TwoRuns, ...]
    left_out: int
    """Older runs than can be chosen from."""


def build_choice(
    measured: Reference, older: Sequence[Reference], rows: Sequence[Row]
) -> Choice | None:
    """The pairs of the run and the newest of the older ones; ``None`` without older ones."""
    if not older:
        return None
    by_age = sorted((measured, *older), key=lambda each: each.run.created)
    runs = by_age[-MOST:]
    pairs = [
        _compare(before, after, runs, rows) for before, after in combinations(range(len(runs)), 2)
    ]
    pairs.sort(key=lambda pair: (-pair.after, -pair.before))
    return Choice(tuple(map(str, runs)), tuple(pairs), len(by_age) - len(runs))


def _compare(before: int, after: int, runs: Sequence[Reference], rows: Sequence[Row]) -> TwoRuns:
    results = judge_energies(runs[after].run, runs[before])
    forests = build_forests(_as_rows(results, rows))
    forest = forests[0] if forests else None
    ids = {result.id for index in (before, after) for result in runs[index].run.benchmarks}
    return TwoRuns(before, after, forest, len(ids) - (forest.count if forest else 0))


def _as_rows(results: Sequence[Result], rows: Sequence[Row]) -> list[Row]:
    """Rows of other runs; those of benchmarks that this run has lead to their details."""
    known = {row.result.id: row for row in rows}
    names = short_names([*known, *(result.id for result in results)])
    return [
        Row(row.key if row else "", row.name if row else names[result.id], result, {}, {})
        for result in results
        for row in [known.get(result.id)]
    ]
