"""Tests that freeze the clock or fake the file system are measured as others are."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import freezegun
import pytest
import time_machine

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import MeterError
from tests.plugin.conftest import Project

FREEZING = {
    "freezegun": "from freezegun import freeze_time as travel",
    "time-machine": "import time_machine; travel = time_machine.travel",
}
FROZEN = """
import time

def test_frozen(energy):
    with travel("2020-01-01"):
        energy(work, 1)

@travel("2020-01-01")
def test_frozen_to_its_end(energy):
    energy(work, 1)

@pytest.fixture
def long_ago():
    with travel("2020-01-01"):
        yield

def test_frozen_by_a_fixture(long_ago, energy):
    with energy.window("first"):
        work(1)
    time.sleep(0)

def test_after_it(energy):
    energy(work, 1)
"""
FAKED = """
import os
from pathlib import Path
from pyfakefs.fake_filesystem_unittest import Patcher

@pytest.fixture
def fake():
    with Patcher() as patcher:
        yield patcher.fs

def test_faked(fake, energy):
    energy(work, 1)
    Path("/only/here").mkdir(parents=True)
    assert not Path(os.curdir, "test_it.py").exists()

def test_mocked(energy, monkeypatch):
    energy(work, 1)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path, *arguments: "mocked")
    monkeypatch.setattr(os, "replace", lambda *arguments: None)
"""
RECORDING = ("--energy-update", "--energy-baseline-runs=2")


@pytest.mark.parametrize("library", FREEZING)
def test_a_frozen_clock_stops_only_the_test(project: Project, library: str) -> None:
    """Windows last as long as they do, and are dated today; later tests are not concerned."""
    project.write(FREEZING[library] + FROZEN)
    began = f"{datetime.now(UTC):%Y-%m-%d}"
    # In a process of its own: freezegun looks through all modules, torch's lazy ones as well.
    project.run_apart().assert_outcomes(passed=4)
    benchmarks = project.results()["benchmarks"]
    assert [benchmark["status"] for benchmark in benchmarks] == ["measured"] * 4
    starts = [window["start"] for benchmark in benchmarks for window in benchmark["rounds"]]
    assert len(starts) >= 4
    assert all(start >= time.mktime(time.strptime(began, "%Y-%m-%d")) - 86400 for start in starts)
    assert all(
        window["duration_s"] > 0 for benchmark in benchmarks for window in benchmark["rounds"]
    )


def test_a_fake_file_system_keeps_no_baseline(project: Project) -> None:
    """Baselines and results are written to, and read from, the real file system."""
    project.write(FAKED)
    # In processes of their own: a fake file system goes through all modules, torch's as well.
    fakes = ("-p", "pyfakefs.pytest_plugin")  # which leaves pytest itself the real one
    project.run_apart(*fakes, *RECORDING).assert_outcomes(passed=2)
    for name in ("test_faked", "test_mocked"):
        assert project.benchmark(name)["verdict"]["accepted"]
    written = sorted(path.name for path in project.path("baselines/facts").parent.glob("*/*/*"))
    assert len(written) == 2
    project.script(power_w=150.0)
    project.run_apart(*fakes).assert_outcomes(failed=2)
    assert project.benchmark("test_faked")["verdict"]["outcome"] == "regressed"


def freeze(day: str) -> Any:
    """Freeze time, without asking each name of libraries that import it only when it is asked."""
    return freezegun.freeze_time(day, ignore=["torch", "torchvision", "transformers"])


@pytest.mark.parametrize("travel", [freeze, lambda day: time_machine.travel(day, tick=False)])
def test_our_clock_goes_on(travel: Callable[[str], Any]) -> None:
    """Neither library stops it, by whatever means."""
    before_s, counted_s = CLOCK.time(), CLOCK.perf_counter()
    with travel("2020-01-01"):
        assert time.time() < 1.6e9
        assert CLOCK.time() >= before_s
        assert CLOCK.perf_counter() > counted_s
        CLOCK.sleep(1e-3)
    assert CLOCK.monotonic() != CLOCK.monotonic()


@pytest.mark.parametrize("length_s", [1.6e9, float("inf"), float("nan")])
def test_no_sleep_is_unbounded(length_s: float) -> None:
    """What a clock that has jumped would make endless is an error that says so."""
    with pytest.raises(MeterError, match="a clock of this process has jumped"):
        CLOCK.sleep(length_s)
