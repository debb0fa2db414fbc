"""The revision of the code, as git knows it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.model.git import run_git
from pytest_energy.model.revision import BRANCHES, COMMITS, Revision, read_revision


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit on the branch ``topic``."""
    (tmp_path / "code.py").write_text("", "utf-8")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-qb", "topic"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_commit_has_its_branch_and_knows_of_changed_files(repository: Path) -> None:
    """A changed file makes the revision dirty; an untracked file does not."""
    commit = run_git(repository, "rev-parse", "HEAD").strip()
    (repository / "untracked.py").write_text("", "utf-8")
    assert read_revision(repository) == Revision(commit, "topic", dirty=False)
    (repository / "code.py").write_text("changed", "utf-8")
    assert read_revision(repository) == Revision(commit, "topic", dirty=True)


def test_a_detached_commit_has_the_branch_that_ci_names(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI systems check out a commit, and name its branch in a variable."""
    run_git(repository, "checkout", "-q", "--detach")
    monkeypatch.setenv("GITHUB_HEAD_REF", "")
    monkeypatch.setenv("GITHUB_REF_NAME", "feature")
    assert read_revision(repository).branch == "feature"


@pytest.fixture
def refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree that git refuses, as it does one of another user."""
    (repository / ".git" / "HEAD").write_text("no head", "utf-8")
    for name in (*COMMITS, *BRANCHES):
        monkeypatch.delenv(name, raising=False)
    return repository


@pytest.mark.parametrize("variable", COMMITS)
def test_where_git_refuses_the_ci_system_names_the_commit(
    refused: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A remark says so, because uncommitted changes cannot be seen."""
    monkeypatch.setenv(variable, "c0ffee")
    revision = read_revision(refused)
    assert revision.commit == "c0ffee"
    assert revision.remark is not None
    assert revision.remark.startswith("The commit is as the CI system names it, and uncommitted")


def test_without_git_and_ci_a_remark_says_why(refused: Path) -> None:
    """An unknown commit is never silent in a work tree."""
    revision = read_revision(refused)
    assert revision.commit is None
    assert revision.remark is not None
    assert "unknown" in revision.remark
    assert "not a git repository" in revision.remark


def test_outside_a_work_tree_the_ci_system_names_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as in a container that has only the files."""
    monkeypatch.setenv("CI_COMMIT_SHA", "c0ffee")
    monkeypatch.setenv("CI_COMMIT_REF_NAME", "topic")
    assert read_revision(tmp_path) == Revision("c0ffee", "topic")


def test_outside_a_repository_the_revision_is_empty(tmp_path: Path) -> None:
    """Measuring needs no git; asking git for something says why it fails."""
    assert read_revision(tmp_path) == Revision()
    with pytest.raises(EnergyError, match=r"^git log: fatal: not a git repository"):
        run_git(tmp_path, "log")


def test_without_git_the_revision_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git measures all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_revision(tmp_path) == Revision()
    with pytest.raises(EnergyError, match=r"^cannot run git: "):
        run_git(tmp_path, "log")
