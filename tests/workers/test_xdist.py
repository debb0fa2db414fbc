"""Several workers: a card for each, nothing lost, nothing counted twice."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytestmark = pytest.mark.slow

CARD = "turing"
"""Its counter ticks every 10 ms, so that windows may be short."""
FOUR = """
@pytest.mark.parametrize("power_w", [20, 30, 40, 50])
def test_four(measured_work, power_w):
    measured_work(power_w)
"""
KILLED = """
@pytest.mark.parametrize("power_w", [20, 30, 40])
def test_three(measured_work, power_w):
    measured_work(power_w)
    if power_w == 30 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("nvml_sim", [(CARD, CARD, CARD)], indirect=True)
def test_three_workers_measure_on_three_cards(project):
    """With ``-n 3`` each worker has a card of its own, and every benchmark its own joules."""
    project.write(FOUR)
    done = project.run("-n3", "--maxschedchunk=1")  # else one of them may get no test
    done.assert_outcomes(passed=4)
    results = project.results()
    assert project.names() == [f"test_four[{power_w}]" for power_w in (20, 30, 40, 50)]
    for item, power_w in zip(results["benchmarks"], (20, 30, 40, 50), strict=True):
        assert item["metrics"]["power_w"]["value"] == pytest.approx(power_w, rel=0.15)
    assert len(results["environment"]["context"]["board"]) == 3
    assert results["run"]["energy_j"] > 0
    done.stdout.fnmatch_lines(["*= energy =*", "benchmark*", "*20*", "*wrote*report.html*"])
    assert "Benchmarks are automatically disabled" not in done.stdout.str() + done.stderr.str()
    assert list((project.pytester.path / ".energy").glob("workers-*")) == []


@pytest.mark.parametrize("nvml_sim", [(CARD,)], indirect=True)
def test_workers_take_turns_on_one_card(project):
    """Two workers on one card never have a window at the same time."""
    project.write(FOUR)
    project.run("-n2").assert_outcomes(passed=4)
    rounds = [one for item in project.results()["benchmarks"] for one in item["rounds"]]
    spans = sorted((one["start"], one["start"] + one["duration_s"]) for one in rounds)
    assert len(spans) == 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("nvml_sim", [(CARD, CARD)], indirect=True)
def test_killed_worker_loses_nothing_that_it_had_finished(project):
    """A worker is killed in the middle: the others' results and its own stay, and ``--lf`` goes on.

    The run fails, says which test was lost, and the rerun measures that test alone.
    """
    project.write(KILLED)
    first = project.run("-n2")
    assert first.ret == 1
    first.assert_outcomes(passed=2, failed=1)
    first.stdout.fnmatch_lines(["*crashed while running*test_three?30?*"])
    assert project.names() == ["test_three[20]", "test_three[40]"]
    run = project.results()["run"]
    assert any(note.startswith("killed before they had finished: gw") for note in run["notes"])
    assert run["energy_j"] is None
    project.run("-n2", "--lf").assert_outcomes(passed=1)
    assert project.names() == ["test_three[30]"]
