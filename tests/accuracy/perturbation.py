"""How much slower a loop of passes runs while it is measured.

Run as a program it times the loop plainly, measured by us and polled by a thread, in blocks of four
(plain, measured, measured, plain, and in the next block the other way round: a machine that drifts
slows both alike), on the machine that it was started on. A plain loop rests before it begins as
long as a measured one waits for its tick, since processors run faster after a rest. It prints as
JSON for each way the relative slow-down with its 95 % interval, and the processor time that others
than the loop's thread used meanwhile, the helper process among them, as a share of the loop's. The
share is known well on a busy machine, too. It is taken from one long loop, since the helper sleeps
for seconds.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rivals import PollingThread

from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.window import measure_round

PASS_S = 0.001
LONG_PASSES = 10_000
REST_S = 0.05
WARM_PASSES = 10
"""Not timed: whoever has just slept finds cold caches, measured or not."""
ORDERS = ((False, True, True, False), (True, False, False, True))
"""Which loops of a block are measured."""

Way = Callable[[Callable[[], None]], object]
"""Runs a body in one way or another."""


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


def _main(blocks: int, passes: int) -> None:
    steps = _steps_a_pass()
    meter, poll = open_meter("nvml", MeterRequest()), PollingThread()
    began_s: list[float] = []
    taken_s: list[float] = []
    used_s: list[tuple[float, float]] = []

    def loop(passes: int = passes) -> None:
        began_s.append(time.perf_counter())
        with _on_one_core():
            for _ in range(WARM_PASSES):
                _run_pass(steps)
            start_s, own_s, beside_s = time.perf_counter(), time.thread_time(), _beside_s()
            for _ in range(passes):
                _run_pass(steps)
            taken_s.append(time.perf_counter() - start_s)
            used_s.append((time.thread_time() - own_s, _beside_s() - beside_s))

    def plainly(body: Callable[[], None]) -> object:
        return body()

    def measured(body: Callable[[], None]) -> object:
        return measure_round(meter, lambda n: body(), 1, lambda: None)

    def polled(body: Callable[[], None]) -> object:
        poll.start()
        body()
        return poll.stop()

    def timed(run: Way | None) -> float:
        """How long a loop takes; a plain one rests as long as the last measured one waited."""
        nonlocal waited_s
        time.sleep(REST_S if run else REST_S + waited_s)
        asked_s = time.perf_counter()
        (run or plainly)(loop)
        if run:
            waited_s = began_s[-1] - asked_s
        return taken_s[-1]

    waited_s = 0.0
    ways: dict[str, Way] = {"pytest-energy": measured, "polling thread": polled}
    slower: dict[str, list[float]] = {name: [] for name in ways}
    for block in range(blocks):
        for name, run in ways.items():
            seen_s: dict[bool, list[float]] = {False: [], True: []}
            for measuring in ORDERS[block % 2]:
                seen_s[measuring].append(timed(run if measuring else None))
            slower[name].append(sum(seen_s[True]) / sum(seen_s[False]) - 1)
    shares = {}
    for name, run in ways.items():
        run(lambda: loop(LONG_PASSES))
        own_s, beside_s = used_s[-1]
        shares[name] = beside_s / own_s
    meter.close()
    print(json.dumps({name: (*_median(slower[name]), shares[name]) for name in ways}))


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this thread where it is: to be moved costs it more than what is looked for here.

    The helper process and the polling thread were started before, and go where they like.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def _beside_s() -> float:
    """Processor time of this process' other threads, and of the processes that it started."""
    started = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    run_ns = [int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in started]
    return time.process_time() - time.thread_time() + sum(run_ns) * 1e-9


def _median(shares: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval, by ranks: outliers of a busy machine do not move them."""
    ranked, count = sorted(shares), len(shares)
    reach = 0.98 * math.sqrt(count)  # a rank's standard deviation is √n / 2
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach) - 1
    return statistics.median(ranked), ranked[max(low, 0)], ranked[min(high, count - 1)]


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
