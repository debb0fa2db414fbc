"""Compare two real revisions by time alone, on this machine as it is.

``python -m tests.power.latency`` makes a repository with two commits: twenty benchmarks whose code
is the same in both, and two that do 10 % more work in the second. It then compares the second with
the first by ``--energy-against``, with ``latency_s`` as the gated metric, ten times. Processes,
clock and load are real. A run takes minutes, and longer the busier the machine is. The last lines
say which machine it was, and how busy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.against.conftest import git

RISE: Final = 0.10
LOOPS: Final = 4000
"""Of one pass, about half a millisecond."""
OPTIONS: Final = (
    *("-m", "pytest", "-q"),
    *("-p", "no:benchmark", "-p", "no:xdist", "-p", "no:anyio", "-p", "no:hypothesispytest"),
    *("--energy", "--energy-against=HEAD~1", "--energy-meter=none"),
)
ENGINE: Final = """
LOOPS = {loops}

def run(name):
    total = 0
    for number in range(LOOPS[name]):
        total += number * number % 7
    return total
"""
BENCHMARKS: Final = """
import engine
import pytest

@pytest.mark.parametrize("name", engine.LOOPS)
def test_latency(energy, name):
    energy(engine.run, name)
"""


@dataclass(frozen=True)
class Compared:
    """The outcomes of one comparison, by the metric ``latency_s``."""

    same: Counter[str]
    """Of the benchmarks whose code is the same."""
    risen: Counter[str]
    scatter: float
    """Standard deviation of a block's difference of logarithms, where the code is the same."""
    blocks: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"the same: {_counts(self.same)}; +{RISE:.0%}: {_counts(self.risen)};"
            f" a block scatters by {self.scatter:.1%}; {self.blocks} blocks, {self.seconds:.0f} s,"
            f" load {os.getloadavg()[0]:.1f}"
        )


def _counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))


def make_repository(folder: Path, same: int, risen: int) -> None:
    """Commit two revisions of a project with benchmarks."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n", "utf-8")
    (folder / ".gitignore").write_text("__pycache__\n.energy\n", "utf-8")
    (folder / "test_latency.py").write_text(BENCHMARKS, "utf-8")
    names = [f"same{number}" for number in range(same)]
    slower = [f"risen{number}" for number in range(risen)]
    for factor in (1.0, 1.0 + RISE):
        loops = dict.fromkeys(names, LOOPS) | dict.fromkeys(slower, round(LOOPS * factor))
        (folder / "engine.py").write_text(ENGINE.format(loops=loops), "utf-8")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"the work times {factor:g}")


def compare(folder: Path, options: Sequence[str]) -> Compared:
    """Compare the two revisions once.

    Raises:
        RuntimeError: The session ended without a result for each benchmark.
    """
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *OPTIONS, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}")
    run = json.loads((folder / ".energy" / "results.json").read_text("utf-8"))
    results = {one["id"].partition("[")[2]: one for one in run["benchmarks"]}
    outcomes = {name: _latency(result) for name, result in results.items()}
    differences = [
        block["differences"]["latency_s"]
        for name, result in results.items()
        if name.startswith("same")
        for block in result["comparison"]["blocks"]
    ]
    return Compared(
        Counter(outcome for name, outcome in outcomes.items() if name.startswith("same")),
        Counter(outcome for name, outcome in outcomes.items() if name.startswith("risen")),
        statistics.stdev(differences),
        run["run"]["against"]["blocks"],
        time.perf_counter() - began,
    )


def _latency(result: dict[str, Any]) -> str:
    metrics = {metric["metric"]: metric for metric in result["verdict"]["metrics"]}
    return str(metrics["latency_s"]["outcome"])


def machine() -> str:
    """What measured: processor, cores, Python."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    """Print a line for each comparison, and the sum of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--same", type=int, default=20, help="benchmarks without a change")
    parser.add_argument("--risen", type=int, default=2, help="benchmarks with a change")
    parser.add_argument("options", nargs="*", help="further options of pytest, after --")
    chosen = parser.parse_args()
    compared = []
    with TemporaryDirectory() as folder:
        make_repository(Path(folder), chosen.same, chosen.risen)
        for number in range(1, chosen.runs + 1):
            compared.append(compare(Path(folder), chosen.options))
            print(f"run {number}: {compared[-1]}", flush=True)
    alarms = sum(bool(one.same["regressed"]) for one in compared)
    found = sum(one.risen["regressed"] for one in compared)
    print(machine())
    print(f"{alarms} of {chosen.runs} comparisons with a false alarm")
    print(f"{found} of {chosen.runs * chosen.risen} rises of {RISE:.0%} found")


if __name__ == "__main__":
    main()
