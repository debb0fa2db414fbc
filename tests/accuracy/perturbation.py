"""How much slower a loop of passes runs while it is measured.

Run as a program it times the loop plainly, measured by us and polled by a thread, in turn, on the
machine that it was started on, and prints the relative slow-downs as JSON.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable

from rivals import PollingThread

from pytest_energy.meters.base import MeterRequest, open_meter
from pytest_energy.window import measure_round

PASS_S = 0.001
REST_S = 0.3


def _steps_a_pass() -> int:
    """So many steps of the loop below take about a millisecond."""
    steps = 1000
    while True:
        began_s = time.perf_counter()
        _run_pass(steps)
        taken_s = time.perf_counter() - began_s
        if taken_s > PASS_S / 2:
            return round(steps * PASS_S / taken_s)
        steps *= 2


def _run_pass(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += number
    return total


def _main(pairs: int, passes: int) -> None:
    steps = _steps_a_pass()
    meter, poll = open_meter("nvml", MeterRequest()), PollingThread()
    taken_s: list[float] = []

    def loop() -> None:
        began_s = time.perf_counter()
        for _ in range(passes):
            _run_pass(steps)
        ended_s = time.perf_counter()
        taken_s.append(ended_s - began_s)

    ways: dict[str, Callable[[], object]] = {
        "pytest-energy": lambda: measure_round(meter, lambda n: loop(), passes, lambda: None),
        "polling thread": lambda: poll(loop),
    }
    slower: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(pairs):
        for name, run in ways.items():
            for once in (loop, run, loop):
                time.sleep(REST_S)  # who has slept runs first on a busy machine: let all sleep
                once()
            before_s, measured_s, after_s = taken_s[-3:]
            slower[name].append(measured_s / ((before_s + after_s) / 2) - 1)
    meter.close()
    print(json.dumps({name: _median(shares) for name, shares in slower.items()}))


def _median(shares: list[float]) -> tuple[float, float]:
    """The median, and its standard error from the middle half, as a busy machine has outliers."""
    low, middle, high = statistics.quantiles(shares, n=4)
    return middle, 1.25 * (high - low) / 1.35 / math.sqrt(len(shares))


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
