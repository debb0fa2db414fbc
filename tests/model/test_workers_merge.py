"""Merging of workers' runs: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import pytest

from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment
from pytest_energy.model.result import Result, Run, RunInfo, Verdict
from pytest_energy.model.workers_merge import merge_workers, worker_file
from pytest_energy.session.journal import load_workers


def result(id, **fields):
    """An unchanged result."""
    verdict = Verdict(outcome="unchanged")
    return Result(id=id, kind="call", workload={}, status="measured", verdict=verdict, **fields)


def run(*ids, board="b0", device="NVIDIA H200", energy_j=100.0, **info):
    """A worker's run on one board."""
    return Run(
        created="2026-01-02T03:04:05Z",
        environment=Environment(
            identity={"device": device}, context={"board": [board], "torch": "2.10"}
        ),
        run=RunInfo(energy_j=energy_j, duration_s=10.0, idle_power_w={"gpu0": 70.0}, **info),
        benchmarks=[result(id) for id in ids],
    )


def ids(merged):
    """The ids of its benchmarks."""
    return [result.id for result in merged.benchmarks]


def test_every_benchmark_is_kept_once():
    """The run has the benchmarks of all workers, each once."""
    merged = merge_workers([run("a", "b"), run("c", board="b1")], ["gw0", "gw1"])
    assert ids(merged) == ["a", "b", "c"]


def test_benchmark_of_two_workers_is_kept_once_with_a_note():
    """If two workers measured a benchmark, its first result is kept, and a note says so."""
    merged = merge_workers([run("a"), run("a", board="b1")], ["gw0", "gw1"])
    assert ids(merged) == ["a"]
    assert any("first result kept: a" in note for note in merged.run.notes)


def test_benchmarks_are_in_the_order_of_their_files():
    """The order does not depend on which worker was faster."""
    late, early = run("late"), run("early", board="b1")
    late = late.model_copy(update={"benchmarks": [result("late", file="b.py", line=3)]})
    early = early.model_copy(update={"benchmarks": [result("early", file="a.py", line=9)]})
    assert ids(merge_workers([late, early], ["gw0", "gw1"])) == ["early", "late"]


def test_energy_of_devices_is_summed():
    """The energy of the session is the sum of its devices."""
    merged = merge_workers([run(energy_j=100.0), run(board="b1", energy_j=50.0)], ["gw0", "gw1"])
    assert merged.run.energy_j == 150.0


def test_energy_of_a_shared_device_is_counted_once():
    """Two workers on one board measured the same joules."""
    merged = merge_workers([run(energy_j=100.0), run(energy_j=90.0)], ["gw0", "gw1"])
    assert merged.run.energy_j == 100.0


def test_energy_that_one_worker_does_not_know_is_unknown():
    """If a worker is killed, the sum is unknown, not too small."""
    merged = merge_workers([run(), run(board="b1", energy_j=None)], ["gw0", "gw1"], ["gw1"])
    assert merged.run.energy_j is None
    assert any("killed before they had finished: gw1" in note for note in merged.run.notes)


def test_result_of_another_card_keeps_its_identity():
    """With different cards, each result has the identity of its card."""
    merged = merge_workers([run("a"), run("b", board="b1", device="NVIDIA A100")], ["gw0", "gw1"])
    assert merged.environment.identity == {"device": "NVIDIA H200"}
    assert [result.identity for result in merged.benchmarks] == [None, {"device": "NVIDIA A100"}]


def test_result_keeps_the_board_of_its_worker():
    """If each worker had a card, a result has the board that measured it."""
    merged = merge_workers([run("a"), run("b", board="b1")], ["gw0", "gw1"])
    boards = [
        result.measured_in(merged.environment).context["board"] for result in merged.benchmarks
    ]
    assert boards == [["b0"], ["b1"]]


def test_context_lists_all_boards():
    """Facts that differ between workers become lists; common facts remain values."""
    merged = merge_workers([run(), run(board="b1")], ["gw0", "gw1"])
    assert merged.environment.context == {"board": ["b0", "b1"], "torch": "2.10"}
    assert merged.run.idle_power_w == {"gw0.gpu0": 70.0, "gw1.gpu0": 70.0}


@pytest.mark.parametrize("name", ["gw2", "gw10"])
def test_spool_is_read_in_the_order_of_the_workers(tmp_path, name):
    """gw2 comes before gw10."""
    for worker in ("gw1", name):
        save_run(run(worker), worker_file(tmp_path, worker))
    assert list(load_workers(tmp_path)) == ["gw1", name]
