"""Measure one round: synchronise, begin on a tick, run the passes, synchronise, end on a tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_energy.meters.base import Meter, Reading
from pytest_energy.model.measurement import Round, Trace
from pytest_energy.uncertainty.gum import combine, expand


@dataclass(frozen=True)
class Window:
    """A finished round and its traces."""

    round: Round
    traces: tuple[Trace, ...] = ()
    """Power over time, one trace per channel; empty if the meter records none."""


@dataclass
class OpenWindow:
    """A window whose passes are running; it has a :attr:`window` when they have ended."""

    finished: Window | None = None

    @property
    def window(self) -> Window:
        """The finished round.

        Raises:
            RuntimeError: The passes are still running, or have raised an exception.
        """
        if self.finished is None:
            raise RuntimeError("the window has not been closed")
        return self.finished


@contextmanager
def open_window(
    meter: Meter | None,
    passes: int,
    synchronize: Callable[[], None],
) -> Iterator[OpenWindow]:
    """Measure the body of a ``with`` statement as one window.

    Only the body and one synchronisation happen between the edges. If the body raises an exception,
    the window is closed and the exception continues.

    Args:
        meter: The source of joules; ``None`` measures only the duration.
        passes: The number of passes that the body runs.
        synchronize: Returns when the device has finished all queued work.
    """
    opened = OpenWindow()
    synchronize()
    edge = meter.begin() if meter else None
    start, began = time.time(), time.perf_counter()
    try:
        yield opened
        synchronize()
    except BaseException:
        if meter and edge:
            meter.end(edge)
        raise
    duration_s = time.perf_counter() - began
    if meter is None or edge is None:
        measured = Round(start=start, duration_s=duration_s, passes=passes, energy_j=None)
        opened.finished = Window(measured)
    else:
        reading = meter.end(edge)
        measured = _measured(meter, reading, start, duration_s, passes)
        opened.finished = Window(measured, reading.traces)


def measure_round(
    meter: Meter | None,
    work: Callable[[int], object],
    passes: int,
    synchronize: Callable[[], None],
) -> Window:
    """Measure ``work(passes)`` as one window; see :func:`open_window`."""
    with open_window(meter, passes, synchronize) as opened:
        work(passes)
    return opened.window


def _measured(
    meter: Meter, reading: Reading, start: float, duration_s: float, passes: int
) -> Round:
    # A sum without a lost device would look like a saving.
    complete = set(reading.channels) == set(meter.channels)
    return Round(
        start=start,
        duration_s=duration_s,
        passes=passes,
        energy_j=sum(reading.channels.values()) if complete else None,
        uncertainty_j=expand(combine(reading.budget.values())) if complete else None,
        budget=dict(reading.budget),
        channels=dict(reading.channels),
        conditions=dict(reading.conditions),
        reasons=list(reading.reasons),
    )
