"""A session that was killed: the next one, and the command line, find its results."""

from __future__ import annotations

import json
import signal

import pytest

from pytest_energy.cli import main
from pytest_energy.session.journal import INTERRUPTED
from tests.plugin.conftest import Project

CALL = """
@pytest.mark.parametrize("case", [1, 2, 3])
def test_it(energy, case):
    energy(work, case)
"""
KILLED = (
    CALL
    + """
def test_killed(energy):
    import os
    os._exit(9)
"""
)
OTHER = "def test_other(energy):\n    energy(work, 1)\n    pytest.{end}\n"


@pytest.mark.parametrize("workers", [(), ("-n2", "--max-worker-restart=0")])
def test_the_next_session_assembles_the_results(project: Project, workers: tuple[str, ...]) -> None:
    """It says so, the file is complete though incomplete, and nothing else is left."""
    project.write(KILLED)
    project.run_apart(*workers)
    project.write(OTHER.format(end="skip('not here')"))
    session = project.run()
    if not workers:  # the controller lived on, and has merged what its workers left
        session.stdout.fnmatch_lines([f"energy: results.json has 3 results {INTERRUPTED}"])
        assert INTERRUPTED in project.results()["run"]["notes"]
    assert {item["id"] for item in project.results()["benchmarks"]} >= {
        f"test_it.py::test_it[{case}]" for case in (1, 2, 3)
    }
    assert project.results()["run"]["complete"] is False
    names = {path.name for path in project.path(".energy").iterdir()}
    assert names <= {"results.json", "report.html", ".gitignore"}


def test_a_killed_controller_leaves_what_its_workers_found(project: Project) -> None:
    """The files of all workers count, wherever the controller was."""
    project.write(CALL)
    project.path("conftest.py").write_text(
        "import os\ndef pytest_sessionfinish(session):\n"
        "    hasattr(session.config, 'workerinput') or os._exit(9)\n"
    )
    project.run_apart("-n2")
    assert not project.path(".energy/results.json").exists()
    project.path("conftest.py").unlink()
    project.write(OTHER.format(end="skip('not here')"))
    project.run()
    assert len(project.results()["benchmarks"]) == 3
    assert INTERRUPTED in project.results()["run"]["notes"]


def test_the_command_line_reads_the_journal(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a further session, and without writing anything beside the page."""
    project.write(KILLED)
    project.run_apart()
    results = str(project.path(".energy/results.json"))
    assert main(["merge", results, "-o", str(project.path("merged.json"))]) == 0
    merged = json.loads(project.path("merged.json").read_text())
    assert len(merged["benchmarks"]) == 3
    assert INTERRUPTED in merged["run"]["notes"]
    assert not project.path(".energy/results.json").exists()


def test_an_accepted_baseline_is_in_the_assembled_results(project: Project) -> None:
    """What the session wrote elsewhere is named, too."""
    project.write(KILLED)
    project.run_apart("--energy-update", "--energy-baseline-runs=1")
    project.write(OTHER.format(end="skip('not here')"))
    project.run()
    accepted = project.results()["run"]["accepted"]
    assert accepted
    assert all(project.path(path).exists() for path in accepted)
    assert all(item["verdict"]["accepted"] for item in project.results()["benchmarks"])


def test_a_journal_of_something_else_ends_the_next_session(project: Project) -> None:
    """It is named, and nothing is measured before somebody has looked."""
    project.write(CALL)
    project.path(".energy").mkdir()
    project.path(".energy/results.json.journal").write_text("[1]\n")
    session = project.run()
    assert session.ret == pytest.ExitCode.USAGE_ERROR
    session.stderr.fnmatch_lines(["*results.json.journal*journal*"])


def test_sigterm_ends_with_a_sentence_and_keeps_the_results(project: Project) -> None:
    """Whoever cancels a job sees what was measured, and that the run is not whole."""
    project.write(CALL + "\ndef test_cancelled(energy):\n    import os, signal\n"
                  "    os.kill(os.getpid(), signal.SIGTERM)\n    energy(work, 1)\n")  # fmt: skip
    before = signal.getsignal(signal.SIGTERM)
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*Incomplete: *The run did not finish*", "!*: SIGTERM ended the session; what was *"]
    )
    assert len(project.results()["benchmarks"]) == 3
    assert project.path(".energy/report.html").exists()
    assert signal.getsignal(signal.SIGTERM) is before
