"""Recorded power of real cards, to be replayed on simulated ones.

The files name their source and licence. A recording is one load, repeated where a window is longer,
and the tail after its end.
"""

from __future__ import annotations

import csv
import statistics
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.testing import Machine

FOLDER = Path(__file__).parent / "recorded"
STEP_S = 1e-3
OWN_LOADS = {"rtx3090": slice(None), "a100": slice(3, 48)}
"""The part of a recording that stands for the meter's own load: the A100 was switched on and off,
and its own load is one stretch that was on."""


@dataclass(frozen=True)
class Recording:
    """A recorded load and its tail, stored in a machine."""

    machine: Machine
    load: range
    tail: range
    rest_w: float
    own_load: range

    def run(self, length_s: float) -> AbstractContextManager[None]:
        """Replay the load so that it ends as the recorded one did."""
        return self.machine.replayed_load(self.load, self.tail, self.rest_w, length_s)

    def own(self) -> AbstractContextManager[None]:
        """Replay the meter's own load, which ends anywhere, and the tail."""
        return self.machine.replayed_load(self.own_load, self.tail, self.rest_w, 0.0)


def recording(machine: Machine, name: str) -> Recording:
    """Store a recording in a machine."""
    lines = (FOLDER / f"{name}.csv").read_text("utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    powers_w = [float(row["power_w"]) for row in rows]
    load = range(sum(row["part"] == "load" for row in rows))
    machine.record(powers_w, STEP_S)
    tail = range(len(load), len(rows))
    return Recording(machine, load, tail, rest_power_w(name), load[OWN_LOADS[name]])


def rest_power_w(name: str) -> float:
    """The power at the end of the recorded tail."""
    lines = (FOLDER / f"{name}.csv").read_text("utf-8").splitlines()
    return statistics.fmean(float(line.rpartition(",")[2]) for line in lines[-300:])
