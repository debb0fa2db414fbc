"""Sessions that measure nothing leave the meter closed and earlier results as they are."""

from __future__ import annotations

import pytest
from filelock import FileLock

from pytest_energy.plugin.gpu_locks import lock_folder
from pytest_energy.plugin.results_lock import lock_name
from tests.plugin.conftest import Project

CALL = """
def test_it(energy):
    energy(work, 1)
"""


@pytest.mark.parametrize(
    "option", ["--collect-only", "--setup-only", "--setup-plan", "--benchmark-skip"]
)
def test_what_runs_no_test_opens_no_meter(project: Project, option: str) -> None:
    """Not even a meter that fails is asked; the results of the run before stay."""
    project.write(CALL)
    project.run()
    before = project.results()
    project.script(unavailable="the meter was opened")
    result = project.run(option)
    assert result.ret == 0
    assert "the meter was opened" not in result.stdout.str()
    assert "ERROR" not in result.stdout.str()
    assert project.results() == before


def test_a_file_that_does_not_import_ends_the_session_first(project: Project) -> None:
    """Pytest stops after the collection, so no meter is opened."""
    project.write(CALL)
    project.run()
    before = project.results()
    project.pytester.makepyfile(test_broken="import no_such_module_at_all")
    project.script(unavailable="the meter was opened")
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "the meter was opened" not in result.stdout.str() + result.stderr.str()
    assert project.results() == before


@pytest.mark.parametrize("body", ["pytest.exit('enough')", "pytest.skip('not here')"])
@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_a_session_without_a_result_keeps_the_earlier_ones(
    project: Project, body: str, workers: tuple[str, ...]
) -> None:
    """The files of the last run that measured stay, the report included."""
    project.write(CALL)
    project.run()
    kept = {
        name: project.path(f".energy/{name}").read_text()
        for name in ("results.json", "report.html")
    }
    project.write(f"def test_it(energy):\n    {body}")
    project.run(*workers)
    assert kept == {name: project.path(f".energy/{name}").read_text() for name in kept}


def test_an_exit_is_not_a_complete_session(project: Project) -> None:
    """Whatever exit status the test asks for, the results so far are incomplete."""
    project.write(CALL + "\ndef test_last(energy):\n    pytest.exit('enough', returncode=0)")
    assert project.run().ret == 0
    assert len(project.results()["benchmarks"]) == 1
    assert not project.results()["run"]["complete"]


@pytest.mark.parametrize(
    ("failing", "complete"), [("test_first", False), ("test_last", True)], ids=["first", "last"]
)
def test_a_stop_after_the_last_test_is_no_early_one(
    project: Project, failing: str, complete: bool
) -> None:
    """With -x a session is incomplete only if a test has not run."""
    project.write(f"""
@pytest.mark.parametrize("name", ["test_first", "test_last"])
def test_it(energy, name):
    energy(work, 1)
    assert name != {failing!r}
""")
    result = project.run("-x")
    assert result.ret == 1
    assert project.results()["run"]["complete"] is complete
    assert ("did not finish" in result.stdout.str()) is not complete


def test_two_sessions_do_not_write_one_file(project: Project) -> None:
    """The second one ends at its start, and says what to do; a file of its own is accepted."""
    project.write(CALL)
    path = project.path(".energy/results.json")
    with FileLock(lock_folder() / lock_name(path)):
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*another session is writing {path}*--energy-output=json:*"])
        project.run("--energy-output=json:own.json").assert_outcomes(passed=1)
    assert not path.exists()
    project.run().assert_outcomes(passed=1)


def test_two_root_folders_keep_their_results_apart(project: Project) -> None:
    """Results belong to the root folder of the tests, wherever pytest is started."""
    for name in ("first", "second"):
        folder = project.pytester.mkdir(name)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / f"test_{name}.py").write_text(f"from scripted_meter import work\n{CALL}")
        project.run(name).assert_outcomes(passed=1)
    for name in ("first", "second"):
        assert name in project.path(f"{name}/.energy/results.json").read_text()


def test_where_nothing_was_ever_measured_the_files_are_of_the_last_session(
    project: Project,
) -> None:
    """There is nothing to keep, so each session writes its own."""
    project.write("def test_it(energy):\n    pytest.skip('not here')")
    for _ in range(2):
        project.path(".energy/report.html").unlink(missing_ok=True)
        result = project.run()
        result.stdout.no_fnmatch_line("*kept the earlier*")
        assert project.path(".energy/report.html").exists()
