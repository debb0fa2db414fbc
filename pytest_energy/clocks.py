"""The clocks of the machine, which no test can freeze.

Tests replace the functions of :mod:`time`, and freezegun also the globals of modules that refer to
them. A meter that took a frozen clock for real would wait for moments that never come. So the
functions are kept from the import of this module on, in an object that freezegun does not look at.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from pytest_energy.errors import MeterError

LONGEST_SLEEP_S: Final = 600.0
"""No wait of a meter is longer, so one that is comes from a clock that has jumped."""


class Clock:
    """The functions of :mod:`time` that this package uses, as they were at the import."""

    def __init__(self) -> None:
        self.perf_counter = time.perf_counter
        self.monotonic = time.monotonic
        self.monotonic_ns = time.monotonic_ns
        self._time = time.time
        self._sleep = time.sleep

    def time(self) -> float:
        """Seconds since the epoch; time-machine changes the function itself, so it is asked."""
        machine: Any = sys.modules.get("time_machine")
        if machine is not None and machine.escape_hatch.is_travelling():
            return float(machine.escape_hatch.time.time())
        return self._time()

    def sleep(self, length_s: float) -> None:
        """Sleep.

        Raises:
            MeterError: The wait is longer than any of a meter.
        """
        if not length_s <= LONGEST_SLEEP_S:
            raise MeterError(
                f"a meter would wait for {length_s:.3g} s: a clock of this process has jumped; if a"
                " test replaces the clock, let it put the clock back before it ends"
            )
        self._sleep(length_s)


CLOCK: Final = Clock()
"""The clock of this process."""
