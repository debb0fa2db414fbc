"""Measure one round: synchronise, begin on a tick, run the passes, synchronise, end on a tick."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import is_refusal
from pytest_energy.measuring.pieces import joined, telling
from pytest_energy.measuring.waiting import is_unawaited
from pytest_energy.meters.base import Edge, Meter, Reading
from pytest_energy.model.measurement import Reason, ReasonCode, Round, Trace
from pytest_energy.uncertainty.gum import combine, expand

__tracebackhide__ = is_refusal

UNAWAITED = Reason(
    code=ReasonCode.NOTE,
    message=(
        "the GPU worked through a framework that is not known here, so that work may have been left"
        " in its queue at the end of a window; wait for it by synchronize=…"
    ),
    fatal=False,
)
"""The remark on a window whose end may have come before that of its work."""


@dataclass(frozen=True)
class Window:
    """A finished round and its traces."""

    round: Round
    traces: tuple[Trace, ...] = ()
    """Power over time, one trace per channel; empty if the meter records none."""
    revised: Callable[[], Round] | None = None
    """Returns the round by what later windows have shown, too; ``None``: they show nothing."""

    def by_now(self) -> Round:
        """The round by all windows so far."""
        return self.revised() if self.revised else self.round


class OpenWindow:
    """A window whose passes are running; it has a :attr:`window` when they have ended.

    A pause ends one piece and begins the next. Each piece has edges of its own on the meter.
    """

    def __init__(
        self, meter: Meter | None, passes: int, synchronize: Callable[[], None] = lambda: None
    ) -> None:
        self.passes = passes
        """The passes that the body runs; may be set until the window ends."""
        self._meter = meter
        self._synchronize = synchronize
        self._pieces: list[Window] = []
        self._edge: Edge | None = None
        self._start = self._began_s = 0.0
        self._ended = False

    @property
    def window(self) -> Window:
        """The finished round.

        Raises:
            RuntimeError: The passes are still running, or have raised an exception.
        """
        if not self._ended:
            raise RuntimeError("the window has not been closed")
        pieces = tuple(self._pieces)

        def by_now() -> Round:
            return joined([piece.by_now() for piece in pieces], self.passes)

        revisable = any(piece.revised for piece in pieces)
        return Window(
            joined([piece.round for piece in pieces], self.passes),
            tuple(trace for piece in pieces for trace in piece.traces),
            by_now if revisable else None,
        )

    def elapsed_s(self) -> float:
        """Seconds until now, without pauses, once the device has finished all queued work."""
        self._synchronize()
        before_s = sum(piece.round.duration_s for piece in self._pieces)
        return before_s + CLOCK.perf_counter() - self._began_s

    def begin(self) -> None:
        """Begin a piece."""
        self._synchronize()
        self._edge = self._meter.begin() if self._meter else None
        self._start, self._began_s = CLOCK.time(), CLOCK.perf_counter()

    def end_piece(self) -> None:
        """End the piece."""
        self._synchronize()
        duration_s = CLOCK.perf_counter() - self._began_s
        if self._meter is None or self._edge is None:
            measured = Round(
                start=self._start, duration_s=duration_s, passes=self.passes, energy_j=None
            )
            self._pieces.append(Window(measured))
        else:
            edge, self._edge = self._edge, None
            self._pieces.append(self._piece(self._meter, self._meter.end(edge), duration_s))

    def _piece(self, meter: Meter, reading: Reading, duration_s: float) -> Window:
        start, passes = self._start, self.passes
        unawaited = reading.device_worked and is_unawaited(self._synchronize)
        remarks = [UNAWAITED] if unawaited else []

        def by_now() -> Round:
            return _measured(meter, reading.by_now(), start, duration_s, passes, remarks)

        measured = _measured(meter, reading, start, duration_s, passes, remarks)
        return Window(measured, reading.traces, by_now if reading.revised else None)

    def end(self) -> None:
        """End the window."""
        self.end_piece()
        self._ended = True

    def abandon(self) -> None:
        """Close the meter's window after an exception."""
        if self._meter and self._edge:
            self._meter.end(self._edge)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the body of a ``with`` statement out of the window."""
        self.end_piece()
        try:
            yield
        finally:  # the caller may handle an exception inside the window
            self.begin()


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
    opened = OpenWindow(meter, passes, synchronize)
    opened.begin()
    try:
        yield opened
        opened.end()
    except BaseException:
        opened.abandon()
        raise


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
    meter: Meter,
    reading: Reading,
    start: float,
    duration_s: float,
    passes: int,
    remarks: Sequence[Reason],
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
        reasons=[*telling(reading.reasons), *remarks],
    )
