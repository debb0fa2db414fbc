"""``--energy-fresh``: each visit of a test is a process of its own."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.plugin.conftest import Project

pytestmark = pytest.mark.slow

TWO_MODES = """
import os
from pathlib import Path

DRAWN = Path("drawn")
with DRAWN.open("a") as file:
    file.write("x")
SECONDS = 0.01 if DRAWN.stat().st_size % 2 else 0.0104

@pytest.fixture(scope="session")
def model():
    Path("set_up").open("a").write("x")

def test_it(energy, model):
    energy(work, SECONDS)
"""
"""Each process draws one of two levels, 4 % apart."""
OUTCOMES = """
import os

def test_sound(energy):
    energy(work, 0.01)

def test_wrong(energy):
    energy(work, 0.01)
    assert 1 + 1 == 3, "sums"

def test_no(energy):
    pytest.skip("no card")

def test_dies(energy):
    os._exit(7)
"""


def accepted(project: Project) -> set[float]:
    """The joules of the accepted runs of the only baseline."""
    (file,) = project.path("baselines").glob("scripted*/**/*.json")
    return {run["values"]["energy_j"] for run in json.loads(file.read_text())["accepted"]}


def test_a_recording_sees_the_modes_of_a_process(project: Project) -> None:
    """Its visits are as many and as long as in one process, and the fixtures run in each."""
    project.write(TWO_MODES)
    record = ("--energy-update", "--energy-baseline-runs=3", "--energy-scale=full")
    short = ("--energy-window=0.01", "--energy-passes=40")
    done = project.run_apart(*record, *short, "--energy-fresh")
    done.assert_outcomes(passed=1)
    assert "each visit is a fresh process" in done.stdout.str()
    assert len(accepted(project)) == 2
    assert project.path("set_up").read_text() == "xxx"
    rounds = project.benchmark()["rounds"]
    shutil.rmtree(project.path("baselines"))
    project.run_apart(*record, *short).assert_outcomes(passed=1)
    assert [one["passes"] for one in rounds] == [
        one["passes"] for one in project.benchmark()["rounds"]
    ]
    assert len(accepted(project)) == 1, "one process has one mode"


def test_a_test_has_the_outcome_of_its_process(project: Project) -> None:
    """It passes, fails, skips itself or dies, and the others go on."""
    project.write(OUTCOMES)
    done = project.run_apart("--energy-fresh", "-rfs")
    done.assert_outcomes(passed=1, failed=2, skipped=1)
    text = done.stdout.str()
    assert "::test_wrong - AssertionError: sums" in text
    assert "no card" in text
    assert "its process crashed: it ended with status 7" in text
    assert project.benchmark("test_sound")["status"] == "measured"
    failed = project.benchmark("test_wrong")
    assert "the test failed after this measurement" in failed["reasons"][0]["message"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--energy-against=HEAD"], "measures each block in fresh processes anyway"),
        (["-n2"], "not possible with pytest-xdist; leave out -n"),
        (["--pdb"], "have no terminal for --pdb"),
    ],
)
def test_what_it_does_not_support_is_refused(
    project: Project, arguments: list[str], words: str
) -> None:
    """The message names the option."""
    project.write("def test_it(energy):\n    energy(work, 0.01)\n")
    done = project.run_apart("--energy-fresh", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "--energy-fresh" in done.stderr.str()
    assert words in done.stderr.str()
