"""The revision of the code that is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError
from pytest_energy.model.git import run_git


@dataclass(frozen=True)
class Revision:
    """A commit; all fields are empty outside a git work tree."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    """Whether tracked files differ from the commit."""


def read_revision(folder: Path) -> Revision:
    """The revision that ``folder`` is at; empty where git is missing or fails."""
    commit = _output(folder, "rev-parse", "HEAD")
    if commit is None:
        return Revision()
    # CI systems check out a commit without its branch, and name the branch in a variable.
    branch = _output(folder, "symbolic-ref", "--short", "-q", "HEAD") or _branch_of_ci()
    changes = _output(folder, "status", "--porcelain", "--untracked-files=no")
    return Revision(commit, branch, dirty=bool(changes))


def _branch_of_ci() -> str | None:
    names = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _output(folder: Path, *arguments: str) -> str | None:
    try:
        return run_git(folder, *arguments).strip()
    except EnergyError:
        return None
