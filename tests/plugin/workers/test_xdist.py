"""Several workers: each has its card, and every result counts exactly once."""

from __future__ import annotations

import re
import sys
from itertools import pairwise

import pyte
import pytest

from tests.plugin.workers.conftest import PLUGINS, Project
from tests.terminals import run_in_terminal
from tests.virtual import virtual_machine

pytestmark = pytest.mark.slow

CARD = "turing"
"""Its counter ticks every 10 ms, so that windows may be short."""
FOUR = """
@pytest.mark.parametrize("power_w", [20, 30, 40, 50])
def test_four(measured_work, power_w):
    measured_work(power_w)
"""
IN_ROUNDS = """
@pytest.mark.energy(passes=3, rounds=2)
@pytest.mark.parametrize("power_w", [20, 30])
def test_rounds(energy, power_w):
    energy(work, power_w, 0.1)
"""


@pytest.mark.parametrize("nvml_sim", [(CARD,)], indirect=True)
def test_workers_take_turns_on_one_card(project):
    """The windows of two workers on one card never overlap."""
    project.write(FOUR)
    project.run("-n2").assert_outcomes(passed=4)
    rounds = [one for item in project.results()["benchmarks"] for one in item["rounds"]]
    spans = sorted((one["start"], one["start"] + one["duration_s"]) for one in rounds)
    assert len(spans) == 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("nvml_sim", [(CARD, CARD)], indirect=True)
def test_terminal_shows_what_runs_where(project):
    """The last line shows each worker's test and round, and disappears at the end."""
    state = r"test_rounds\[\d0\] (warm-up|\d/2)"
    assert_drawn(project, "-n2", f"gw0 {state} · gw1 {state}")


def test_terminal_shows_the_round_of_a_session_alone(project):
    """It says how many passes there are, too."""
    with virtual_machine(CARD, CARD):
        assert_drawn(project, "-n0", r"round \d/2 of \d passes · .*test_rounds\[\d0\]")


def assert_drawn(project: Project, workers: str, line: str) -> None:
    """A session in a terminal draws a line of this form, and none is left at its end."""
    project.write("from conftest import work" + IN_ROUNDS)
    command = [sys.executable, "-m", "pytest", "--energy", "--energy-scale=small", *PLUGINS]
    written = run_in_terminal([*command, workers], project.pytester.path)
    drawn = re.findall(r"\0337 (.*?)\033\[K\0338", written)
    assert any(re.fullmatch(line, shown) for shown in drawn), written
    screen = pyte.Screen(120, 60)
    pyte.Stream(screen).feed(written)
    assert not [line for line in screen.display if "/2 " in line or "warm-up" in line]
    assert "energy: wrote .energy/results.json" in written
