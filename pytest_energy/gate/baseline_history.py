"""How an accepted baseline moved over the commits of a git repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError, FileFormatError
from pytest_energy.gate.baseline import BASELINE_SCHEMA, Baseline
from pytest_energy.model.git import run_git
from pytest_energy.model.json_files import parse_json
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import ENERGY


@dataclass(frozen=True)
class Version:
    """A baseline as one commit left it."""

    commit: str
    date: str
    """Of the commit, ISO 8601."""
    subject: str
    energy: Quantity | None
    """``None`` if that version of the file has no joules or cannot be read."""


def versions(path: Path) -> list[Version]:
    """The versions of a baseline file, oldest first.

    Renames are not followed: baselines are so similar that git takes a new one for a copy of
    another. A renamed test begins a new history.

    Raises:
        EnergyError: git is missing, or the file is not in a git work tree.
    """
    log = run_git(path.parent, "log", "--format=%H%x09%cs%x09%s", "--", path.name)
    commits = [line.split("\t", 2) for line in log.splitlines()]
    return [
        Version(commit, date, subject, _energy_at(path, commit))
        for commit, date, subject in reversed(commits)
    ]


def drift(history: Sequence[Version]) -> float | None:
    """The relative change from the oldest version that has joules to the newest."""
    energies = [version.energy.value for version in history if version.energy]
    return energies[-1] / energies[0] - 1 if len(energies) > 1 and energies[0] else None


def _energy_at(path: Path, commit: str) -> Quantity | None:
    try:
        text = run_git(path.parent, "show", f"{commit}:./{path.name}")
        baseline = parse_json(text, Baseline, path, "a baseline", BASELINE_SCHEMA)
    except (EnergyError, FileFormatError):  # deleted or moved there, or of an older schema
        return None
    return baseline.metrics.get(ENERGY)
