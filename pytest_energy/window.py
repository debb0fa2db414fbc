"""One round: synchronise, begin on a tick, run the passes, synchronise, end on a tick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from pytest_energy.clock import SYSTEM_CLOCK, Clock
from pytest_energy.measurement import Round, Trace
from pytest_energy.meters.base import Meter, Reading
from pytest_energy.statistics import combine, expand


@dataclass(frozen=True)
class Window:
    """A finished round, with what does not fit into it."""

    round: Round
    traces: tuple[Trace, ...] = ()
    """Power against time, one a channel; empty where the meter keeps none."""
    value: object = None
    """What the work returned."""


def measure_round(
    meter: Meter | None,
    work: Callable[[int], object],
    passes: int,
    synchronize: Callable[[], None],
    clock: Clock = SYSTEM_CLOCK,
) -> Window:
    """Measure ``work(passes)`` as one window.

    Nothing but the work and one synchronisation happens between the edges. Where the work raises,
    the window is closed and what it raised goes on.

    Args:
        meter: Where joules come from; ``None`` measures the duration alone.
        work: Runs as many passes as it is told, and may leave them queued on the device.
        passes: How many passes.
        synchronize: Returns when the device has done all that was queued.
        clock: Tells the duration of the passes.
    """
    synchronize()
    edge = meter.begin() if meter else None
    start, began = clock.time(), clock.perf_counter()
    try:
        value = work(passes)
        synchronize()
    except BaseException:
        if meter and edge:
            meter.end(edge)
        raise
    duration_s = clock.perf_counter() - began
    if meter is None or edge is None:
        return Window(_round(start, duration_s, passes), value=value)
    reading = meter.end(edge)
    return Window(_measured(meter, reading, start, duration_s, passes), reading.traces, value)


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
    for index in range(torch.cuda.device_count()):
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
