"""How an accepted baseline moved over the commits of a git repository."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pytest_energy.errors import EnergyError, FileFormatError
from pytest_energy.gate.baseline import BASELINE_SCHEMA, Baseline
from pytest_energy.model.git import run_git
from pytest_energy.model.json_files import parse_json
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import ENERGY
from pytest_energy.uncertainty.change import Estimate

FIRST_RUNS: Final = 2
"""Runs that stand for the beginning of a level if no tag has it."""


@dataclass(frozen=True)
class Version:
    """A baseline as one commit left it."""

    commit: str
    date: str
    """Of the commit, ISO 8601."""
    subject: str
    energy: Quantity | None
    """``None`` if that version of the file has no joules or cannot be read."""


def versions(path: Path, since: str | None = None) -> list[Version]:
    """The versions of a baseline file, oldest first.

    Args:
        path: The file.
        since: A revision: the version that it has, and those after it. ``None`` for all.

    Renames are not followed: baselines are so similar that git takes a new one for a copy of
    another. A renamed test begins a new history.

    Raises:
        EnergyError: git is missing, or the file is not in a git work tree.
    """
    form = "--format=%H%x09%cs%x09%s"
    between = [f"{since}..HEAD"] if since else []
    log = run_git(path.parent, "log", form, *between, "--", path.name)
    if since:
        log += run_git(path.parent, "log", "-1", form, since, "--", path.name)
    # A subject may have characters at which splitlines() splits as well.
    commits = [line.split("\t", 2) for line in log.split("\n") if line]
    return [
        Version(commit, date, subject, _energy_at(path, commit))
        for commit, date, subject in reversed(commits)
    ]


def drift(history: Sequence[Version]) -> float | None:
    """The relative change from the oldest version that has joules to the newest."""
    energies = [version.energy.value for version in history if version.energy]
    return energies[-1] / energies[0] - 1 if len(energies) > 1 and energies[0] else None


def last_tag(folder: Path) -> str | None:
    """The newest tag before the commit that ``folder`` is at; ``None`` without tags or git."""
    try:
        return run_git(folder, "describe", "--tags", "--abbrev=0").strip()
    except EnergyError:
        return None


def creep(
    path: Path, current: Baseline, value: float, tolerance: float, tag: str | None
) -> float | None:
    """The relative change that small accepted changes add up to, with a new run.

    It counts from the level that the tag has. If a change beyond the tolerance was accepted since
    then, it counts from the first runs after that change, and without a tag from the first runs
    that the file still has.

    Args:
        path: The file of the baseline.
        current: Its present content.
        value: Joules of the run that is to be accepted.
        tolerance: The accepted relative change of the energy.
        tag: A revision with an older content.

    Returns:
        ``None`` if there is nothing to count from.
    """
    older = _at(path, tag) if tag else None
    begin = older.level(ENERGY) if older else []
    levels = [level for level in current.levels(ENERGY) if level]
    begin = begin or [run for level in levels[:1] for run in level[:FIRST_RUNS]]
    for before, after in pairwise(levels):
        is_new = older is None or not set(after) <= set(older.level(ENERGY))
        if is_new and abs(_mean(after) / _mean(before) - 1) > tolerance:
            begin = after[:FIRST_RUNS]
    return value / _mean(begin) - 1 if begin else None


def _mean(level: Sequence[Estimate]) -> float:
    return statistics.fmean(run.value for run in level)


def _energy_at(path: Path, commit: str) -> Quantity | None:
    baseline = _at(path, commit)
    return baseline.metrics.get(ENERGY) if baseline else None


def _at(path: Path, revision: str) -> Baseline | None:
    """A baseline as a revision has it; ``None`` if it has none that can be read."""
    try:
        text = run_git(path.parent, "show", f"{revision}:./{path.name}")
        return parse_json(text, Baseline, path, "a baseline", BASELINE_SCHEMA)
    except (EnergyError, FileFormatError):  # deleted or moved there, or of an older schema
        return None
