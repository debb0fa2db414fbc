"""The control, which ``--energy-control`` adds to a session."""

from __future__ import annotations

import pytest

from pytest_energy.fixture import Energy
from pytest_energy.model.measurement import CONTROL_FILE
from pytest_energy.plugin.control import benchmarks
from tests.plugin.conftest import Project

BODY = "def test_it(energy): energy(work, 0.01)"
IDS = [f"{CONTROL_FILE}::{kind}" for kind in ("test_matmul", "test_copy")]


@pytest.fixture
def loads(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a scripted CPU; its conftest file lets the control use scripted joules."""
    for name in ("multiply_on_cpu", "copy_on_cpu", "CPU_SIDE", "CPU_BYTES"):
        # Restored after the test, since the session runs in this process.
        monkeypatch.setattr(benchmarks, name, getattr(benchmarks, name))
    project.write(BODY)
    project.script(channel="cpu")
    project.pytester.makeconftest(
        "from pytest_energy.plugin.control import benchmarks\n"
        "from scripted_meter import work\n"
        "def multiply(*operands): work(MACHINE * 0.02)\n"
        "def copy(*buffers): work(MACHINE * 0.03)\n"
        "MACHINE = 1.0\n"
        "benchmarks.multiply_on_cpu, benchmarks.copy_on_cpu = multiply, copy\n"
        "benchmarks.CPU_SIDE = benchmarks.CPU_BYTES = 1\n"
    )
    return project


def ids(project: Project) -> list[str]:
    """The benchmarks of the last run, in their order."""
    return [benchmark["id"] for benchmark in project.results()["benchmarks"]]


def test_the_control_runs_at_both_ends(loads: Project) -> None:
    """Around the tests, whatever ``-k`` selects; nothing of it without the option."""
    loads.run("-k", "test_it", "--energy-control").assert_outcomes(passed=5)
    begin, end = ([f"{test}[{when}]" for test in IDS] for when in ("begin", "end"))
    assert ids(loads) == [*begin, "test_it.py::test_it", *end]
    assert loads.results()["benchmarks"][0]["file"] == CONTROL_FILE
    loads.run().assert_outcomes(passed=1)
    assert ids(loads) == ["test_it.py::test_it"]


def test_the_control_says_that_the_machine_moved(loads: Project) -> None:
    """Its baselines are files like any others; then a machine that uses more is named."""
    loads.run("--energy-control", "--energy-update").assert_outcomes(passed=5)
    same = loads.run("--energy-control")
    same.stdout.fnmatch_lines(["control *0.0 % * (4 benchmarks): the machine is as it was, so *"])
    conftest = loads.path("conftest.py")
    conftest.write_text(conftest.read_text().replace("MACHINE = 1.0", "MACHINE = 1.03"))
    moved = loads.run("--energy-control")
    moved.stdout.fnmatch_lines(["control +3.0 % * (4 benchmarks): the machine is not as it was"])
    assert loads.results()["run"]["control"]["machine"] == "moved"
    page = loads.path(".energy/report.html").read_text("utf-8")
    assert "Control +3.0" in page


def test_the_baselines_of_the_control_are_not_missed_without_it(loads: Project) -> None:
    """They are neither uncompared, nor orphans: the option was not given."""
    loads.run("--energy-control", "--energy-update").assert_outcomes(passed=5)
    assert list(loads.path("baselines").rglob("*matmul*"))
    loads.run("--energy-strict").assert_outcomes(passed=1)
    assert loads.results()["run"]["uncompared"] == []


def test_a_gpu_that_torch_does_not_see_skips_the_control(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it needs, and measures nothing else instead."""
    monkeypatch.setattr("pytest_energy.measuring.forward_passes.import_torch", _no_torch)
    project.write(BODY)
    done = project.run("--energy-control", "-rs")
    done.assert_outcomes(passed=1, skipped=4)
    done.stdout.fnmatch_lines(["*the control of a GPU needs torch*"])


def _no_torch() -> None:
    from pytest_energy.errors import UsageError

    raise UsageError("models need torch")


def test_the_loads_of_a_cpu_do_their_work() -> None:
    """Without ``--energy`` each runs once."""
    matrix, product = benchmarks.matrices_on_cpu()
    benchmarks.multiply_on_cpu(matrix, product)
    assert product[0, 0] == benchmarks.CPU_SIDE
    benchmarks.test_copy(Energy(), "begin")


def test_without_energy_the_option_is_refused(project: Project) -> None:
    """The control only exists where something is measured."""
    project.write(BODY)
    done = project.pytester.runpytest_inprocess("--energy-control")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --energy-control without --energy: *"])
