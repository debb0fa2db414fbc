"""Several workers: each has its card, and every result counts exactly once."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from itertools import pairwise

import pyte
import pytest

from tests.plugin.workers.conftest import PLUGINS
from tests.terminals import run_in_terminal

pytestmark = pytest.mark.slow
BENCHMARK_VERSION = tuple(map(int, version("pytest-benchmark").split(".")[:2]))

CARD = "turing"
"""Its counter ticks every 10 ms, so that windows may be short."""
FOUR = """
@pytest.mark.parametrize("power_w", [20, 30, 40, 50])
def test_four(measured_work, power_w):
    measured_work(power_w)
"""
IN_ROUNDS = """
@pytest.mark.energy(passes=3, rounds=2)
@pytest.mark.parametrize("power_w", [20, 30, 40, 50])
def test_rounds(energy, power_w):
    energy(work, power_w, 0.1)
"""


@pytest.mark.parametrize("nvml_sim", [(CARD, CARD, CARD)], indirect=True)
def test_three_workers_measure_on_three_cards(project):
    """With ``-n 3`` each worker has its own card, and every benchmark its own joules."""
    project.write(FOUR)
    done = project.run("-n3")
    done.assert_outcomes(passed=4)
    results = project.results()
    assert project.names() == [f"test_four[{power_w}]" for power_w in (20, 30, 40, 50)]
    for item, power_w in zip(results["benchmarks"], (20, 30, 40, 50), strict=True):
        assert item["metrics"]["power_w"]["value"] == pytest.approx(power_w, rel=0.15)
    assert len(results["environment"]["context"]["board"]) == 3
    headers = [line for line in done.outlines if line.startswith("energy: will measure with NVML")]
    assert len(headers) == 3
    assert results["run"]["energy_j"] > 0
    done.stdout.fnmatch_lines(["*= energy =*", "benchmark*", "*20*", "*wrote*report.html*"])
    if BENCHMARK_VERSION >= (5, 3):  # older ones say so of any session with workers
        assert "Benchmarks are automatically disabled" not in done.stdout.str() + done.stderr.str()
    assert list((project.pytester.path / ".energy").glob("*.workers-*")) == []


@pytest.mark.parametrize("nvml_sim", [(CARD,)], indirect=True)
def test_workers_take_turns_on_one_card(project):
    """The windows of two workers on one card never overlap."""
    project.write(FOUR)
    project.run("-n2").assert_outcomes(passed=4)
    rounds = [one for item in project.results()["benchmarks"] for one in item["rounds"]]
    spans = sorted((one["start"], one["start"] + one["duration_s"]) for one in rounds)
    assert len(spans) == 4
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


STATE = r"test_rounds\[\d0\] (warm-up|\d/2)"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-n0"], r"round \d/2 of \d passes · .*test_rounds\[\d0\]"),
        (["-n2"], f"gw0 {STATE} · gw1 {STATE}"),
    ],
    ids=["alone", "two workers"],
)
@pytest.mark.parametrize("nvml_sim", [(CARD, CARD)], indirect=True)
def test_terminal_shows_what_runs_where(project, arguments, line):
    """The last line shows each worker's test and round, and disappears at the end."""
    project.write("from conftest import work" + IN_ROUNDS)
    command = [sys.executable, "-m", "pytest", "--energy", "--energy-scale=small", *PLUGINS]
    written = run_in_terminal([*command, *arguments], project.pytester.path)
    drawn = re.findall(r"\0337 (.*?)\033\[K\0338", written)
    assert any(re.fullmatch(line, shown) for shown in drawn), written
    screen = pyte.Screen(120, 60)
    pyte.Stream(screen).feed(written)
    assert not [line for line in screen.display if "/2 " in line or "warm-up" in line]
    assert "energy: wrote .energy/results.json" in written


@pytest.mark.parametrize("nvml_sim", [(CARD, CARD)], indirect=True)
def test_accepted_baselines_are_named(project):
    """The controller and the results list each accepted baseline once."""
    project.write(FOUR)
    done = project.run("-n2", "--energy-update=new", "--energy-baseline-runs=1", "-v")
    listed = [line for line in done.outlines if line.startswith("energy: accepted ")]
    files = [f"baselines/{file}" for file in project.baselines()]
    assert sorted(listed) == [f"energy: accepted {file}" for file in files]
    assert len(files) == 4
    assert sorted(project.results()["run"]["accepted"]) == files
