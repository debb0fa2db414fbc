"""The revision of the code, as git knows it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.model.git import run_git
from pytest_energy.model.revision import Revision, read_revision


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
