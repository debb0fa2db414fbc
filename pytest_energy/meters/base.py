"""What a meter is.

A meter is opened once a session, outside every window. Between the two edges of a window it adds
no thread and no work to the measured process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_energy.errors import MeterError
from pytest_energy.model.measurement import (
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Trace,
)


@dataclass(frozen=True)
class MeterRequest:
    """What the session asks of a meter."""

    devices: tuple[str, ...] | None = None
    """Devices as the user names them (indices, UUIDs, MIG names); ``None``: all visible ones."""
    country: str | None = None
    """ISO 3166-1 alpha-3 code, for meters that need one."""
    traces: bool = True
    """Whether power traces are wanted."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Limits of the validity checks by reason code, where not the default."""
    wait_idle_s: float = 60.0
    """How long a device that others use may keep the session waiting before it refuses."""


class MeterUnavailableError(MeterError):
    """A meter cannot measure here; carries the reason that goes into the results."""

    def __init__(self, code: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code=code, message=message)


@dataclass(frozen=True)
class Edge:
    """The beginning of a window: what the meter read there."""

    start: float
    """Seconds since the epoch (UTC) when ``begin`` returned."""
    time_s: float
    """``time.perf_counter()`` when ``begin`` returned."""
    state: object
    """The meter's own; nobody else looks into it."""


@dataclass(frozen=True)
class Reading:
    """What a meter says of a window: from the return of ``begin`` to the call of ``end``.

    Where a sensor ticks, its ticks lie a little outside the window; the meter itself takes off
    what was used there, and counts the uncertainty of that in the budget.
    """

    duration_s: float
    """From the return of ``begin`` to the call of ``end``."""
    channels: Mapping[str, float]
    """Joules of the window by channel; a channel that could not be read is absent."""
    budget: Mapping[str, float] = field(default_factory=dict)
    """Standard uncertainties of the sum, in joules, by cause."""
    conditions: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    traces: tuple[Trace, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the joules may be used: some channel was read and nothing fatal happened."""
        return bool(self.channels) and not any(reason.fatal for reason in self.reasons)


class Meter(Protocol):
    """A source of joules that is already open.

    No method raises for what a sensor does (lost, reset, contended): such an outcome is a
    :class:`~pytest_energy.model.measurement.Reason` in the :class:`Reading`.
    """

    @property
    def info(self) -> MeterInfo:
        """Name, source, kind of truth, tick."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of what is summed: ``gpu0``, ``cpu``, ``dram`` and the like."""
        ...

    @property
    def environment(self) -> Environment:
        """Identity and context of the measured devices."""
        ...

    @property
    def shortest_window_s(self) -> float:
        """Below this length a window is ``window-too-short``."""
        ...

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Idle power by channel, measured when the meter was opened; empty where not known."""
        ...

    def spent_j(self) -> float | None:
        """Gross joules of all channels since the meter was opened; ``None`` where not known.

        Read at once, without waiting for a tick: it says what a whole session cost.
        """
        ...

    def begin(self) -> Edge:
        """Open a window: find a tick of the counter, where there is one, and return."""
        ...

    def end(self, edge: Edge) -> Reading:
        """Close the window that ``edge`` opened; the device is synchronised already.

        The window ends when this is called, whatever the meter does afterwards. It is also called
        where the passes raised, and must then give back what ``begin`` took.
        """
        ...

    def close(self) -> None:
        """Give back what was opened; safe to call twice."""
        ...
