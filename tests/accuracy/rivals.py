"""Measure the same windows with our meter, two other tools and a polling thread.

Run as a program, it measures with all of them at the same time, in real time. The windows are
opened one inside the other, ours innermost. It prints one line of JSON per tool and window.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Protocol

import pynvml
from recorded import recording
from windows import open_session_meter

from pytest_energy.measuring.window import measure_round
from pytest_energy.meters.base import Meter, MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import Machine

POLL_S = 0.01
OURS = "pytest-energy"


@dataclass(frozen=True)
class Compared:
    """One window of one tool."""

    tool: str
    length_s: float
    error: float | None
    """Absolute error, as a share of the passes' true joules; ``None`` if the tool refuses."""


class Tool(Protocol):
    """A tool that measures between two calls."""

    def start(self) -> None:
        """Open a window."""

    def stop(self) -> float:
        """Close it and return its joules."""


class PollingThread:
    """The method of many papers: a thread reads the power every 10 ms; energy is mean × time."""

    def __init__(self) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def start(self) -> None:
        """Start the thread."""
        self._powers_w: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._began_s = time.perf_counter()
        self._thread.start()

    def stop(self) -> float:
        """End it and return mean power × time."""
        duration_s = time.perf_counter() - self._began_s
        self._done.set()
        self._thread.join()
        return statistics.fmean(self._powers_w) * duration_s

    def _poll(self) -> None:
        while not self._done.is_set():
            self.ask()
            time.sleep(POLL_S)

    def ask(self) -> None:
        """Read the power once."""
        self._powers_w.append(pynvml.nvmlDeviceGetPowerUsage(self._handle) * 1e-3)


class Zeus:
    """The monitor of Zeus."""

    def __init__(self) -> None:
        from zeus.monitor import ZeusMonitor

        self._monitor = ZeusMonitor(gpu_indices=[0])

    def start(self) -> None:
        """Begin a window."""
        self._monitor.begin_window("window", sync_execution=False)

    def stop(self) -> float:
        """End it."""
        return float(self._monitor.end_window("window", sync_execution=False).gpu_energy[0])


class CodeCarbon:
    """CodeCarbon's offline tracker. It cannot be reused, so each window has a new one."""

    def start(self) -> None:
        """Make and start a tracker."""
        from codecarbon import OfflineEmissionsTracker

        self._tracker = OfflineEmissionsTracker(
            country_iso_code="FRA", save_to_file=False, log_level="error", allow_multiple_runs=True
        )
        self._tracker.start()

    def stop(self) -> float:
        """Stop it."""
        self._tracker.stop()
        return float(self._tracker._total_gpu_energy.kWh) * 3.6e6


RIVALS: dict[str, Callable[[], Tool]] = {
    "CodeCarbon": CodeCarbon,
    "Zeus": Zeus,
    "polling thread": PollingThread,
}
"""From the outermost to the innermost: a tool that starts slowly is opened first."""


def _main(
    lengths_s: list[float],
    windows: int,
    seed: int,
    recorded: str | None = None,
    own_load_w: float | None = None,
) -> None:
    machine, rng = Machine.attached(), random.Random(seed)
    replayed = recording(machine, recorded) if recorded else None
    time.sleep(1.0)
    own = replayed.own if replayed else lambda: machine.load(own_load_w or 0.0)
    meter = open_session_meter(own) if own_load_w else open_meter("nvml", MeterRequest())
    rivals = {name: make() for name, make in RIVALS.items()}
    rivals = {name: tool for name, tool in rivals.items() if _can_measure(name, tool)}
    for _ in range(windows):
        for length_s in lengths_s:
            time.sleep(rng.uniform(0.3, 0.4))
            load = replayed.run(length_s) if replayed else machine.load(rng.uniform(200.0, 400.0))
            measured = _measure(machine, meter, rivals, load, length_s)
            errors: dict[str, float | None] = {**dict.fromkeys(RIVALS), **measured}
            for name, error in errors.items():
                print(json.dumps(asdict(Compared(name, length_s, error))), flush=True)


def _can_measure(name: str, tool: Tool) -> bool:
    """Try a tool on this card: Zeus fails if a card of a recent kind has no counter."""
    try:
        tool.start()
        tool.stop()
    except Exception as error:  # of whatever kind: they are the tool's own
        print(f"{name}: {error!r}", file=sys.stderr)
        return False
    return True


def _measure(
    machine: Machine,
    meter: Meter,
    rivals: Mapping[str, Tool],
    load: AbstractContextManager[None],
    length_s: float,
) -> dict[str, float | None]:
    """Measure one window; return each tool's error as a share of the passes' true joules."""
    passes: list[Span] = []

    def work(_: int) -> None:
        began_s = time.perf_counter()
        with load:
            time.sleep(length_s)
        passes.append((began_s, time.perf_counter()))

    called_s, inside_s = {}, {}
    for name, tool in rivals.items():
        called_s[name] = time.perf_counter()
        tool.start()
        inside_s[name] = time.perf_counter()
    ours = measure_round(meter, work, 1, lambda: None).round
    passes_j = machine.true_energy_j(*passes[0])
    valid = ours.energy_j is not None and not any(reason.fatal for reason in ours.reasons)
    # Between an edge and the passes the system may have delayed this process.
    began_s = ours.start - (time.time() - time.perf_counter())
    true_j = (passes_j, machine.true_energy_j(began_s, began_s + ours.duration_s))
    error = min(abs((ours.energy_j or 0.0) - joules) for joules in true_j) / passes_j
    errors = {OURS: error if valid else None}
    for name, tool in reversed(rivals.items()):
        stopped_s = time.perf_counter()
        joules = tool.stop()
        spans = (
            passes[0],
            (inside_s[name], stopped_s),
            (called_s[name], time.perf_counter()),
        )
        errors[name] = min(abs(joules - machine.true_energy_j(*s)) for s in spans) / passes_j
    return errors


Span = tuple[float, float]
"""Start and end, in seconds of ``time.perf_counter``."""


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
