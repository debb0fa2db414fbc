"""The trees of the sides: real repositories, real worktrees."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_energy.against.folders import session_folder
from pytest_energy.against.trees import Reference, Tree, overlay, resolve, worktree
from pytest_energy.errors import EnergyError, UsageError
from tests.against.conftest import Repository, git


def test_a_branch_a_tag_and_a_commit_are_found(repository: Repository) -> None:
    """Each of them names the same commit."""
    commit = git(repository.folder, "rev-parse", "HEAD").strip()
    git(repository.folder, "tag", "v1")
    for name in ("main", "v1", commit, commit[:10], "HEAD", "merge-base:main"):
        assert resolve(name, repository.folder).commit == commit


def test_a_missing_revision_is_refused_with_what_is_expected(repository: Repository) -> None:
    """The error names the option, the folder and the accepted forms."""
    with pytest.raises(UsageError, match=r"--energy-against=nowhere: no such commit in .*project"):
        resolve("nowhere", repository.folder)
    with pytest.raises(UsageError, match="expected a branch, tag or commit"):
        resolve("--output=x", repository.folder)


def test_a_shallow_clone_says_how_to_get_the_history(
    repository: Repository, tmp_path: Path
) -> None:
    """The remedy is in the message."""
    repository.commit("the second")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(clone))
    with pytest.raises(UsageError, match="git fetch --unshallow"):
        resolve("HEAD~1", clone)


def test_branches_without_a_common_commit_are_refused(repository: Repository) -> None:
    """Git says nothing about them, so the message does."""
    git(repository.folder, "checkout", "--quiet", "--orphan", "other")
    repository.commit("a beginning of its own")
    with pytest.raises(UsageError, match="HEAD and main have no common commit here"):
        resolve("merge-base:main", repository.folder)


def test_without_a_repository_only_self_works(tmp_path: Path) -> None:
    """There is no revision to compare with."""
    with pytest.raises(UsageError, match="is not in a git repository"):
        resolve("main", tmp_path)
    assert resolve("self", tmp_path) == Reference("self", tmp_path.resolve(), None)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, EnergyError])
def test_a_worktree_is_removed_whatever_happens(
    repository: Repository, error: type[BaseException] | None
) -> None:
    """It has the committed files, not those of the working tree, and leaves no trace."""
    repository.engine(5)
    try:
        with worktree(resolve("HEAD", repository.folder)) as tree:
            assert "work(0.01)" in (tree / "engine.py").read_text("utf-8")
            if error:
                raise error
    except (KeyboardInterrupt, EnergyError):
        pass
    assert not tree.parent.exists()
    assert len(repository.worktrees()) == 1
    assert "work(5)" in (repository.folder / "engine.py").read_text("utf-8")


def test_what_a_killed_session_left_is_removed(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders of sides and trees go once nobody holds their lock; others stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = f"""
import os, tempfile
tempfile.tempdir = {str(tmp_path)!r}
from pathlib import Path
from pytest_energy.against.folders import session_folder
from pytest_energy.against.trees import resolve, worktree
with worktree(resolve("HEAD", Path({str(repository.folder)!r}))), session_folder("side"):
    os.kill(os.getpid(), 9)
"""
    repository.commit()
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -9
    left = sorted(tmp_path.glob("pytest-energy-*"))
    assert [folder.name.split("-")[2] for folder in left] == ["against", "side"]
    assert len(repository.worktrees()) == 2
    with session_folder("side") as held:
        for folder in (*left, held):
            os.utime(folder, (0, 0))
        with worktree(resolve("HEAD", repository.folder)) as tree:
            assert not any(folder.exists() for folder in left)
            assert tree.exists()
            assert held.exists()
    assert len(repository.worktrees()) == 1
    assert list(tmp_path.glob("pytest-energy-*")) == []


def test_a_checkout_hook_does_not_run(repository: Repository, tmp_path: Path) -> None:
    """It is meant for the user's working tree."""
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n", "utf-8")
    hook.chmod(0o755)
    with worktree(resolve("HEAD", repository.folder)):
        pass
    assert not (tmp_path / "ran").exists()


def test_the_base_gets_the_heads_tests_and_keeps_its_own_code(
    repository: Repository, tmp_path: Path
) -> None:
    """Test files, conftest.py files and the configuration are copied; a deleted conftest goes."""
    repository.write("conftest.py", "OLD = 1")
    repository.commit()
    (repository.folder / "conftest.py").unlink()
    repository.write("benchmarks/conftest.py", "NEW = 1")
    repository.write("benchmarks/test_new.py", "def test_new(energy): ...")
    repository.engine(5)
    with worktree(resolve("HEAD", repository.folder)) as folder:
        tree = Tree(folder, repository.folder.resolve())
        tests = [repository.folder / "benchmarks" / "test_new.py"]
        changed = overlay(tree, tests, repository.folder / "pytest.ini")
        assert changed == [Path("conftest.py")]
        assert (folder / "benchmarks" / "test_new.py").exists()
        assert (folder / "benchmarks" / "conftest.py").exists()
        assert not (folder / "conftest.py").exists()
        assert "work(0.01)" in (folder / "engine.py").read_text("utf-8")


def test_paths_of_the_working_tree_are_mapped_and_others_stay(tmp_path: Path) -> None:
    """Installed packages belong to no tree, even inside the working tree."""
    work, base = tmp_path / "work", tmp_path / "base"
    installed = work / ".venv" / "lib" / "site-packages"
    for folder in (work / "python", base / "python", base / "src", installed):
        folder.mkdir(parents=True)
    tree = Tree(base, work)
    assert tree.import_paths([str(installed), str(work / "python"), "/usr/lib"]) == (
        str(base / "python"),
        str(base / "src"),
        str(base),
    )
    assert tree.place(installed) == installed
