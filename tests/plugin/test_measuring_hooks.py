"""A session from start to end: errors before measuring, interruption, what it costs."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.conftest import MEASURING, Project
from tests.terminals import run_in_terminal

CALL = """
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(energy, n):
    energy(work, 0.01)
"""


def test_an_unknown_marker_keyword_stops_the_session(project: Project) -> None:
    """The error names the test and the keyword before anything is measured."""
    project.write("@pytest.mark.energy(tolerence=0.1)\ndef test_it(energy): energy(work, 1)")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: test_it.py::test_it: unknown keyword 'tolerence'*"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "{", "*not JSON*"),
        (lambda text: text.replace("baseline/1", "baseline/99"), "*schema*99*"),
        (lambda text: text.replace('"id":', '"di":'), "*id: field required*"),
    ],
)
def test_a_broken_baseline_stops_the_session(
    project: Project, change: object, message: str
) -> None:
    """The error names the file and its fault before anything is measured; the file stays."""
    assert callable(change)
    project.write(CALL)
    project.run("--energy-update")
    file = min(project.path("baselines").rglob("*.json"))
    broken = change(file.read_text())
    file.write_text(broken)
    result = project.run("--energy-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{file.name}{message}"])
    assert file.read_text() == broken


def _without_a_card(project: Project) -> None:
    project.script(unavailable="no card in this machine; install the NVIDIA driver")


def _with_a_broken_baseline(project: Project) -> None:
    file = project.path("baselines/card/test_it/test_it.json")
    file.parent.mkdir(parents=True)
    file.write_text("{")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (_without_a_card, "no card in this machine; install the NVIDIA driver"),
        (_with_a_broken_baseline, "*test_it.json: not a baseline: not JSON*"),
    ],
)
def test_an_error_in_a_worker_is_reported_as_without_workers(
    project: Project, broken: Callable[[Project], None], message: str
) -> None:
    """The cause and its remedy are printed once, and the exit status is 4."""
    broken(project)
    project.write(CALL)
    result = project.run_apart("-n1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_a_skipped_test_leaves_nothing(project: Project) -> None:
    """A test may also skip itself after measuring."""
    project.write("def test_it(energy):\n    energy(work, 1)\n    pytest.skip('enough')")
    project.run().assert_outcomes(skipped=1)
    assert project.results()["benchmarks"] == []


def test_the_joules_of_the_session_are_in_the_results(project: Project) -> None:
    """These are all joules from its start to its end, warm-up and setup included."""
    project.write("def test_it(energy):\n    work(3)\n    energy(work, 0.01)\n")
    project.run("--energy-passes=1", "--energy-rounds=1")
    run = project.results()["run"]
    assert run["energy_j"] == pytest.approx(302.0)
    assert run["complete"] is True


def test_pue_is_in_the_co2_and_not_in_the_joules(project: Project) -> None:
    """The PUE multiplies the grams and has its own field."""
    project.write("def test_it(energy): energy(work, 0.01)")
    project.run("--energy-carbon-intensity=360", "--energy-pue=1.5")
    metrics = project.benchmark()["metrics"]
    assert metrics["energy_j"]["value"] == pytest.approx(1.0)
    assert metrics["co2_g"]["value"] == pytest.approx(1.5e-4)
    assert project.results()["run"]["carbon"]["pue"] == 1.5


def test_nothing_is_opened_without_an_energy_test(project: Project) -> None:
    """In a project without energy tests --energy changes nothing."""
    project.write("def test_it(): pass")
    result = project.run()
    result.assert_outcomes(passed=1)
    assert not project.path(".energy").exists()


@pytest.mark.usefixtures("only_scripted")
def test_auto_says_why_nothing_measures(project: Project) -> None:
    """Without any meter the test runs, its joules are unmeasured, and the header says why."""
    project.script(unavailable="no card in this machine")
    project.write(CALL)
    result = project.run("--energy-meter=auto")
    assert result.ret == 0
    benchmark = project.benchmark("test_it[1]")
    assert benchmark["status"] == "unmeasured"
    assert "energy_j" not in benchmark["metrics"]
    assert benchmark["metrics"]["latency_s"]["value"] > 0
    result.stdout.fnmatch_lines(["energy: will measure no joules here (no card in this*"])


def test_junit_properties_carry_the_joules(project: Project) -> None:
    """CI systems that read JUnit files find the joules there."""
    project.write(CALL)
    project.run("--junitxml=junit.xml")
    assert "energy_j" in project.path("junit.xml").read_text()


@pytest.mark.parametrize(
    ("taken", "arguments"),
    [
        ("folder", ()),
        ("file/results.json", ()),
        ("/proc/x/results.json", ()),
        ("/proc/x/results.json", ("-n2",)),
    ],
)
def test_results_that_cannot_be_written_stop_the_session(
    project: Project, taken: str, arguments: tuple[str, ...]
) -> None:
    """One error names the option, and nothing has run."""
    project.write(CALL)
    project.path("folder").mkdir()
    project.path("file").touch()
    result = project.run(f"--energy-output=json:{taken}", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --energy-output=json:*{taken}: *; name a file*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("taken", "arguments"),
    [("file", ()), ("file", ("--energy-update",)), ("/proc/x", ("--energy-update",))],
)
def test_baselines_that_cannot_be_used_stop_the_session(
    project: Project, taken: str, arguments: tuple[str, ...]
) -> None:
    """A file in place of the folder is not treated as an empty folder."""
    project.write(CALL)
    project.path("file").touch()
    result = project.run(f"--energy-baselines={taken}", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{taken}: *"])
    assert "--energy-baselines" in result.stderr.str()


def test_a_baseline_that_can_no_longer_be_written_costs_no_measurement(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teardown fails with one sentence; the result stays, but is not accepted."""

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pytest_energy.gate.baseline_store.write_atomically", full)
    project.write(CALL)
    result = project.run("--energy-update", "--energy-baseline-runs=1", "-k1")
    result.assert_outcomes(passed=1, errors=1, deselected=2)
    result.stdout.fnmatch_lines(["*cannot write the baseline: *--energy-baselines=*"])
    assert "Traceback" not in result.stdout.str()
    benchmark = project.benchmark("test_it[1]")
    assert benchmark["status"] == "measured"
    assert not benchmark["verdict"]["accepted"]


