"""The first commit that costs energy, found by git bisect in a worktree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.errors import UsageError
from pytest_energy.history import bisect as module
from pytest_energy.history.bisect import Answer, Bisection, bisect
from tests.against.conftest import OPTIONS, TEST, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With one module and one benchmark, not yet committed."""
    library = tmp_path / "library"
    library.mkdir()
    return Repository(tmp_path / "project", library)


def answers(by_joules: Callable[[str], Answer]) -> Callable[..., tuple[Answer, str]]:
    """Judge a commit by the text of its module, without measuring."""

    def measure(_search: Bisection, tree: Path, _good: str) -> tuple[Answer, str]:
        text = (tree / "engine.py").read_text("utf-8")
        return by_joules(text), "judged by its text"

    return measure


def commits_of(repository: Repository, *seconds: float) -> list[str]:
    """A commit for each duration of the work."""
    found = []
    for duration in seconds:
        repository.engine(duration)
        found.append(repository.commit(f"work of {duration} s"))
    return found


def test_the_first_bad_commit_is_found(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among ten, in four steps at most; the working tree stays, and no worktree is left."""
    commits = commits_of(repository, *[0.01] * 6, *[0.02] * 4)
    monkeypatch.setattr(module, "_measure", answers(lambda t: "bad" if "0.02" in t else "good"))
    repository.engine(0.5)
    lines: list[str] = []
    found = bisect(Bisection(repository.folder, TEST, commits[0], commits[-1]), lines.append)
    assert found == commits[6]
    assert len(lines) <= 4
    assert "0.5" in (repository.folder / "engine.py").read_text("utf-8")
    assert len(repository.worktrees()) == 1


def test_commits_that_cannot_be_measured_leave_several(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is claimed of them."""
    commits = commits_of(repository, 0.01, 0.3, 0.3, 0.02)
    monkeypatch.setattr(module, "_measure", answers(lambda t: "skip" if "0.3" in t else "good"))
    search = Bisection(repository.folder, TEST, commits[0], commits[-1])
    assert bisect(search, lambda line: None) is None
    assert len(repository.worktrees()) == 1


def test_the_older_commit_comes_first(repository: Repository) -> None:
    """Otherwise the two were confused."""
    old, new = commits_of(repository, 0.01, 0.02)
    with pytest.raises(UsageError, match="is not before"):
        bisect(Bisection(repository.folder, TEST, new, old), lambda line: None)
    with pytest.raises(UsageError, match="no such commit"):
        bisect(Bisection(repository.folder, TEST, "nothing", new), lambda line: None)


def test_a_failed_setup_skips_the_commit(repository: Repository) -> None:
    """With the command and its status."""
    commits = commits_of(repository, 0.01, 0.01, 0.02)
    lines: list[str] = []
    search = Bisection(repository.folder, TEST, commits[0], commits[-1], setup="exit 3")
    assert bisect(search, lines.append) is None
    assert "'exit 3' ended with status 3" in lines[0]


def test_a_commit_without_results_is_skipped(repository: Repository) -> None:
    """The last line that pytest printed says why."""
    commits = commits_of(repository, 0.01, 0.01, 0.02)
    lines: list[str] = []
    search = Bisection(repository.folder, "no_such_file.py", commits[0], commits[-1])
    assert bisect(search, lines.append) is None
    assert "pytest no_such_file.py gave no results: " in lines[0]


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_each_commit_is_measured_against_the_good_one(
    repository: Repository,
    forks: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole command on a scripted meter: 10 % more joules in the middle commit."""
    commits = commits_of(repository, 0.01, 0.011, 0.011)
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("PYTHONPATH", str(repository.library))
    options = [option for option in OPTIONS if option != "--energy"]
    status = main(
        ["history", "bisect", TEST, commits[0], commits[-1], "--setup=true", "--", *options]
    )
    output = capsys.readouterr().out
    assert status == 0, output
    assert output.splitlines()[0].startswith("bad ")
    assert output.splitlines()[-1] == f"first bad commit: {commits[1]} work of 0.011 s"
