"""Measure joules per pass with idle edges, as our windows do, and with edges under load.

Run as a program on a machine with a virtual clock, it measures loads both ways and prints one line
of JSON for each. Edges under load are ticks that occur while the load continues: the energy of a
pass is the mean power between two of them, multiplied by the duration of a pass.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass

from windows import open_session_meter

from pytest_energy.measuring.window import measure_round
from pytest_energy.meters.nvml.devices.selection import select_devices
from pytest_energy.meters.nvml.devices.sensors import counter_of
from pytest_energy.meters.nvml.meter import NvmlMeter
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, calibrate, next_ticks, pause_until
from pytest_energy.testing import Machine

IDLE, RUNNING = "idle", "running"
PASSES_S = (0.001, 0.03, 0.13, 0.5)
"""Durations of a pass, in seconds."""


@dataclass(frozen=True)
class Seen:
    """One load, measured in one of the two ways."""

    way: str
    pass_s: float
    length_s: float
    error: float
    """Error of the joules per pass, as a share of the true joules."""
    added: float
    """Joules used beyond those of ``length_s``, as a share of them."""


@dataclass(frozen=True)
class Passes:
    """A load of equal passes: power is high in the first part of a pass and low in the rest."""

    machine: Machine
    pass_s: float
    high_w: float
    duty: float

    def run(self, seconds: float) -> float:
        """Run for some time; return when it began."""
        began_s = time.perf_counter()
        low_w = 0.3 * self.high_w
        with self.machine.pulsed_load(self.high_w, low_w, self.pass_s, self.duty):
            pause_until(began_s + seconds)
        return began_s


def _idle_edges(passes: Passes, meter: NvmlMeter, length_s: float) -> Seen:
    spans_s = []

    def work(count: int) -> None:
        began_s = passes.run(count * passes.pass_s)
        spans_s.append((began_s, time.perf_counter()))

    count = round(length_s / passes.pass_s)
    measured = measure_round(meter, work, count, lambda: None).round
    true_j = passes.machine.true_energy_j(*spans_s[0])
    assert measured.energy_j is not None
    added = measured.conditions["edges.energy_j"] / true_j
    return Seen(IDLE, passes.pass_s, length_s, measured.energy_j / true_j - 1, added)


def _running_edges(passes: Passes, ticker: Ticker, length_s: float) -> Seen:
    machine, low_w = passes.machine, 0.3 * passes.high_w
    with machine.pulsed_load(passes.high_w, low_w, passes.pass_s, passes.duty):
        began_s = time.perf_counter()
        opening = _tick(ticker)
        pause_until(opening.time_s + length_s)
        closing = _tick(ticker)
        ended_s = time.perf_counter()
    seen_w = (closing.energy_j - opening.energy_j) / (closing.time_s - opening.time_s)
    true_w = passes.duty * passes.high_w + (1 - passes.duty) * low_w
    added = machine.true_energy_j(began_s, ended_s) / (true_w * length_s) - 1
    return Seen(RUNNING, passes.pass_s, length_s, seen_w / true_w - 1, added)


def _tick(ticker: Ticker) -> Tick:
    tick = next_ticks([ticker])[ticker.name]
    assert isinstance(tick, Tick)
    return tick


def _main(lengths_s: list[float], loads: int, seed: int) -> None:
    machine, rng = Machine.attached(), random.Random(seed)
    time.sleep(5.0)  # until the driver's ring is full
    meter = open_session_meter(lambda: machine.load(500.0))
    read_j = counter_of(select_devices(None)[0])
    assert read_j is not None
    ticker = Ticker("gpu0", read_j)
    calibrate([ticker])
    for pass_s in PASSES_S:
        for length_s in lengths_s:
            for _ in range(loads):
                passes = Passes(machine, pass_s, rng.uniform(350, 650), rng.uniform(0.3, 0.7))
                for seen in (
                    _idle_edges(passes, meter, length_s),
                    _running_edges(passes, ticker, length_s),
                ):
                    print(json.dumps(asdict(seen)))
                    time.sleep(rng.uniform(0.0, 0.3))
    meter.close()


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
