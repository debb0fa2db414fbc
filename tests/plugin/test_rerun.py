"""Tests that run again, their order, and their lines in the output."""

from __future__ import annotations

import json

from tests.plugin.conftest import Project

CALL = """
def test_it(energy):
    energy(work, 0.01)
"""


def test_a_baseline_is_recorded_in_several_visits(project: Project) -> None:
    """All benchmarks are measured in rotation until each baseline has enough runs."""
    project.write(CALL + CALL.replace("test_it", "test_other"))
    result = project.run("--energy-update=new", "--energy-baseline-runs=3", "-v")
    assert result.ret == 0
    shown = [line for line in result.outlines if "::test_" in line and "%" in line]
    assert ["RECORDING" in line for line in shown] == [True] * 4 + [False] * 2
    assert ["test_other" in line for line in shown] == [False, True] * 3
    result.stdout.fnmatch_lines(["*2 passed, 4 recording*"])
    assert recorded_runs(project) == [3, 3]
    assert project.run("--energy-update", "--energy-baseline-runs=3").ret == 0
    assert recorded_runs(project) == [4, 4]


def test_fixed_protocol_and_training_are_recorded_in_one_visit(project: Project) -> None:
    """Neither is measured again for its variation between runs."""
    project.write(CALL)
    assert project.run("--energy-update", "--energy-protocol=fixed").ret == 0
    assert recorded_runs(project) == [1]
    project.write("def test_train(energy):\n    energy.training(lambda: work(0.01), epochs=2)\n")
    assert project.run("--energy-update").ret == 0
    assert sorted(recorded_runs(project)) == [1, 1]


def recorded_runs(project: Project) -> list[int]:
    """Return the number of accepted runs of each baseline."""
    files = sorted(project.path("baselines").rglob("*.json"))
    return [len(json.loads(path.read_text())["accepted"]) for path in files]
