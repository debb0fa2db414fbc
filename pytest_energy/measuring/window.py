"""One round: synchronise, begin on a tick, run the passes, synchronise, end on a tick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_energy.meters.base import Meter, Reading
from pytest_energy.model.measurement import Round, Trace
from pytest_energy.uncertainty.gum import combine, expand


@dataclass(frozen=True)
class Window:
    """A finished round, with what does not fit into it."""

    round: Round
    traces: tuple[Trace, ...] = ()
    """Power against time, one a channel; empty where the meter keeps none."""


@dataclass
class OpenWindow:
    """A window whose passes are running; :attr:`window` is there once they have ended."""

    finished: Window | None = None

    @property
    def window(self) -> Window:
        """The finished round.

        Raises:
            RuntimeError: The passes have not ended, or have ended in an exception.
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

    Nothing but the body and one synchronisation happens between the edges. Where the body raises,
    the window is closed and what it raised goes on.

    Args:
        meter: Where joules come from; ``None`` measures the duration alone.
        passes: How many passes the body runs.
        synchronize: Returns when the device has done all that was queued.
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
        opened.finished = Window(_round(start, duration_s, passes))
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


def synchronizer() -> Callable[[], None]:
    """What makes this process wait for its GPUs: torch's, where CUDA is in use here, else nothing.

    Torch is asked only where it is imported already: a process that has not imported it has no
    work of its queued. CUDA may come into use later, so that the question is put at each call.
    """
    return _synchronize


def _synchronize() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    # Synchronising makes a context, which takes memory and power, on a device without one.
    has_context = getattr(torch._C, "_cuda_hasPrimaryContext", lambda index: True)
    for index in range(torch.cuda.device_count()):
        if has_context(index):
            torch.cuda.synchronize(index)


def _round(start: float, duration_s: float, passes: int) -> Round:
    return Round(start=start, duration_s=duration_s, passes=passes, energy_j=None)


def _measured(
    meter: Meter, reading: Reading, start: float, duration_s: float, passes: int
) -> Round:
    whole = set(reading.channels) == set(meter.channels)  # a sum without a lost device is no sum
    return Round(
        start=start,
        duration_s=duration_s,
        passes=passes,
        energy_j=sum(reading.channels.values()) if whole else None,
        uncertainty_j=expand(combine(reading.budget.values())) if whole else None,
        budget=dict(reading.budget),
        channels=dict(reading.channels),
        conditions=dict(reading.conditions),
        reasons=list(reading.reasons),
    )
