"""Each spelling of the fixture on a simulated card whose true joules are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.testing import SimulatedNvml
from tests.plugin.conftest import QUICK

POWER_W, SECONDS = 300.0, 0.5
TRUE_J = POWER_W * SECONDS
BODY = f"""
import asyncio, time
import pytest
from pytest_energy import Metric
from pytest_energy.testing import Machine

MACHINE = Machine.attached()
TOKENS = {{"token": 8}}

@pytest.fixture(autouse=True)
def load():
    with MACHINE.load({POWER_W}):
        yield

def work():
    time.sleep({SECONDS})

async def answer():
    await asyncio.sleep({SECONDS})

def test_call(energy):
    energy(work, units=TOKENS)

def test_pedantic(energy):
    energy.pedantic(work, rounds=3, iterations=5, units=TOKENS)

def test_acall(energy):
    async def body():
        await energy.acall(answer, units=TOKENS)

    asyncio.run(body())

def test_inference(energy):
    energy.inference(lambda batch: work(), input_shape=(1,), batch_size=8, passes=5)

def test_training(energy):
    energy.training(work, epochs=3, units=TOKENS)

def test_windows(energy):
    for _ in range(3):
        with energy.window("w") as w:
            work()
        w.units(token=8)

def test_repeat(energy):
    for w in energy.repeat("w", seconds=1, units=TOKENS):
        work()

def test_paused(energy):
    for _ in range(3):
        with energy.window("w", units=TOKENS) as w:
            with w.paused():
                time.sleep(1)
            time.sleep({SECONDS} / 2)
            with w.paused(), MACHINE.load(600.0):
                time.sleep(1)
            time.sleep({SECONDS} / 2)

def test_record(energy):
    energy(work, units=TOKENS)
    energy.record(Metric("answers_per_joule", 3.1, better="higher", unit="1/J"))

@pytest.mark.energy(max_joules={TRUE_J} * 0.9)
def test_over_budget(energy):
    energy(work, units=TOKENS)

@pytest.mark.energy(max_joules={{"token": {TRUE_J} / 8 * 1.1}})
def test_within_budget(energy):
    energy(work, units=TOKENS)
"""
SPELLINGS = {
    "test_call": "token",
    "test_pedantic": "token",
    "test_acall": "token",
    "test_inference": "sample",
    "test_training": "token",
    "test_windows::w": "token",
    "test_repeat::w": "token",
    "test_paused::w": "token",
    "test_record": "token",
    "test_over_budget": "token",
    "test_within_budget": "token",
}
"""The unit of work of each benchmark: 8 of them use the true joules."""


@pytest.fixture(scope="module")
def benchmarks(
    tmp_path_factory: pytest.TempPathFactory, module_forks: None
) -> dict[str, dict[str, Any]]:
    """The benchmarks of one session on the virtual clock, by name."""
    folder = tmp_path_factory.mktemp("spellings")
    (folder / "test_it.py").write_text(BODY)
    command = ["-m", "pytest", "--energy", "--energy-window=1", "-q", *QUICK]
    with SimulatedNvml("hopper", virtual_clock=True) as machine:
        run(command, folder, machine)
    results = json.loads((folder / ".energy/results.json").read_text("utf-8"))["benchmarks"]
    return {each["id"].partition("::")[2]: each for each in results}


def run(command: list[str], folder: Path, machine: SimulatedNvml) -> None:
    """Run Python on the machine; one test fails, that over its budget."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **machine.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 10 passed" in done.stdout


def test_no_spelling_is_left_unmeasured(benchmarks: dict[str, dict[str, Any]]) -> None:
    """Each has a benchmark with joules, and none has another."""
    assert {name: each["status"] for name, each in benchmarks.items()} == dict.fromkeys(
        SPELLINGS, "measured"
    )


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_truth_is_within_the_interval(benchmarks: dict[str, dict[str, Any]], name: str) -> None:
    """Of the joules of a pass and of a unit of work, which is known to 2 % and better."""
    metrics, unit = benchmarks[name]["metrics"], SPELLINGS[name]
    joules, per_unit = metrics["energy_j"], metrics[f"energy_j_per_{unit}"]
    # Reading the clock takes virtual time; asyncio rounds its sleep up to a millisecond.
    added_j = POWER_W * (2e-3 if name == "test_acall" else 2e-5)
    for quantity, truth in ((joules, TRUE_J), (per_unit, TRUE_J / 8)):
        share = truth / TRUE_J
        error_j = quantity["value"] - truth
        # Of 22 intervals of 95 %, one may well miss the truth; of twice their width, none does.
        most_j = 2 * quantity["uncertainty"]
        assert -most_j <= error_j <= most_j + added_j * share
        assert quantity["uncertainty"] < 0.02 * truth
    assert metrics[f"{unit}s_per_joule"]["value"] == pytest.approx(1 / per_unit["value"])


def test_most_intervals_contain_the_truth(benchmarks: dict[str, dict[str, Any]]) -> None:
    """Of eleven of 95 %, five miss it in one run of ten thousand; of 440, 23 did."""
    missing = [
        name
        for name in SPELLINGS
        if (joules := benchmarks[name]["metrics"]["energy_j"])
        and not abs(joules["value"] - TRUE_J) <= joules["uncertainty"]
    ]
    assert len(missing) <= 4


def test_own_metrics_and_budgets_have_their_verdict(
    benchmarks: dict[str, dict[str, Any]],
) -> None:
    """A metric is in the result, and only the joules above a budget fail."""
    metric = benchmarks["test_record"]["metrics"]["answers_per_joule"]
    assert (metric["value"], metric["unit"]) == (3.1, "1/J")
    outcomes = {name: each["verdict"]["outcome"] for name, each in benchmarks.items()}
    assert outcomes.pop("test_over_budget") == "over budget"
    assert set(outcomes.values()) == {"new"}
