"""The clocks that measuring goes by: one seam, where simulated time can take their place."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two ways to tell the time and one to let it pass."""

    def perf_counter(self) -> float:
        """Seconds on a clock that never steps; only differences mean something."""
        ...

    def time(self) -> float:
        """Seconds since the epoch (UTC)."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let at least ``seconds`` pass, without work for the processor."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def perf_counter(self) -> float:  # noqa: D102
        return time.perf_counter()

    def time(self) -> float:  # noqa: D102
        return time.time()

    def sleep(self, seconds: float) -> None:  # noqa: D102
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
