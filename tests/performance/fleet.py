"""Measure how much sooner n cards end than one: ``python -m tests.performance.fleet``.

The cards are simulated, and the tests sleep, so this machine needs no card and few cores. Each
fleet pays its start-up: a session of pytest for each shard. Run it on a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from pytest_energy.cli import main as command
from pytest_energy.simulation.load import Load
from pytest_energy.testing import SimulatedNvml

TEST = """
import time

def test_it(energy):
    energy(time.sleep, {pause_s})
"""


def seconds(cards: int, modules: int, pause_s: float) -> float:
    """How long a fleet of so many cards takes for modules of one test each."""
    with tempfile.TemporaryDirectory() as folder, SimulatedNvml(*["hopper"] * cards):
        os.chdir(folder)
        Path("pytest.ini").write_text("[pytest]\n")
        for number in range(modules):
            Path(f"test_{number}.py").write_text(TEST.format(pause_s=pause_s))
        options = ["--energy-rounds=3", "--energy-passes=5", "-p", "no:cacheprovider"]
        begin_s = time.monotonic()
        status = command(
            ["fleet", "run", f"--accelerator=H100:{cards}", "--engine=local", "--", *options]
        )
        assert status == 0
        os.chdir("/")
        return time.monotonic() - begin_s


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=int, default=4, help="[%(default)s]")
    parser.add_argument("--modules", type=int, default=40, help="[%(default)s]")
    parser.add_argument("--pause-s", type=float, default=0.1, help="of a pass [%(default)s]")
    asked = parser.parse_args()
    os.environ.update(Load(power_w=300).to_environment())
    alone_s = seconds(1, asked.modules, asked.pause_s)
    shared_s = seconds(asked.cards, asked.modules, asked.pause_s)
    sooner = alone_s / shared_s
    print(
        f"1 card {alone_s:.1f} s, {asked.cards} cards {shared_s:.1f} s: {sooner:.2f} times sooner,"
        f" {sooner / asked.cards:.2f} of {asked.cards}"
    )


if __name__ == "__main__":
    main()
