"""Ways to measure the same windows: ours, two other tools, and a polling thread.

Run as a program it measures in turn with each on the machine that it was started on, in real time,
and prints a line of JSON for each window.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pynvml

from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import Machine
from pytest_energy.window import measure_round

Work = Callable[[], None]
POLL_S = 0.01


@dataclass(frozen=True)
class Compared:
    """One window of one tool."""

    tool: str
    length_s: float
    true_j: float
    measured_j: float


class PollingThread:
    """The method of many papers: a thread asks for the power each 10 ms; mean power × time."""

    def __init__(self) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def __call__(self, work: Work) -> float:
        powers_w: list[float] = []
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                powers_w.append(pynvml.nvmlDeviceGetPowerUsage(self._handle) * 1e-3)
                time.sleep(POLL_S)

        thread = threading.Thread(target=poll)
        began_s = time.perf_counter()
        thread.start()
        work()
        duration_s = time.perf_counter() - began_s
        done.set()
        thread.join()
        return statistics.fmean(powers_w) * duration_s


def ours() -> Callable[[Work], float]:
    """A window of pytest-energy, with its trace."""
    meter = open_meter("nvml", MeterRequest())

    def measure(work: Work) -> float:
        energy_j = measure_round(meter, lambda passes: work(), 1, lambda: None).round.energy_j
        assert energy_j is not None
        return energy_j

    return measure


def zeus() -> Callable[[Work], float]:
    """A window of Zeus' monitor."""
    from zeus.monitor import ZeusMonitor

    monitor = ZeusMonitor(gpu_indices=[0])

    def measure(work: Work) -> float:
        monitor.begin_window("window", sync_execution=False)
        work()
        return float(monitor.end_window("window", sync_execution=False).gpu_energy[0])

    return measure


def codecarbon() -> Callable[[Work], float]:
    """A run of CodeCarbon's offline tracker, made anew for each window, as it must be."""
    from codecarbon import OfflineEmissionsTracker

    def measure(work: Work) -> float:
        tracker = OfflineEmissionsTracker(
            country_iso_code="FRA", save_to_file=False, log_level="error", allow_multiple_runs=True
        )
        tracker.start()
        work()
        tracker.stop()
        return float(tracker._total_gpu_energy.kWh) * 3.6e6

    return measure


TOOLS: dict[str, Callable[[], Callable[[Work], float]]] = {
    "pytest-energy": ours,
    "Zeus": zeus,
    "CodeCarbon": codecarbon,
    "polling thread": PollingThread,
}


def _main(lengths_s: list[float], windows: int, seed: int) -> None:
    machine, rng = Machine.attached(), random.Random(seed)
    tools = {name: make() for name, make in TOOLS.items()}
    for _ in range(windows):
        for length_s in lengths_s:
            power_w = rng.uniform(200.0, 600.0)
            for name, measure in tools.items():
                time.sleep(rng.uniform(0.3, 0.4))
                true_j, measured_j = _compare(machine, measure, power_w, length_s)
                compared = Compared(name, length_s, true_j, measured_j)
                print(json.dumps(asdict(compared)), flush=True)


def _compare(
    machine: Machine, measure: Callable[[Work], float], power_w: float, length_s: float
) -> tuple[float, float]:
    """The true joules of one loaded window, and those that the tool says."""
    true_j = []

    def work() -> None:
        began_s = time.perf_counter()
        with machine.load(power_w):
            time.sleep(length_s)
        true_j.append(machine.true_energy_j(began_s, time.perf_counter()))

    measured_j = measure(work)
    return true_j[0], measured_j


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
