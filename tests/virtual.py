"""A simulated machine on the virtual clock: a test that opens a meter there waits for nothing."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Protocol

import pytest

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import Meter, Reading
from pytest_energy.meters.nvml import driver
from pytest_energy.testing import Profile, SimulatedNvml

CLOCK_READ_S = 1e-6


@contextmanager
def virtual_machine(*profiles: Profile | str, **settings: Any) -> Iterator[SimulatedNvml]:
    """A simulated machine in whose virtual time this process and its children live.

    Sleeping takes no real time, and no busy processor delays a window. Threads and processes that
    run at the same time share the clock: where one sleeps, time passes for all. Such tests, and
    those of a helper process that polls, need the real clock of ``SimulatedNvml``.

    Args:
        profiles: The cards, as of ``SimulatedNvml``.
        settings: Its other arguments.
    """
    with (
        SimulatedNvml(*profiles, **{**settings, "virtual_clock": True}) as machine,
        virtual_time(machine),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in machine.environment().items():
            patch.setenv(name, value)  # among them the clock of child processes
        yield machine


def measure_load(
    machine: SimulatedNvml, meter: Meter, power_w: float, duration_s: float
) -> tuple[Reading, float]:
    """The reading of one window under a load, and its true joules; closes the meter."""
    measured = measure_window(machine, meter, power_w, duration_s)
    meter.close()
    return measured


def measure_window(
    machine: SimulatedNvml, meter: Meter, power_w: float, duration_s: float
) -> tuple[Reading, float]:
    """The reading of one window under a load, and its true joules."""
    edge = meter.begin()
    with machine.load(power_w):
        time.sleep(duration_s)
    reading = meter.end(edge)
    return reading, machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)


def answer_on(card: Profile, program: str, *arguments: str) -> Any:
    """What a program prints as JSON on a simulated machine with this card.

    It runs in this process: the start of another one takes a second.

    Args:
        card: The card.
        program: The text; it connects to the driver.
        arguments: The words of ``sys.argv`` after the first.
    """
    output = io.StringIO()
    with virtual_machine(card), pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
        patch.setattr(sys, "argv", ["program", *arguments])
        patch.setattr(sys, "path", [*sys.path])
        exec(program, {"__name__": "__main__"})
        driver.stop()
    return json.loads(output.getvalue())


class VirtualClock(Protocol):
    """What passes only when somebody sleeps."""

    def now_s(self) -> float:
        """The time."""
        ...

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        ...


class Seconds:
    """A virtual clock without a machine."""

    def __init__(self) -> None:
        self._now_s = time.perf_counter()

    def now_s(self) -> float:
        """The time: it begins with that of the real clock."""
        return self._now_s

    def advance(self, duration_s: float) -> None:
        """Let time pass."""
        self._now_s += duration_s


@contextmanager
def virtual_time(machine: VirtualClock) -> Iterator[None]:
    """Let this process live in the virtual time of a machine or of :class:`Seconds`.

    As in child processes on the virtual clock, reading a clock takes a little time. What bound a
    clock at its import, as pytest did, keeps the real one.
    """
    since_epoch_s = time.time() - time.perf_counter()

    def now_s() -> float:
        machine.advance(CLOCK_READ_S)
        return machine.now_s()

    replaced: dict[str, Callable[..., Any]] = {
        "sleep": lambda length_s: machine.advance(max(0.0, length_s)),
        "perf_counter": lambda: now_s(),
        "monotonic": lambda: now_s(),
        "time": lambda: now_s() + since_epoch_s,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, function in replaced.items():
            # pytest-benchmark looks its timer up by the name that it has
            function.__module__, function.__name__ = time.__name__, name
            patch.setattr(time, name, function)
            patch.setattr(CLOCK, name, function)
        yield
