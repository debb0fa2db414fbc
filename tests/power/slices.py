"""How to compare the time of two processes on a processor that others use.

``python -m tests.power.slices`` starts a fresh pair of processes again and again. Both do the same
work in turns (ABBA), and note the duration of every pass. From the same passes it then makes slices
of several lengths, and prints how much each estimate of a pair's ratio scatters: the true ratio is
always 1. The last line says how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from pytest_energy.against.blocks import ABBA

TURNS: Final = 128
PASSES: Final = 20
"""In one turn, each of about half a millisecond."""
WORK: Final = f"""
import json, sys, time

def run():
    total = 0
    for number in range(4000):
        total += number * number % 7

for _ in range(100):
    run()
for line in sys.stdin:
    marks = [time.perf_counter()]
    for _ in range({PASSES}):
        run()
        marks.append(time.perf_counter())
    print(json.dumps(marks), flush=True)
"""

Side = Sequence[float]
"""Seconds of the passes of one process."""
Estimate = Callable[[Sequence[float], Sequence[float]], float]
"""The logarithm of a ratio, of two processes' slices in seconds."""


def of_both(of_one: Callable[[Sequence[float]], float]) -> Estimate:
    """Estimate the ratio of two numbers, one for each process."""
    return lambda base, head: math.log(of_one(head) / of_one(base))


def of_neighbours(base: Sequence[float], head: Sequence[float]) -> float:
    """The median over the slices that ran one after the other."""
    return statistics.median(
        math.log(after / before) for before, after in zip(base, head, strict=True)
    )


ESTIMATES: Final[Mapping[str, Estimate]] = {
    "medians": of_both(statistics.median),
    "lower quartiles": of_both(lambda slices: statistics.quantiles(slices, n=4)[0]),
    "minima": of_both(min),
    "median of neighbours": of_neighbours,
}


def measure_pair() -> tuple[Side, Side]:
    """Let a fresh pair of processes work in turns."""
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", WORK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    sides: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS):
        number = ABBA[turn % len(ABBA)]
        process = pair[number]
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        marks = json.loads(process.stdout.readline())
        sides[number].extend(end - begin for begin, end in pairwise(marks))
    for process in pair:
        process.communicate()
    return sides


def sliced(side: Side, passes: int) -> list[float]:
    """Seconds of each slice of so many passes."""
    return [sum(side[begin : begin + passes]) for begin in range(0, len(side), passes)]


def table(pairs: Sequence[tuple[Side, Side]], lengths: Sequence[int]) -> list[str]:
    """Markdown: the standard deviation of each estimate, by the length of the slices."""
    lines = [f"| slice | {' | '.join(ESTIMATES)} |", f"|---|{'---|' * len(ESTIMATES)}"]
    for passes in lengths:
        seconds = statistics.median(
            duration for pair in pairs for side in pair for duration in sliced(side, passes)
        )
        ratios = [
            [estimate(sliced(base, passes), sliced(head, passes)) for base, head in pairs]
            for estimate in ESTIMATES.values()
        ]
        cells = " | ".join(f"{100 * statistics.stdev(found):.1f} %" for found in ratios)
        lines.append(f"| {1000 * seconds:.1f} ms | {cells} |")
    return lines


def main() -> None:
    """Measure for some time, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=150.0)
    end = time.monotonic() + parser.parse_args().seconds
    pairs, loads = [measure_pair()], [os.getloadavg()[0]]
    while len(pairs) < 2 or time.monotonic() < end:
        pairs.append(measure_pair())
        loads.append(os.getloadavg()[0])
    print("\n".join(table(pairs, (5, 20, 80, 320))))
    print(f"{len(pairs)} pairs, load {min(loads):.1f} to {max(loads):.1f}")


if __name__ == "__main__":
    main()
