"""Calls of any length on a simulated card: planned by time, never invalid, never far off."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from pytest_energy.testing import SimulatedNvml
from tests.plugin.conftest import QUICK

CLOCK_READ_S = 2e-7
POWER_W = 300.0
LIMIT_S = 600.0
LATENCIES_S = (1e-5, 1e-3, 0.05, 2.0, 7.0, 30.0, 250.0)
BODY = f"""
import time
import pytest
from pytest_energy.testing import Machine

@pytest.fixture(autouse=True)
def load():
    with Machine.attached().load({POWER_W}):
        yield

@pytest.mark.energy(window_s=0.2)  # a million calls are enough
def test_clock(energy):
    energy(time.perf_counter)

@pytest.mark.parametrize("latency_s", {LATENCIES_S})
def test_call(energy, latency_s):
    energy(time.sleep, latency_s)
"""
LONG = """
def test_rounds(energy):
    energy.pedantic(time.sleep, (100,), rounds=8)

def test_loop(energy):
    for _ in energy.repeat("w"):
        time.sleep(100)

def test_epochs(energy):
    energy.training(lambda: time.sleep(100))

def test_set_epochs(energy):
    energy.training(lambda: time.sleep(100), epochs=7)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, forks: None) -> Any:
    """Run a test file with --energy on an H100 with a virtual clock."""

    def run(body: str, *arguments: str) -> tuple[pytest.RunResult, dict[str, dict[str, Any]]]:
        pytester.makepyfile(test_it=body)
        machine = SimulatedNvml("hopper", virtual_clock=True, clock_read_cost_s=CLOCK_READ_S)
        with machine, monkeypatch.context() as patch:
            for name, value in {**os.environ, **machine.environment()}.items():
                patch.setenv(name, value)
            result = pytester.runpytest_subprocess("--energy", *QUICK, *arguments)
        path = pytester.path / ".energy" / "results.json"
        benchmarks = json.loads(path.read_text("utf-8"))["benchmarks"]
        return result, {item["id"].partition("::")[2]: item for item in benchmarks}

    return run


def test_calls_of_any_length_are_planned_within_the_limit(run: Any) -> None:
    """From 0.2 µs to minutes a call: each is measured, right to 0.5 %, and in ten minutes."""
    result, benchmarks = run(BODY, "-q")
    result.assert_outcomes(passed=1 + len(LATENCIES_S))
    # A sleep of Python reads the clock once, to know when it ends.
    truth_s = {f"test_call[{sleep_s}]": sleep_s + CLOCK_READ_S for sleep_s in LATENCIES_S}
    truth_s["test_clock"] = CLOCK_READ_S
    for name, latency_s in truth_s.items():
        benchmark = benchmarks[name]
        assert benchmark["status"] == "measured"
        energy_j = benchmark["metrics"]["energy_j"]["value"]
        assert energy_j == pytest.approx(POWER_W * latency_s, rel=0.005), name
        durations_s = [measured["duration_s"] for measured in benchmark["rounds"]]
        assert sum(durations_s) <= LIMIT_S, name
        assert min(durations_s) >= (0.19 if name == "test_clock" else 4.9), name


def test_what_takes_long_is_said_before_and_what_was_cut_after(run: Any) -> None:
    """Seconds and joules on the terminal, also with -q; the rounds that ran in the result."""
    chosen = "30.0 or 250.0 or 2.0 or rounds or loop or epochs"
    result, benchmarks = run(BODY + LONG, "-q", "-k", chosen)
    result.stdout.fnmatch_lines(["*energy: about 90 s, 27 kJ: test_call?30.0?"])
    result.stdout.fnmatch_lines(["*energy: about 8 min, 150 kJ: test_call?250.0?"])
    result.stdout.no_fnmatch_line("*about*test_call?2.0?")
    reasons = benchmarks["test_call[250.0]"]["reasons"]
    (message,) = (reason["message"] for reason in reasons if reason["code"] == "time-limit")
    assert message == "ran 2 of 3 rounds, to stay within 600 s (--energy-max-time)"
    # A hundred seconds and some reads of the clock do not fit six times.
    for forecast in ("test_rounds", "test_epochs"):
        result.stdout.fnmatch_lines([f"*energy: about 8 min, 150 kJ: {forecast}"])
        assert len(benchmarks[forecast]["rounds"]) == 5
    result.stdout.fnmatch_lines(["*energy: about 5 min, 90 kJ: test_loop::w"])
    result.stdout.fnmatch_lines(["*energy: about 12 min, 210 kJ: test_set_epochs"])
    result.stdout.fnmatch_lines(
        ["shortened to stay within --energy-max-time (3): *250.0?, test_rounds, test_epochs"]
    )
