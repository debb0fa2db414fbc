"""Measure how much slower a loop of passes runs while it is measured.

Run as a program, it prints JSON. For each way of measuring, the JSON has the relative slow-down
with its 95 % interval, and the processor time used outside the loop's thread, as a share of the
loop's own.

Inside a window our only activity is the helper process, and the polling method's only activity is
its thread. The loop therefore runs continuously inside one window, on one core, while the helper or
the thread is held and released in turns: held, free, free, held, and in the next block the other
way round, so that a drift of the machine affects both alike. Loops with separate windows would
compare less well: the wait for a tick lies between them, and processors run many percent faster
after a rest.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rivals import PollingThread

from pytest_energy.measuring.window import measure_round
from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter

PASS_S = 0.001
LONG_PASSES = 10_000
ORDERS = ((False, True, True, False), (True, False, False, True))
"""Whether the way of measuring is free in each loop of a block, for even and odd blocks."""


class Way(Protocol):
    """A way of measuring that can be held and released."""

    def run(self, body: Callable[[], None]) -> None:
        """Measure ``body``."""

    def hold(self) -> None:
        """Stop it from using the processor."""

    def free(self) -> None:
        """Let it continue."""


class Ours:
    """A window with its trace, which the helper process collects."""

    def __init__(self) -> None:
        self.meter = open_meter("nvml", MeterRequest())

    def run(self, body: Callable[[], None]) -> None:
        """Measure ``body`` as one pass."""
        measured = measure_round(self.meter, lambda n: body(), 1, lambda: None)
        if measured.round.energy_j is None or not measured.traces:
            raise RuntimeError(f"nothing was measured: {measured}")

    def hold(self) -> None:
        """Stop the helper."""
        self._signal(signal.SIGSTOP)

    def free(self) -> None:
        """Continue the helper."""
        self._signal(signal.SIGCONT)

    def _signal(self, sent: signal.Signals) -> None:
        for pid in _started():
            os.kill(pid, sent)


class Polling(PollingThread):
    """The polling thread. It waits while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self._let_go = threading.Event()

    def run(self, body: Callable[[], None]) -> None:
        """Poll while ``body`` runs."""
        self.start()
        body()
        self.free()
        self.stop()

    def hold(self) -> None:
        """Make the next poll wait."""
        self._let_go.clear()

    def free(self) -> None:
        """Poll again."""
        self._let_go.set()

    def ask(self) -> None:
        """Poll once, as soon as it is free."""
        self._let_go.wait()
        super().ask()


def _steps_a_pass() -> int:
    """Number of steps of the loop below that take about a millisecond."""
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
    ways: dict[str, Way] = {"pytest-energy": Ours(), "polling thread": Polling()}
    shares = {
        name: (*_slow_down(way, steps, blocks, passes), _beside(way, steps))
        for name, way in ways.items()
    }
    print(json.dumps(shares))


def _slow_down(way: Way, steps: int, blocks: int, passes: int) -> tuple[float, float, float]:
    """The median slow-down over all blocks, and its 95 % interval."""
    slower: list[float] = []

    def alternate() -> None:
        for block in range(blocks):
            seen_s = {False: 0.0, True: 0.0}
            for free in ORDERS[block % 2]:
                (way.free if free else way.hold)()
                began_s = time.perf_counter()
                for _ in range(passes):
                    _run_pass(steps)
                seen_s[free] += time.perf_counter() - began_s
            slower.append(seen_s[True] / seen_s[False] - 1)
        way.free()

    with _on_one_core():
        way.run(alternate)
    return _median(slower)


def _beside(way: Way, steps: int) -> float:
    """Processor time used beside a long loop; it is long because the helper sleeps for seconds."""
    shares = []

    def loop() -> None:
        way.free()
        own_s, beside_s = time.thread_time(), _beside_s()
        for _ in range(LONG_PASSES):
            _run_pass(steps)
        shares.append((_beside_s() - beside_s) / (time.thread_time() - own_s))

    way.run(loop)
    return shares[0]


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Keep this thread on one core, because a move costs more than the effect measured here.

    The helper process was started before and may use any core.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def _started() -> list[int]:
    """The child processes of this process."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _beside_s() -> float:
    """Processor time of this process' other threads and of its child processes, in seconds."""
    run_ns = [int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in _started()]
    return time.process_time() - time.thread_time() + sum(run_ns) * 1e-9


def _median(shares: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval by ranks, which outliers of a busy machine do not move."""
    ranked, count = sorted(shares), len(shares)
    reach = 0.98 * math.sqrt(count)  # a rank's standard deviation is √n / 2
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach) - 1
    return statistics.median(ranked), ranked[max(low, 0)], ranked[min(high, count - 1)]


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