@pytest.mark.parametrize("arguments", [(), ("-n2",)])
def test_locks_that_cannot_be_held_stop_the_session(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """One error names the folder and the variable."""
    project.write(CALL)
    project.path("file").touch()
    monkeypatch.setenv("PYTEST_ENERGY_LOCKS", "file")
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: file: cannot be the folder of the locks*PYTEST_ENERGY_LOCKS"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_terminal_shows_live_progress(project: Project) -> None:
    """On a terminal each round is shown while it runs."""
    project.write(CALL)
    written = run_in_terminal([sys.executable, "-m", "pytest", *MEASURING], project.path("."))
    assert "\0337 warm-up · test_it.py::test_it[1]\033[K\0338" in written


def test_an_interrupted_run_keeps_finished_results(project: Project) -> None:
    """After Ctrl-C the finished benchmarks are reported, and the run is marked as incomplete."""
    project.write(
        CALL
        + """
def test_stopped(energy):
    energy(work, 0.01)
    raise KeyboardInterrupt
"""
    )
    result = project.run_apart()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    results = project.results()
    assert [benchmark["id"] for benchmark in results["benchmarks"]] == [
        f"test_it.py::test_it[{n}]" for n in (1, 2, 3)
    ]
    assert results["run"]["complete"] is False
    result.stdout.fnmatch_lines(
        ["*Incomplete: *The run did not finish; later benchmarks are missing.*", "*wrote*html"]
    )


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_a_run_that_stops_at_the_first_failure_is_incomplete(
    project: Project, workers: list[str]
) -> None:
    """With -x the results lack the tests that did not run, and the run is marked as incomplete."""
    project.write(CALL + "    assert n != 2\n")
    project.run("-x", *workers)
    results = project.results()
    assert "test_it.py::test_it[1]" in [benchmark["id"] for benchmark in results["benchmarks"]]
    assert results["run"]["complete"] is False


def test_nothing_holds_the_results_when_the_session_ends(project: Project) -> None:
    """Thousands would be searched several times by the collector of garbage, for seconds."""
    project.write("def test_let_go(energy):\n    energy(work, 0.01)\n")
    project.pytester.makeconftest(
        """
        import gc, pytest
        from pytest_energy.model.result import Result

        @pytest.hookimpl(trylast=True)
        def pytest_unconfigure():
            results = [each for each in gc.get_objects() if isinstance(each, Result)]
            print("held:", [each.id for each in results if each.id.endswith("test_let_go")])
        """
    )
    result = project.run_apart()  # the recorder of hooks in this process holds them, too
    assert project.benchmark("test_let_go")["status"] == "measured"
    assert "held: []" in result.stdout.str()
