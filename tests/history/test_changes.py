"""Changes in the history: a benchmark's own, a machine's, and small accepted ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.history.changes import HistoryChange, find_changes, find_creep, load_series
from pytest_energy.history.queries import Queries
from pytest_energy.history.store import Store
from pytest_energy.history.wording import commands, describe_change, describe_creep
from pytest_energy.model.result import Run
from tests.history.runs import history, result_of, run_of


def queries_of(folder: Path, runs: list[Run]) -> Queries:
    """The history of these runs."""
    store = Store(str(folder))
    store.add((run, None) for run in runs)
    return Queries(store)


def changes_of(folder: Path, runs: list[Run]) -> list[HistoryChange]:
    """The changes in the history of these runs."""
    return find_changes(load_series(queries_of(folder, runs)))


def test_own_changes_are_told_from_those_of_the_machine(tmp_path: Path) -> None:
    """All benchmarks rise by 4 % with a new driver; one of them rises by 6 % by itself."""
    runs = history(
        80,
        25,
        shift=lambda night: 0.04 if night >= 30 else 0.0,
        steps={(3, 60): 0.06},
        context=lambda night: {"driver": "570" if night < 30 else "575", "torch": "2.9"},
    )
    machine, own = sorted(changes_of(tmp_path, runs), key=lambda change: change.first.created)
    assert (machine.test, own.test) == (None, "bench.py::test_3")
    assert machine.change == pytest.approx(0.04, abs=0.003)
    assert own.change == pytest.approx(0.06, abs=0.01)
    assert [difference.name for difference in machine.context] == ["driver"]
    assert own.context == ()
    assert "changed there: driver " in "\n".join(describe_change(machine))
    assert own.runs_since == 20


def test_a_change_names_the_commits_to_compare(tmp_path: Path) -> None:
    """The last run with the old joules, the first with the new ones, and how to look closer."""
    runs = history(40, 1, scatter=0.002, steps={(0, 25): 0.10})
    (change,) = changes_of(tmp_path, runs)
    good, bad = (run.run.commit for run in (runs[24], runs[25]))
    assert change.commits == (good, bad)
    assert commands(change) == [
        f"git switch --detach {str(bad)[:12]}",
        f"pytest bench.py::test_0 --energy --energy-against={str(good)[:12]}",
    ]
    text = "\n".join(describe_change(change))
    assert text.startswith("✗ bench.py::test_0 on nvidia-h100-80gb-hbm3: +10.00 % [")
    assert "(25 runs before, 15 after)" in text


def test_a_window_is_compared_by_its_test(tmp_path: Path) -> None:
    """The command names the test, since pytest does not know its windows."""
    runs = history(20, 1, scatter=0.001, steps={(0, 10): 0.2})
    windows = [
        run.model_copy(
            update={
                "benchmarks": [
                    r.model_copy(update={"id": "a.py::test_b[x::y]::decode", "kind": "window"})
                    for r in run.benchmarks
                ]
            }
        )
        for run in runs
    ]
    (change,) = changes_of(tmp_path, windows)
    assert "pytest 'a.py::test_b[x::y]' --energy" in commands(change)[1]


def test_runs_without_commits_give_no_commands(tmp_path: Path) -> None:
    """Two runs of one commit cannot be compared by commit."""
    runs = history(20, 1, scatter=0.001, steps={(0, 10): 0.2})
    same = [
        run.model_copy(update={"run": run.run.model_copy(update={"commit": "a" * 40})})
        for run in runs
    ]
    (change,) = changes_of(tmp_path, same)
    assert change.commits is None
    assert commands(change) == []
    text = "\n".join(describe_change(change))
    assert " between 2026-01-10 02:00 (aaaaaaaaaaaa) and 2026-01-11 02:00 (aaaaaaaaaaaa)" in text


def test_another_workload_or_machine_is_another_series(tmp_path: Path) -> None:
    """A larger batch and another card need other joules, which is no change."""
    runs = []
    for night in range(20):
        result = result_of("bench.py::test_a", 1.0)
        if night >= 10:
            result = result.model_copy(
                update={
                    "workload": {"batch_size": 8},
                    "metrics": result_of("bench.py::test_a", 7.0).metrics,
                }
            )
        runs.append(run_of(night, [result]))
        other = result_of("bench.py::test_a", 3.0)
        runs.append(run_of(night, [other], identity={"device": "NVIDIA A100"}))
    assert changes_of(tmp_path, runs) == []


def test_invalid_results_are_left_out(tmp_path: Path) -> None:
    """Joules that are not valid are no points of a series."""
    runs = history(20, 1, scatter=0.001, steps={(0, 10): 0.2})
    invalid = [
        run.model_copy(
            update={
                "benchmarks": [r.model_copy(update={"status": "invalid"}) for r in run.benchmarks]
            }
        )
        for run in runs[10:]
    ]
    assert changes_of(tmp_path, [*runs[:10], *invalid]) == []


def test_a_run_of_few_benchmarks_does_not_hide_a_machines_shift(tmp_path: Path) -> None:
    """Runs that cannot show the machine are left out where others show it."""
    runs = history(60, 25, shift=lambda night: 0.05 if 20 <= night < 40 else 0.0)
    few = run_of(30, [result_of("bench.py::test_0", 1.3)], commit="f" * 40)
    changes = changes_of(tmp_path, [*runs, few])
    assert {change.test for change in changes} == {None}
    assert len(changes) == 2


def test_small_accepted_changes_add_up(tmp_path: Path) -> None:
    """Half a per cent a commit, each accepted, is more than the tolerance after ten."""
    runs = [
        run_of(night, [result_of("bench.py::test_a", 1.005**night, accepted=True)])
        for night in range(16)
    ]
    (creep,) = find_creep(queries_of(tmp_path, runs))
    assert creep.change == pytest.approx(1.005**14 - 1, rel=0.01)
    assert creep.accepted == 16
    assert describe_creep(creep) == (
        "↗ bench.py::test_a on nvidia-h100-80gb-hbm3: +7.2 % in 16 accepted runs since 2026-01-01,"
        " without a step beyond the tolerance"
    )


def test_a_large_accepted_change_begins_a_new_level(tmp_path: Path) -> None:
    """It was admitted when it was accepted, so it is no creep."""
    levels = [1.0] * 8 + [1.2] * 8
    runs = [
        run_of(night, [result_of("bench.py::test_a", energy_j, accepted=True)])
        for night, energy_j in enumerate(levels)
    ]
    assert find_creep(queries_of(tmp_path, runs)) == []
