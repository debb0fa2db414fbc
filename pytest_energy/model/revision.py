"""The revision of the code that is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_energy.errors import EnergyError
from pytest_energy.model.git import run_git

COMMITS: Final = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "BITBUCKET_COMMIT",
    "CIRCLE_SHA1",
    "BUILD_SOURCEVERSION",
    "BUILDKITE_COMMIT",
    "DRONE_COMMIT_SHA",
    "TRAVIS_COMMIT",
    "GIT_COMMIT",
)
"""Where CI systems name the commit: GitHub, GitLab, Bitbucket, CircleCI, Azure, Buildkite, Drone,
Travis, Jenkins."""
BRANCHES: Final = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")


@dataclass(frozen=True)
class Revision:
    """A commit; all fields are empty where neither git nor a CI system names one."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    """Whether tracked files differ from the commit."""
    remark: str | None = None
    """Why git could not be asked, although the folder is in a work tree."""


def read_revision(folder: Path) -> Revision:
    """The revision that ``folder`` is at: git's answer, or else the CI system's variable."""
    try:
        commit = run_git(folder, "rev-parse", "HEAD").strip()
    except EnergyError as error:
        return _revision_of_ci(folder, str(error))
    # CI systems check out a commit without its branch, and name the branch in a variable.
    branch = _output(folder, "symbolic-ref", "--short", "-q", "HEAD") or _first_set(BRANCHES)
    changes = _output(folder, "status", "--porcelain", "--untracked-files=no")
    return Revision(commit, branch, dirty=bool(changes))


def _revision_of_ci(folder: Path, refusal: str) -> Revision:
    commit = _first_set(COMMITS)
    branch = _first_set(BRANCHES) if commit else None
    # A container often runs as another user than the checkout: git then refuses its work tree.
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return Revision(commit, branch)
    source = "as the CI system names it" if commit else "unknown"
    remark = (
        f"The commit is {source}, and uncommitted changes are not seen: {' '.join(refusal.split())}"
    )
    return Revision(commit, branch, remark=remark)


def _first_set(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _output(folder: Path, *arguments: str) -> str | None:
    try:
        return run_git(folder, *arguments).strip()
    except EnergyError:
        return None
