"""A session reads each baseline file once, for all its uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_energy.testing import SimulatedNvml

PLUGINS = ("-p", "pytest_benchmark.plugin", "-p", "pytest_energy.plugin", "-p", "no:cacheprovider")
TESTS = """
import os, time
import pytest
from pytest_energy.testing import Machine

@pytest.mark.parametrize("factor", ["1", os.environ.get("FACTOR", "1")], ids=["same", "changed"])
def test_it(energy, factor):
    with_load = Machine.attached().load
    def work():
        with with_load(300 * float(factor)):
            time.sleep(0.5)
    energy.pedantic(work, rounds=2)
    energy.record(accuracy=0.5)
"""
COUNTING = """
import json, os, sys

opened = []

def note(event, arguments):
    path = str(arguments[0]) if event == "open" else ""
    if "baselines" in path and path.endswith(".json") and "r" in (arguments[1] or "r"):
        opened.append(path)

sys.addaudithook(note)

def pytest_unconfigure():
    with open("opened.txt", "w") as file:
        json.dump(opened, file)
"""


def run(folder: Path, machine: SimulatedNvml, *arguments: str, factor: float = 1.0) -> Counter[str]:
    """Run the tests, and return the number of times each baseline file was opened."""
    command = [sys.executable, "-m", "pytest", "--energy", *PLUGINS, *arguments]
    environment = {**os.environ, **machine.environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["FACTOR"] = str(factor)
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    opened: list[str] = json.loads((folder / "opened.txt").read_text())
    return Counter(Path(path).name for path in opened)


@pytest.mark.usefixtures("forks")
def test_each_baseline_file_is_opened_once(tmp_path: Path) -> None:
    """Checking, comparing, measuring a suspect again and updating share one reading."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(COUNTING)
    with SimulatedNvml("hopper", virtual_clock=True) as machine:
        assert run(tmp_path, machine, "--energy-update", "--energy-baseline-runs=3") == {}
        files = {path.name for path in tmp_path.glob("baselines/*/*/*.json")}
        assert len(files) == 2
        assert run(tmp_path, machine, factor=1.2) == dict.fromkeys(files, 1)
        results = json.loads((tmp_path / ".energy/results.json").read_text())
        outcomes = [benchmark["verdict"]["outcome"] for benchmark in results["benchmarks"]]
        assert outcomes == ["unchanged", "regressed"]
        assert run(tmp_path, machine, "--energy-update", factor=1.2) == dict.fromkeys(files, 1)
