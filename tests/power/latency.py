"""Compare two real revisions by time alone, on this machine as it is.

``python -m tests.power.latency`` makes a repository with two commits: twenty benchmarks whose code
is the same in both, and two that do 10 % more work in the second. It then compares the second with
the first by ``--energy-against``, with ``latency_s`` as the gated metric, ten times. Processes and
clock are real. ``--busy`` processes of the study's own take the processors in bursts meanwhile, by
default one for each processor. A run takes minutes, and longer the busier the machine is. The last
lines say which machine it was, and how busy.

``--results=FILE`` keeps each comparison; a study that was stopped goes on with it.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
BURSTS: Final = """
import os, random, sys, time

draw, parent = random.Random(int(sys.argv[1])), os.getppid()
while os.getppid() == parent:  # a study that is killed leaves none behind
    end = time.perf_counter() + draw.expovariate(1 / {burst_s})
    while time.perf_counter() < end:
        pass
    time.sleep(draw.expovariate(1 / {burst_s}))
"""
BURST_S: Final = 0.1
"""Mean length of a burst of another process, and of the pause after it."""
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
    load: float
    """The system's load average over the last minute."""

    def dump(self) -> str:
        """A line of JSON."""
        return json.dumps(vars(self))

    @classmethod
    def load(cls, line: str) -> Compared:
        """What :meth:`dump` wrote."""
        values = json.loads(line)
        outcomes = {name: Counter(values[name]) for name in ("same", "risen")}
        return cls(**{**values, **outcomes})

    def __str__(self) -> str:
        return (
            f"the same: {_counts(self.same)}; +{RISE:.0%}: {_counts(self.risen)};"
            f" a block scatters by {self.scatter:.1%}; {self.blocks} blocks, {self.seconds:.0f} s,"
            f" load {self.load:.1f}"
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


@contextmanager
def busy(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Let so many processes take the processors in bursts, whose lengths have fixed seeds."""
    code = BURSTS.format(burst_s=BURST_S)
    others = [subprocess.Popen([sys.executable, "-c", code, str(seed)]) for seed in range(number)]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.wait()


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
        os.getloadavg()[0],
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


def study(
    runs: int, sizes: tuple[int, int], others: int, store: Path | None, options: Sequence[str]
) -> list[Compared]:
    """Compare again and again; print and store each comparison.

    Args:
        runs: Comparisons, with those that the file holds.
        sizes: Benchmarks without and with a change.
        others: Processes that keep the machine busy.
        store: Lines of JSON, one for each comparison.
        options: Further ones of pytest.
    """
    lines = store.read_text("utf-8").splitlines() if store and store.exists() else []
    compared = [Compared.load(line) for line in lines]
    with TemporaryDirectory() as folder, busy(others):
        make_repository(Path(folder), *sizes)
        for number in range(len(compared) + 1, runs + 1):
            compared.append(compare(Path(folder), options))
            print(f"run {number}: {compared[-1]}", flush=True)
            if store:
                with store.open("a", encoding="utf-8") as file:
                    file.write(compared[-1].dump() + "\n")
    return compared


def main() -> None:
    """Print a line for each comparison, and the sum of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--same", type=int, default=20, help="benchmarks without a change")
    parser.add_argument("--risen", type=int, default=2, help="benchmarks with a change")
    others = os.cpu_count() or 1
    parser.add_argument("--busy", type=int, default=others, help="processes beside it")
    parser.add_argument("--results", type=Path, help="keeps the comparisons, as lines of JSON")
    parser.add_argument("options", nargs="*", help="further options of pytest, after --")
    chosen = parser.parse_args()
    sizes = (chosen.same, chosen.risen)
    compared = study(chosen.runs, sizes, chosen.busy, chosen.results, chosen.options)
    alarms = sum(bool(one.same["regressed"]) for one in compared)
    found = sum(one.risen["regressed"] for one in compared)
    print(machine())
    print(f"{alarms} of {chosen.runs} comparisons with a false alarm")
    print(f"{found} of {chosen.runs * chosen.risen} rises of {RISE:.0%} found")


if __name__ == "__main__":
    main()
