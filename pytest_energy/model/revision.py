"""Which revision of the code is measured, as git says it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Revision:
    """A commit; all fields are empty outside a git work tree."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool = False
    """Whether tracked files differ from the commit."""


def read_revision(folder: Path) -> Revision:
    """Ask git for the revision that ``folder`` is at; CI systems name a detached branch."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return Revision()
    branch = _git(folder, "symbolic-ref", "--short", "-q", "HEAD") or _branch_of_ci()
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Revision(commit, branch, dirty=bool(status))


def _branch_of_ci() -> str | None:
    names = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
