"""Tests that run again, their order, and their lines in the output."""

from __future__ import annotations

import json

import pytest

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


STRICT = """
import json
import pytest
from pathlib import Path
events, waiting, running = [], {}, []
@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    if running:
        Path("nested").touch()
    running.append(item)
    try:
        return (yield)
    finally:
        running.pop()
def pytest_runtest_logstart(nodeid):
    waiting[nodeid] = []
def pytest_runtest_logreport(report):
    assert report.outcome in ("passed", "failed", "skipped", "rerun"), report.outcome
    waiting[report.nodeid].append(report.when)
def pytest_runtest_logfinish(nodeid):
    events.append([nodeid.partition("::")[2], *waiting.pop(nodeid)])
def pytest_sessionfinish():
    assert not waiting
    Path("events.json").write_text(json.dumps(events))
"""
"""A reporter that accepts only whole tests with the outcomes of pytest. It wraps runs as
pytest-timeout does, and notes a run inside another one, which would share its time limit."""
PHASES = ["setup", "call", "teardown"]


@pytest.mark.parametrize("options", [(), ("-n1",)], ids=["alone", "worker"])
def test_other_plugins_see_only_the_last_run(project: Project, options: tuple[str, ...]) -> None:
    """Each test comes once, with its phases; a test between the runs does, too."""
    project.write(CALL + CALL.replace("test_it", "test_other") + "def test_plain(): pass\n")
    project.pytester.makeconftest(STRICT)
    result = project.run(
        "--energy-update", "--energy-baseline-runs=3", "--junitxml=junit.xml", *options
    )
    assert result.ret == 0, result.stdout.str()
    events = json.loads(project.path("events.json").read_text())
    assert sorted(events) == [[name, *PHASES] for name in ("test_it", "test_other", "test_plain")]
    assert not project.path("nested").exists()
    assert project.path("junit.xml").read_text().count("<testcase ") == 3


RERUNNING = """
import pytest
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    for last in (False, True):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        for report in failed if not last else ():
            report.outcome = "rerun"
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if not failed:
            break
    return True
"""
"""What pytest-rerunfailures does: it runs a failed test again, and reports each run."""


def test_a_plugin_may_run_failed_tests_again(project: Project) -> None:
    """The failed run counts nothing, and the next one becomes the baseline."""
    project.pytester.makepyfile(rerunning=RERUNNING)
    project.write(
        "runs = []\ndef test_it(energy):\n    runs.append(1)\n    energy(work, 0.01)\n"
        "    assert len(runs) > 1"
    )
    project.pytester.makeconftest(STRICT)
    result = project.run("-p", "rerunning", "--energy-update", "--energy-baseline-runs=2")
    result.assert_outcomes(passed=1)
    assert "1 passed, 1 rerun, 1 recording" in result.stdout.str()
    assert recorded_runs(project) == [2]
    events = json.loads(project.path("events.json").read_text())
    assert events == [["test_it", *PHASES], ["test_it", *PHASES]]


def test_a_regression_that_is_run_again_ends(project: Project) -> None:
    """Every run of the session is a visit of the benchmark, so its verdict stays settled."""
    project.write(CALL)
    assert project.run("--energy-update", "--energy-baseline-runs=2").ret == 0
    project.pytester.makepyfile(rerunning=RERUNNING)
    project.script(power_w=150.0)
    result = project.run("-p", "rerunning")
    result.assert_outcomes(failed=1)
    assert "1 failed, 1 suspect, 1 rerun" in result.stdout.str()
    assert project.benchmark()["verdict"]["outcome"] == "regressed"


def test_forked_tests_are_refused(project: Project) -> None:
    """No measurement comes back from their processes."""
    project.write("@pytest.mark.forked" + CALL)
    result = project.run("-o", "markers=forked: runs in a process of its own")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: test_it.py::test_it: @pytest.mark.forked runs the test in*"]
    )


def recorded_runs(project: Project) -> list[int]:
    """Return the number of accepted runs of each baseline."""
    files = sorted(project.path("baselines").rglob("*.json"))
    return [len(json.loads(path.read_text())["accepted"]) for path in files]
