"""Whether a counter covers the full time: judged by the last tick of each window.

A window ends somewhere within a tick of its counter, and the device is idle from then on. A counter
that covers the full time counts in this tick what the load used in its first part: if the window
ended after a third of the tick, a third of the energy of a whole tick. A part-time counter samples
only a part of each tick and takes it for the whole. It counts all or nothing, unless the window
ends while it samples. Windows end at random moments of the tick, so a few of them are enough to
distinguish the two. If the load's own power varies from tick to tick, the ends show nothing, and
the counter looks like a part-time one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_energy.meters.nvml.sources.ticks import Tick

AGREED = 0.05
"""The counted share of the last tick may be off by this share of a tick."""
TELLING = (0.2, 0.8)
"""A window that ends nearer to a tick is no test: a part-time counter could agree."""
CHANCE = 0.2
"""Upper bound of the chance that a part-time counter agrees at one window's end.

A counter that samples the share w of a tick agrees if the window ends within 2 × 0.05 × w / (1 − w)
of a tick, out of the 0.6 that are a test: one end in six for w = 1/2, one in twenty for w = 1/4."""
ENOUGH = 1e-3
"""A part-time counter agrees as often as this by chance alone."""
LEAST_ENDS = 5
"""The fewest windows whose agreement is improbable enough: 0.2⁵ < 0.001."""
CLEAR_J = 0.1
"""With less energy in a tick, the counter's millijoules hide the load."""


@dataclass(frozen=True)
class LastTick:
    """The tick in which a window ended: how much of it was loaded, and how much was counted."""

    loaded: float
    """Share of the tick until the window ended."""
    counted: float
    """The tick's joules above idle, as a share of a whole tick's under the window's load."""


def last_tick(
    closing: Tick,
    period_s: float,
    ended_s: float,
    power_w: float,
    gap_w: float,
    tail_j: float = 0.0,
) -> LastTick | None:
    """The evidence of the tick that closed a window; ``None`` if it is no test.

    Args:
        closing: The tick; the search for it began after the window's end.
        period_s: The counter's period.
        ended_s: When the window ended, by ``time.perf_counter``.
        power_w: The window's mean power.
        gap_w: The idle power after the window.
        tail_j: Joules above idle between the window's end and the tick.
    """
    ticks = max(1, math.ceil((closing.time_s - closing.sought_s) / period_s))
    earlier = Tick(closing.time_s - ticks * period_s, 0.0, closing.sought_j)
    return between(earlier, closing, period_s, ended_s, power_w, gap_w, tail_j)


def between(
    earlier: Tick,
    closing: Tick,
    period_s: float,
    ended_s: float,
    power_w: float,
    gap_w: float,
    tail_j: float = 0.0,
) -> LastTick | None:
    """The evidence of the tick that closed a window, if the one before it is known.

    See :func:`last_tick`; ``earlier`` is a tick under the same load. Its own moment counts, so that
    a counter that ticks irregularly is judged as well.
    """
    loaded = (ended_s - earlier.time_s) / period_s
    load_j = (power_w - gap_w) * period_s
    if load_j < CLEAR_J or not TELLING[0] <= loaded <= TELLING[1]:
        return None
    rest_j = gap_w * (closing.time_s - earlier.time_s)
    return LastTick(loaded, (closing.energy_j - earlier.energy_j - rest_j - tail_j) / load_j)


class Coverage:
    """What the windows of a session have shown about one counter."""

    def __init__(self) -> None:
        self._ends = self._agreed = 0
        self._shown = False

    @property
    def full_time(self) -> bool | None:
        """Whether the counter covers the full time; ``None`` before there are enough windows."""
        if self._shown or self._ends >= LEAST_ENDS:
            return self._shown
        return None

    def learn(self, last: LastTick | None) -> None:
        """Take the end of one more window into account, if it is a test."""
        if last is None:
            return
        self._ends += 1
        self._agreed += abs(last.counted - last.loaded) <= AGREED
        # scipy.stats would cost seconds here, after the first window; scipy.special has been loaded
        # since the idle power was measured. bdtrc(k, n, p) is the probability of more than k hits.
        from scipy.special import bdtrc

        self._shown |= bool(bdtrc(self._agreed - 1, self._ends, CHANCE) <= ENOUGH)
