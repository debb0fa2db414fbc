"""The gate's decisions on later runs of a benchmark, from new to accepted."""

from __future__ import annotations

import json

import pytest
import torch.utils.flop_counter  # noqa: F401 - see Project.run

from tests.plugin.conftest import Project

CALL = """
def test_it(energy):
    energy(work, 0.01)
"""


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project with an accepted baseline of 1 J per call."""
    project.write(CALL)
    project.run("--energy-update").assert_outcomes(passed=1)
    return project


def test_a_first_run_passes_and_says_what_to_do(project: Project) -> None:
    """Without a baseline the outcome is new, nothing fails, and the output has the next command."""
    project.write(CALL)
    result = project.run()
    assert result.ret == 0
    assert project.benchmark()["verdict"]["outcome"] == "new"
    result.stdout.fnmatch_lines(["*--energy-update*"])
    assert not project.path("baselines").exists()


def test_an_unchanged_run_passes(recorded: Project) -> None:
    """The same joules again are unchanged."""
    assert recorded.run().ret == 0
    assert recorded.benchmark()["verdict"]["outcome"] == "unchanged"


def test_ten_percent_more_fails_and_is_explained(recorded: Project) -> None:
    """The failure has before and after, change and tolerance, the cause, and what to do."""
    recorded.script(power_w=110.0)
    result = recorded.run()
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    assert recorded.benchmark()["verdict"]["outcome"] == "regressed"
    output = result.stdout.str()
    assert "+10" in output
    assert "5 %" in output
    assert "--energy-update" in output
    assert "Traceback" not in output


def test_an_accepted_regression_is_the_new_baseline(recorded: Project) -> None:
    """After --energy-update the same joules pass."""
    recorded.script(power_w=110.0)
    assert recorded.run("--energy-update").ret == 0
    assert recorded.run().ret == 0
    assert recorded.benchmark()["verdict"]["outcome"] == "unchanged"


def test_less_energy_is_an_improvement(recorded: Project) -> None:
    """A decrease of ten percent passes as improved."""
    recorded.script(power_w=90.0)
    assert recorded.run().ret == 0
    assert recorded.benchmark()["verdict"]["outcome"] == "improved"


def test_a_wider_tolerance_accepts(recorded: Project) -> None:
    """The tolerance of the option applies."""
    recorded.script(power_w=110.0)
    assert recorded.run("--energy-tolerance=0.2").ret == 0


def test_the_ini_file_sets_the_tolerance(recorded: Project) -> None:
    """Every option has an ini twin; the command line takes precedence."""
    recorded.pytester.makeini("[pytest]\nenergy_tolerance = 20%\n")
    recorded.script(power_w=110.0)
    assert recorded.run().ret == 0
    assert recorded.run("--energy-tolerance=5%").ret == 1


def test_the_marker_sets_the_tolerance(recorded: Project) -> None:
    """The marker takes precedence over the command line."""
    recorded.write("@pytest.mark.energy(tolerance=0.2)\n" + CALL.lstrip())
    recorded.script(power_w=110.0)
    assert recorded.run("--energy-tolerance=0.01").ret == 0


def test_another_device_is_incomparable(recorded: Project) -> None:
    """Joules of different hardware are not compared, and the output names the difference."""
    recorded.script(device="Another Card", power_w=500.0)
    result = recorded.run()
    assert result.ret == 0
    verdict = recorded.benchmark()["verdict"]
    assert verdict["outcome"] == "incomparable"
    assert {"name": "identity.device", "before": "Scripted Card", "after": "Another Card"} in (
        verdict["differences"]
    )
    result.stdout.fnmatch_lines(["*Another Card*"])


def test_another_workload_is_incomparable(recorded: Project) -> None:
    """A baseline of another workload cannot gate."""
    recorded.pytester.makeconftest("def pytest_energy_workload(item): return {'data': 'mnist'}")
    assert recorded.run().ret == 0
    assert recorded.benchmark()["verdict"]["outcome"] == "incomparable"


def test_an_estimate_that_rises_does_not_fail(project: Project) -> None:
    """Estimates are compared with estimates; a rise is reported and fails in strict mode only."""
    project.write(CALL)
    project.script(estimated=True)
    project.run("--energy-update").assert_outcomes(passed=1)
    project.script(estimated=True, power_w=120.0)
    assert project.run().ret == 0
    assert project.benchmark()["verdict"]["outcome"] == "regressed"
    assert project.run("--energy-strict").ret == 1


def test_strict_mode_fails_without_a_baseline(project: Project) -> None:
    """In strict mode every benchmark must be compared and pass."""
    project.write(CALL)
    assert project.run("--energy-strict").ret == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("counter-reset", "invalid"),
        ("device-lost", "invalid"),
        ("contended", "inconclusive"),  # others use the card: nothing is wrong with the test
    ],
)
def test_a_faulty_measurement_is_invalid(recorded: Project, fault: str, outcome: str) -> None:
    """The result has the right outcome, is not accepted, and none of its joules are compared."""
    recorded.script(faults=[fault], power_w=300.0)
    before = sorted(recorded.path("baselines").rglob("*.json"))
    result = recorded.run("--energy-update")
    assert result.ret == 0
    benchmark = recorded.benchmark()
    assert benchmark["status"] == "invalid"
    assert benchmark["verdict"]["outcome"] == outcome
    assert [reason["code"] for reason in benchmark["reasons"]] == [fault]
    assert "energy_j" not in benchmark["metrics"]
    assert sorted(recorded.path("baselines").rglob("*.json")) == before
    assert recorded.run("--energy-strict").ret == 1
    recorded.script()
    assert recorded.run().ret == 0
    assert recorded.benchmark()["verdict"]["outcome"] == "unchanged"


def test_accepting_prints_what_was_written(project: Project) -> None:
    """The output names the changed files, so that they can be committed."""
    project.write(CALL)
    result = project.run("--energy-update", "-v")
    (written,) = project.path("baselines").rglob("*.json")
    result.stdout.fnmatch_lines(["*Recorded 1 baseline; commit *baselines/.*"])
    result.stdout.no_fnmatch_line("*no baseline yet*")
    result.stdout.fnmatch_lines([f"*{written.relative_to(project.path('.'))}*"])
    recorded = json.loads(written.read_text())
    assert recorded["id"] == "test_it.py::test_it"


@pytest.mark.usefixtures("only_scripted")
def test_facts_gate_where_nothing_measures_joules(project: Project) -> None:
    """More FLOPs than in the baseline fail the test on a machine without a meter."""
    project.script(unavailable="no card in this machine")
    model = """
def test_it(energy):
    import torch
    energy.inference(torch.nn.Linear(8, {width}), input_shape=(8,), passes=1, rounds=1)
"""
    project.write(model.format(width=4))
    automatic = ("--energy-meter=auto", "-p", "no:benchmark")
    assert project.run("--energy-update", *automatic).ret == 0
    project.write(model.format(width=5))
    result = project.run(*automatic)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*FLOPs*"])
