"""Committed baselines screen, and only the rest is measured against the other revision."""

from __future__ import annotations

import pytest

from tests.against.conftest import Repository

pytestmark = pytest.mark.slow

SUITE = """
import engine, pytest
from scripted_meter import work

def test_same(energy):
    energy(work, 0.02)

def test_it(energy):
    energy(engine.run)
"""


def test_only_what_the_baselines_leave_open_is_measured_against_the_revision(
    repository: Repository,
) -> None:
    """The rise is found in blocks; what the baseline calls unchanged has none, and says so."""
    repository.write("benchmarks/test_it.py", SUITE)
    done = repository.run("--energy-update")
    assert done.returncode == 0, done.stdout
    repository.commit("with baselines")
    repository.engine(0.011)
    done = repository.run("--energy-against=HEAD", "--energy-against-blocks=4")
    assert done.returncode == 1, done.stdout
    assert "energy: 2 committed baselines screen first" in done.stdout
    assert "Screened by the committed baselines: 1 of 2 unchanged" in done.stdout
    same, changed = repository.benchmark("test_same"), repository.benchmark("test_it")
    assert same["verdict"]["outcome"] == "unchanged"
    assert same["comparison"] is None
    assert same["verdict"]["history"]
    assert changed["verdict"]["outcome"] == "regressed"
    assert len(changed["comparison"]["blocks"]) == 4
    against = repository.results()["run"]["against"]
    assert set(against["screened"].values()) == {"unchanged", "inconclusive"}
