"""The one place that runs git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from pytest_energy.errors import EnergyError

TIMEOUT_S: Final = 60.0


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints.

    Raises:
        EnergyError: git is missing, takes longer than a minute, or fails, for example because the
            folder is not in a repository.
    """
    command = ["git", "-C", str(folder), *arguments]
    # Without this, `git status` rewrites the index, and a commit made meanwhile finds it locked.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EnergyError(f"cannot run git: {error}") from None
    if done.returncode:
        raise EnergyError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def commit_of(folder: Path, revision: str) -> str:
    """The full hash of the commit that a revision names.

    Raises:
        EnergyError: As for :func:`run_git`; there is no such commit.
    """
    expression = f"{revision}^{{commit}}"
    return run_git(folder, "rev-parse", "--verify", "--end-of-options", expression).strip()


def is_shallow(folder: Path) -> bool:
    """Whether the clone lacks the older part of its history.

    Raises:
        EnergyError: As for :func:`run_git`.
    """
    return run_git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"
