"""The first commit that costs energy: git bisect, each commit measured against the good one.

The commits are checked out in a temporary worktree, so that the working tree stays as it is.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pytest_energy.against.trees import Reference, Tree, worktree
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.model.git import commit_of, run_git
from pytest_energy.model.json_files import load_run
from pytest_energy.model.outcomes import Outcome

Answer = Literal["good", "bad", "skip"]
RESULTS: Final = ".energy/bisect.json"
BAD: Final = frozenset({Outcome.REGRESSED, Outcome.OVER_BUDGET})
GOOD: Final = frozenset({Outcome.UNCHANGED, Outcome.IMPROVED})
_FOUND: Final = " is the first bad commit"
_SKIPPED: Final = "only 'skip'ped commits left"


@dataclass(frozen=True)
class Bisection:
    """What to look for, and how to measure it."""

    repository: Path
    test: str
    """A node id."""
    good: str
    """A commit that has the old level."""
    bad: str
    """A later one that has the new level."""
    setup: str | None = None
    """A command that prepares each commit, such as ``pip install -e .``."""
    options: Sequence[str] = ()
    """Further options for pytest."""


def bisect(search: Bisection, say: Callable[[str], None]) -> str | None:
    """Find the first bad commit.

    Args:
        search: The search.
        say: Takes a line on each commit, as it is measured.

    Returns:
        ``None`` if commits that could not be measured leave several to choose from.

    Raises:
        UsageError: A revision is unknown, or ``good`` is no ancestor of ``bad``.
        EnergyError: git fails.
    """
    top = Path(run_git(search.repository, "rev-parse", "--show-toplevel").strip())
    good, bad = _commit(top, search.good), _commit(top, search.bad)
    if run_git(top, "merge-base", good, bad).strip() != good or good == bad:
        raise UsageError(
            f"{search.good} is not before {search.bad}; give the older commit, which has the old"
            " joules, first"
        )
    with worktree(Reference(search.bad, top, bad)) as tree:
        text = run_git(tree, "bisect", "start", bad, good)
        while _FOUND not in text:
            commit = run_git(tree, "rev-parse", "HEAD").strip()
            answer, why = _measure(search, tree, good)
            subject = run_git(tree, "log", "-1", "--format=%h %s", commit).strip()
            say(f"{answer:4}  {subject}: {why}")
            try:
                text = run_git(tree, "bisect", answer)
            except EnergyError as error:
                if _SKIPPED in str(error) or answer == "skip":
                    return None
                raise
        return _commit(top, text.partition(_FOUND)[0].split()[-1])


def _commit(top: Path, revision: str) -> str:
    try:
        return commit_of(top, revision)
    except EnergyError as error:
        raise UsageError(f"{revision}: no such commit in {top} ({error})") from None


def _measure(search: Bisection, tree: Path, good: str) -> tuple[Answer, str]:
    """Whether the commit in ``tree`` is good, and why."""
    results = tree / RESULTS
    results.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": _import_path(tree)}
    if search.setup:
        setup = subprocess.run(search.setup, shell=True, cwd=tree, env=environment, check=False)
        if setup.returncode:
            return "skip", f"{search.setup!r} ended with status {setup.returncode}"
    command = [
        *(sys.executable, "-m", "pytest", search.test, "--energy", f"--energy-against={good}"),
        f"--energy-output=json:{RESULTS}",
        *([f"--energy-against-setup={search.setup}"] if search.setup else []),
        *search.options,
    ]
    done = subprocess.run(
        command, cwd=tree, env=environment, check=False, capture_output=True, text=True
    )
    if not results.is_file():
        last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")
        return "skip", f"{shlex.join(command[2:4])} gave no results: {last or done.stderr.strip()}"
    outcomes = [result.verdict.outcome for result in load_run(results).benchmarks]
    shown = ", ".join(outcome.label for outcome in outcomes) or "no benchmark"
    if BAD.intersection(outcomes):
        return "bad", shown
    return ("good" if outcomes and GOOD.issuperset(outcomes) else "skip"), shown


def _import_path(tree: Path) -> str:
    """The commit's own packages come before those that are installed."""
    own = Tree(tree, tree).import_paths([])
    return os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
