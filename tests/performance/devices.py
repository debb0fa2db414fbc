"""Compare a suite's time on one simulated card with its time on three, with xdist workers.

The benchmarks wait for their card, as GPU benchmarks do, so processors are not the limit. Run it
from the repository: ``python -m tests.performance.devices``. It takes about three minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pytest_energy.model.json_files import load_run
from pytest_energy.testing import PROFILES, SimulatedNvml

CARD = replace(PROFILES["ada"], counter_tick_s=0.02)
SUITE = """
import os, time
import pytest
from pytest_energy.testing import Machine

MACHINE = Machine.attached()
CARDS = [MACHINE.uuid(card) for card in range(MACHINE.device_count)]


def draw(seconds):
    with MACHINE.load(200.0, CARDS.index(os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0])):
        time.sleep(seconds)


@pytest.mark.parametrize("number", range({benchmarks}))
def test_it(energy, number):
    energy.pedantic(draw, ({seconds},), rounds=3)
"""


def main() -> None:
    """Print the duration of both sessions and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--benchmarks", type=int, default=12)
    parser.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="seconds per round; each benchmark has three rounds",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, SimulatedNvml(CARD, CARD, CARD) as machine:
        suite = SUITE.format(benchmarks=arguments.benchmarks, seconds=arguments.seconds)
        (Path(folder) / "test_suite.py").write_text(suite, "utf-8")
        cards = [machine.uuid(card) for card in range(3)]
        alone, three = session(Path(folder), cards[:1]), session(Path(folder), cards)
    print(f"{arguments.benchmarks} benchmarks, each measured for {3 * arguments.seconds:g} s")
    for name, alone_s, three_s in zip(Times._fields, alone, three, strict=True):
        ratio = f"{alone_s / three_s:.2f} times faster"
        print(f"{name}: {alone_s:.1f} s on one card, {three_s:.1f} s on three: {ratio}")


class Times(NamedTuple):
    """Durations of a session, in seconds."""

    whole: float
    """Everything, including the start of pytest and of the plugin, and the reports."""
    measuring: float
    """From the start of the first window to the end of the last."""


def session(folder: Path, cards: list[str]) -> Times:
    """Run the suite with one worker per card."""
    workers = f"-n{len(cards) if len(cards) > 1 else 0}"
    started_s = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--energy", "-p", "no:cacheprovider", workers],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(cards)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    whole_s = time.perf_counter() - started_s
    run = load_run(folder / ".energy" / "results.json")
    rounds = [measured for result in run.benchmarks for measured in result.rounds]
    ended = max(measured.start + measured.duration_s for measured in rounds)
    return Times(whole_s, ended - min(measured.start for measured in rounds))


if __name__ == "__main__":
    main()
