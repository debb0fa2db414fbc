"""Merging results of shards and machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.gate.acceptance import accept
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.gate.verdict import judge
from pytest_energy.model.json_files import load_run, save_run
from pytest_energy.model.measurement import Environment
from pytest_energy.model.merge import MergeConflictError, merge_runs
from tests.gate_data import A100, H200, measurement, result, run_of


def test_shards_become_one_run() -> None:
    """Both keep their benchmarks; joules and seconds add up."""
    first, second = run_of(result(1, "t.py::a")), run_of(result(2, "t.py::b"))
    second = second.model_copy(update={"run": second.run.model_copy(update={"energy_j": 200.0})})
    merged = merge_runs([first, second], ["1", "2"])
    assert [result.id for result in merged.benchmarks] == ["t.py::a", "t.py::b"]
    assert merged.run.energy_j == 300.0
    assert merged.run.duration_s == 20.0
    assert merged.run.notes[-1] == "merged from 1, 2"


def test_one_benchmark_of_two_machines_is_kept_twice() -> None:
    """Each keeps the identity of its machine."""
    merged = merge_runs([run_of(result()), run_of(result(), environment=A100)], ["h200", "a100"])
    assert [result.identity for result in merged.benchmarks] == [None, A100.identity]
    assert merged.environment.identity == H200.identity


def test_baselines_of_merged_results_have_the_card_that_measured_each(tmp_path: Path) -> None:
    """The gate notes another card, and nothing on the same card."""
    cards = {
        test_id: Environment(identity=H200.identity, context={"board": [board], "torch": "2.10"})
        for test_id, board in (("t.py::a", "aaa"), ("t.py::b", "bbb"))
    }
    shards = [run_of(result(1, test_id), environment=card) for test_id, card in cards.items()]
    store = BaselineStore(tmp_path)
    merged = merge_runs(shards, ["1", "2"])
    accept(merged, merged.benchmarks, store)
    (slug,) = store.slugs()
    for test_id, card in cards.items():
        baseline = store.load(test_id, slug)
        assert baseline is not None
        assert baseline.context == card.context
        here, there = (
            judge(measurement(1, test_id), baseline, None, where, {"energy_j": 0.05})
            for where in (card, merged.environment)
        )
        assert not any("another board" in note for note in here.notes)
        assert any("another board" in note for note in there.notes)


def test_merged_results_can_be_merged_again() -> None:
    """Each benchmark keeps the card that measured it."""
    runs = [
        run_of(
            result(1, f"t.py::{board}"), environment=H200.model_copy(update={"context": context})
        )
        for board in ("a", "b", "c")
        for context in [{"board": [board]}]
    ]
    twice = merge_runs([merge_runs(runs[:2], ["a", "b"]), runs[2]], ["ab", "c"])
    assert twice.environment.context == {"board": ["a", "b", "c"]}
    contexts = [result.measured_in(twice.environment).context for result in twice.benchmarks]
    assert contexts == [{"board": [board]} for board in ("a", "b", "c")]


def test_the_same_benchmark_twice_is_a_conflict() -> None:
    """The error names both files; `keep` settles the conflict."""
    runs = [run_of(result(1.0)), run_of(result(2.0))]
    with pytest.raises(MergeConflictError, match=r"t\.py::test_a on one machine in a and b"):
        merge_runs(runs, ["a", "b"])
    for keep, energy_j in (("first", 1.0), ("last", 2.0)):
        merged = merge_runs(runs, ["a", "b"], keep=keep)
        assert [result.metrics["energy_j"].value for result in merged.benchmarks] == [energy_j]


def test_different_commits_are_a_conflict() -> None:
    """Results of different code are not one run."""
    runs = [run_of(result(1, "t.py::a"), commit="aaa"), run_of(result(1, "t.py::b"), commit="bbb")]
    with pytest.raises(MergeConflictError, match="a at aaa, b at bbb"):
        merge_runs(runs, ["a", "b"])


def test_the_command_merges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes one file; it refuses conflicts with status 2, and writes nothing."""
    for name, test_id in (("a", "t.py::a"), ("b", "t.py::b")):
        save_run(run_of(result(1, test_id)), tmp_path / f"{name}.json")
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    out = tmp_path / "out.json"
    assert main(["merge", *files, "-o", str(out)]) == 0
    assert len(load_run(out).benchmarks) == 2
    assert main(["merge", *files, files[0], "-o", str(tmp_path / "no.json")]) == 2
    error = capsys.readouterr().err
    assert "1 conflict; --keep=first or --keep=last chooses the result" in error
    assert "\n  t.py::a on one machine" in error
    assert not (tmp_path / "no.json").exists()
