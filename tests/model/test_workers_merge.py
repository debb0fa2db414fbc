"""The runs of workers put together: nothing lost, nothing counted twice."""

from __future__ import annotations

import pytest

from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment
from pytest_energy.model.result import Result, Run, RunInfo, Verdict
from pytest_energy.model.workers_merge import merge_workers, read_spool, worker_file


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


def ids(combined):
    """The ids of its benchmarks."""
    return [one.id for one in combined.benchmarks]


def test_every_benchmark_is_there_once():
    """The benchmarks of all workers are in the run, each once."""
    combined = merge_workers([run("a", "b"), run("c", board="b1")], ["gw0", "gw1"])
    assert ids(combined) == ["a", "b", "c"]


def test_benchmark_of_two_workers_is_kept_once_and_told():
    """Where workers measured the same benchmark, the first result stays, and a note tells it."""
    combined = merge_workers([run("a"), run("a", board="b1")], ["gw0", "gw1"])
    assert ids(combined) == ["a"]
    assert any("first result kept: a" in note for note in combined.run.notes)


def test_benchmarks_stand_in_the_order_of_their_files():
    """The order does not depend on which worker was faster."""
    late, early = run("late"), run("early", board="b1")
    late = late.model_copy(update={"benchmarks": [result("late", file="b.py", line=3)]})
    early = early.model_copy(update={"benchmarks": [result("early", file="a.py", line=9)]})
    assert ids(merge_workers([late, early], ["gw0", "gw1"])) == ["early", "late"]


def test_energy_of_devices_is_summed():
    """The session spent what its devices spent together."""
    combined = merge_workers([run(energy_j=100.0), run(board="b1", energy_j=50.0)], ["gw0", "gw1"])
    assert combined.run.energy_j == 150.0


def test_energy_of_a_shared_device_is_counted_once():
    """Two workers that shared a board saw the same joules."""
    combined = merge_workers([run(energy_j=100.0), run(energy_j=90.0)], ["gw0", "gw1"])
    assert combined.run.energy_j == 100.0


def test_energy_that_one_worker_does_not_know_is_unknown():
    """A killed worker has not told what it spent: the sum is missing, not short."""
    combined = merge_workers([run(), run(board="b1", energy_j=None)], ["gw0", "gw1"], ["gw1"])
    assert combined.run.energy_j is None
    assert any("killed before they had finished: gw1" in note for note in combined.run.notes)


def test_result_of_another_card_keeps_its_identity():
    """On unlike cards each result says which one it was measured on."""
    combined = merge_workers([run("a"), run("b", board="b1", device="NVIDIA A100")], ["gw0", "gw1"])
    assert combined.environment.identity == {"device": "NVIDIA H200"}
    assert [one.identity for one in combined.benchmarks] == [None, {"device": "NVIDIA A100"}]


def test_result_keeps_the_board_of_its_worker():
    """Where workers had a card each, a result says which one measured it."""
    combined = merge_workers([run("a"), run("b", board="b1")], ["gw0", "gw1"])
    found = [one.measured_in(combined.environment).context["board"] for one in combined.benchmarks]
    assert found == [["b0"], ["b1"]]


def test_context_tells_all_boards():
    """What differs between workers is listed, what is common is told once."""
    combined = merge_workers([run(), run(board="b1")], ["gw0", "gw1"])
    assert combined.environment.context == {"board": ["b0", "b1"], "torch": "2.10"}
    assert combined.run.idle_power_w == {"gw0.gpu0": 70.0, "gw1.gpu0": 70.0}


@pytest.mark.parametrize("name", ["gw2", "gw10"])
def test_spool_is_read_in_the_order_of_the_workers(tmp_path, name):
    """The files of a folder are read by the numbers of their workers."""
    for worker in ("gw1", name):
        save_run(run(worker), worker_file(tmp_path, worker))
    assert list(read_spool(tmp_path)) == ["gw1", name]
