"""How a baseline moved over the commits of a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.gate.acceptance import drift_refusal
from pytest_energy.gate.baseline import AcceptedRun
from pytest_energy.gate.baseline_history import Version, creep, drift, last_tag, versions
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.outcomes import Outcome
from tests.gate_data import H200, TEST, baseline_of, result, store_with

SLUG = "nvidia-h200"


def git(folder: Path, *arguments: str) -> str:
    """Run git as some person."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository without commits."""
    git(tmp_path, "init", "-q")
    return tmp_path


def commit(folder: Path, subject: str) -> str:
    """Commit all that there is; return the hash."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty-message", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def energies(found: list[Version]) -> list[float | None]:
    """The joules of each version."""
    return [version.energy.value if version.energy else None for version in found]


def test_each_commit_that_changed_a_baseline_is_a_version(repository: Path) -> None:
    """The oldest first, with hash, day and subject; what cannot be read has no joules."""
    subjects = ["accept", "one\tand\u2028two", "by hand"]
    hashes = []
    for number, subject in enumerate(subjects):
        store = store_with(repository, 1.0 + number / 10)
        path = store.path(TEST, SLUG)
        if subject == "by hand":
            path.write_text("{", "utf-8")
        hashes.append(commit(repository, subject))
        (repository / "other.txt").write_text(subject, "utf-8")
        commit(repository, "something else")
    found = versions(path)
    assert [(version.commit, version.subject) for version in found] == [
        *zip(hashes, subjects, strict=True)
    ]
    days = git(repository, "log", "--format=%cs").splitlines()
    assert {version.date for version in found} <= set(days)
    assert energies(found) == [1.0, 1.1, None]
    assert versions(path, since=hashes[1]) == found[1:]
    assert versions(path, since="HEAD") == found[2:]
    assert versions(path, since=f"{hashes[2]}~1") == found[1:]


def test_a_deleted_baseline_keeps_its_history(repository: Path) -> None:
    """Its deletion is a version without joules; a commit may have no subject."""
    path = store_with(repository, 1.0).path(TEST, SLUG)
    hashes = [commit(repository, "")]
    git(repository, "tag", "v1")
    path.unlink()
    hashes.append(commit(repository, "remove"))
    for since in (None, "v1"):
        found = versions(path, since)
        assert [version.commit for version in found] == hashes
        assert [version.subject for version in found] == ["", "remove"]
        assert energies(found) == [1.0, None]


def test_a_file_outside_of_git_has_no_versions(tmp_path: Path) -> None:
    """Which is an error, not an empty history; nor is there a tag."""
    path = store_with(tmp_path, 1.0).path(TEST, SLUG)
    with pytest.raises(EnergyError, match="not a git repository"):
        versions(path)
    assert last_tag(tmp_path) is None


def test_the_last_tag_is_the_newest_before_the_commit(repository: Path) -> None:
    """Without one there is none."""
    for name in ("a", "b"):
        (repository / name).touch()
        commit(repository, name)
        assert last_tag(repository) == (None if name == "a" else "v1")
        git(repository, "tag", "v1" if name == "a" else "v0")
    assert last_tag(repository) == "v0"


def version(energy_j: float | None) -> Version:
    """A version with these joules."""
    energy = None if energy_j is None else Quantity(value=energy_j, unit="J/pass")
    return Version("c", "2026-01-02", "subject", energy)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.3, 1.2], 0.2),
        ([None, 2.0, None, 1.0, None], -0.5),
        ([1.0], None),
        ([None, 1.0], None),
        ([], None),
        ([0.0, 1.0], None),
    ],
)
def test_the_drift_is_from_the_first_joules_to_the_last(
    values: list[float | None], expected: float | None
) -> None:
    """Versions without joules are passed over; of one version, or of zero, there is no share."""
    found = drift(list(map(version, values)))
    assert found == (None if expected is None else pytest.approx(expected))


def run(energy_j: float, *, step: bool = False) -> AcceptedRun:
    """An accepted run."""
    return AcceptedRun(rounds=3, step=step, values={"energy_j": energy_j})


@pytest.mark.parametrize(
    ("runs", "begin"),
    [
        ([run(1.0), run(1.1), run(1.5)], 1.05),
        ([run(1.0)], 1.0),
        ([run(1.0), run(1.0), run(1.2, step=True), run(1.3), run(1.9)], 1.25),
        ([run(1.0), run(0.9), run(1.02, step=True), run(1.3)], 1.16),
        ([run(1.0), run(1.0), run(1.04, step=True), run(1.05)], 1.0),
        ([run(1.0), run(0.9, step=True), run(1.0, step=True)], 1.0),
        ([run(1.0), run(1.2, step=True), run(1.21, step=True)], 1.2),
    ],
    ids=[
        "first two",
        "one",
        "rise",
        "mean of a level",
        "small step",
        "fall and rise",
        "rise, step",
    ],
)
def test_without_a_tag_it_counts_from_the_first_runs(
    tmp_path: Path, runs: list[AcceptedRun], begin: float
) -> None:
    """Or from those after the last change beyond the tolerance that was accepted as one."""
    found = creep(tmp_path, baseline_of(*runs), 2.0, 0.05, None)
    assert found == pytest.approx(2.0 / begin - 1)


def test_without_joules_there_is_nothing_to_count_from(tmp_path: Path) -> None:
    """Such as of a baseline of latency."""
    latency = {"latency_s": Quantity(value=1.0, unit="s")}
    only = AcceptedRun(values={"latency_s": 1.0})
    assert creep(tmp_path, baseline_of(only, metrics=latency), 2.0, 0.05, None) is None


def crept(folder: Path, value: float, tag: str | None) -> float | None:
    """The change with a run of these joules."""
    store = BaselineStore(folder / "baselines")
    current = store.load(TEST, SLUG)
    assert current is not None
    return creep(store.path(TEST, SLUG), current, value, 0.05, tag)


def test_with_a_tag_it_counts_from_the_level_that_the_tag_has(repository: Path) -> None:
    """All its runs; a tag without the file is no beginning."""
    (repository / "first").touch()
    commit(repository, "first")
    git(repository, "tag", "v0")
    store_with(repository, 1.0, 1.01, 1.02, 1.03)
    commit(repository, "accept")
    git(repository, "tag", "v1")
    store_with(repository, 1.04, 1.05, 1.06)
    assert crept(repository, 1.1, "v1") == pytest.approx(1.1 / 1.015 - 1)
    store = BaselineStore(repository / "baselines")
    assert drift_refusal(result(1.1), store, SLUG, 0.05, "v1") == (
        "small accepted changes add up to +8.4 % since v1, tolerance 5 %"
    )
    for tag in (None, "v0", "unknown"):
        assert crept(repository, 1.1, tag) == pytest.approx(1.1 / 1.005 - 1)


def test_what_was_accepted_as_a_change_since_the_tag_is_not_counted(repository: Path) -> None:
    """Whoever accepted +20 % knows of it; a change before the tag is in the tag's level."""
    store = store_with(repository, 1.0, 1.0)
    for number, energy_j in enumerate((1.2, 1.21, 1.25)):
        outcome = Outcome.REGRESSED if number == 0 else Outcome.UNCHANGED
        store.save(result(energy_j, outcome=outcome), H200, SLUG, f"d{number}")
    commit(repository, "accept")
    git(repository, "tag", "v1")
    assert crept(repository, 1.3, "v1") == pytest.approx(1.3 / 1.22 - 1)
    assert crept(repository, 1.3, None) == pytest.approx(1.3 / 1.205 - 1)
    store.save(result(1.5, outcome=Outcome.REGRESSED), H200, SLUG, "e")
    assert crept(repository, 1.6, "v1") == pytest.approx(1.6 / 1.5 - 1)
    assert drift_refusal(result(1.56), store, SLUG, 0.05, "v1") is None
