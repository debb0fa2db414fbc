"""The interface of a meter.

A meter is opened once in a session, outside all windows. Between the two edges of a window it adds
no thread and no work to the measured process, since both would use energy that is measured.
:mod:`pytest_energy.meters.contract` checks a meter against this interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

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
    """The session's request to a meter that is about to be opened."""

    devices: tuple[str, ...] | None = None
    """The user's names of devices (indices, UUIDs, MIG names); ``None``: all visible devices."""
    country: str | None = None
    """ISO 3166-1 alpha-3 code of the country, for meters that need it."""
    traces: bool = True
    """Whether power traces are wanted."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Limits of the validity checks by reason code; other limits have their defaults."""
    wait_idle_s: float = 60.0
    """How long to wait for a device that others use before the meter refuses to open."""
    wake: bool = True
    """Whether to wake a device that sleeps; ``auto`` does not, unless devices are named."""


class MeterUnavailableError(MeterError):
    """The meter cannot measure here; ``reason`` goes into the results."""

    def __init__(self, code: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.reason = Reason(code=code, message=message)


@dataclass(frozen=True)
class Edge:
    """The beginning of a window, with the meter's readings."""

    start: float
    """Seconds since the epoch (UTC) when ``begin`` returned."""
    time_s: float
    """``time.perf_counter()`` when ``begin`` returned."""
    state: object
    """Private data of the meter."""


@dataclass(frozen=True)
class Reading:
    """The result of a window, from the return of ``begin`` to the call of ``end``.

    The ticks of a counter lie a little outside the window. The meter subtracts the energy used
    between them and the window, and includes the uncertainty of that in the budget.
    """

    duration_s: float
    """Seconds from the return of ``begin`` to the call of ``end``."""
    channels: Mapping[str, float]
    """Joules by channel; a channel that could not be read is absent and has a fatal reason."""
    budget: Mapping[str, float] = field(default_factory=dict)
    """Standard uncertainties of the sum over all channels, in joules, by cause."""
    conditions: Mapping[str, float] = field(default_factory=dict)
    """Other readings; a key is the text of a :class:`~pytest_energy.model.conditions.Condition`."""
    reasons: tuple[Reason, ...] = ()
    traces: tuple[Trace, ...] = ()
    device_worked: bool = False
    """Whether a device worked for processes of this session: it may still have a queue."""
    revised: Callable[[], Reading] | None = None
    """Returns this reading by what later windows have shown of it, too; ``None``: they show
    nothing. A result is made of the readings as they are after its last window."""

    @property
    def valid(self) -> bool:
        """Whether the joules may be used: a channel was read, and no reason is fatal."""
        return bool(self.channels) and not any(reason.fatal for reason in self.reasons)

    def by_now(self) -> Reading:
        """This reading by all windows so far."""
        return self.revised() if self.revised else self

    def changed(self, change: Callable[[Reading], Reading]) -> Reading:
        """Another reading made of this one, which is revised when this one is."""
        changed = change(self)
        if self.revised is None:
            return changed
        return replace(changed, revised=lambda: change(self.by_now()))


@runtime_checkable
class Adjustable(Protocol):
    """A meter that checks settings of its devices, such as a power limit, which a test may change.

    A :class:`Meter` need not have this.
    """

    def accept_settings(self) -> None:
        """Check windows against the present settings, no longer against those at the opening."""
        ...


@runtime_checkable
class LearnsPrograms(Protocol):
    """A meter that learns from the windows of a program how its load ends.

    A :class:`Meter` need not have this.
    """

    def next_program(self, name: str) -> None:
        """Say that the next windows are of the program with this name, until the next call."""
        ...


class Meter(Protocol):
    """A source of joules that is already open.

    No method raises if a sensor is lost, reset or contended. Such an event is a
    :class:`~pytest_energy.model.measurement.Reason` in the :class:`Reading`.
    """

    @property
    def info(self) -> MeterInfo:
        """Name, source, tick, and whether the joules are estimated."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the parts that are summed, such as ``gpu0``, ``cpu`` and ``dram``."""
        ...

    @property
    def environment(self) -> Environment:
        """Identity and context of the measured devices."""
        ...

    @property
    def shortest_window_s(self) -> float:
        """A shorter window has the reason ``window-too-short``."""
        ...

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Idle power by channel, measured when the meter was opened; empty if it is unknown."""
        ...

    def spent_j(self) -> float | None:
        """Gross joules of all channels since the meter was opened; ``None`` if unknown.

        It is read at once, without waiting for a tick: it gives the cost of a whole session.
        """
        ...

    def begin(self) -> Edge:
        """Open a window; if the counter ticks, wait for a tick first."""
        ...

    def end(self, edge: Edge) -> Reading:
        """Close the window that ``edge`` opened; the device is already synchronised.

        The window ends when this is called, also if the meter then waits for a tick. It is also
        called if the passes raised an exception; it must release whatever ``begin`` acquired.
        """
        ...

    def close(self) -> None:
        """Release everything that was opened; safe to call twice."""
        ...
