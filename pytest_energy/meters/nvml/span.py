"""A stretch of time on one clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_energy.clocks import CLOCK


@dataclass(frozen=True)
class Span:
    """When a window began and how long it lasted.

    The driver stamps power samples in seconds since the epoch; counters are timed by
    ``time.perf_counter``. Each function says which clock it needs, because the two must not be
    mixed: the first one may be stepped during a window.
    """

    start_s: float
    duration_s: float

    @property
    def end_s(self) -> float:
        """When the window ended, on the same clock."""
        return self.start_s + self.duration_s

    def since_epoch(self) -> Span:
        """A span of just now by ``time.perf_counter``, in seconds since the epoch."""
        return replace(self, start_s=self.start_s + CLOCK.time() - CLOCK.perf_counter())
