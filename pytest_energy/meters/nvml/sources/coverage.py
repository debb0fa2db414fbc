"""Whether a counter sees all of the time: what the last tick of each window tells.

A window ends somewhere in a tick of its counter, and the device idles from then on. A counter that
sees all of the time counts of this tick what the load used in its first part: a third of what it
uses in a whole tick where the window ended after a third. One that looks for a part of each tick
only, and takes it for the whole, counts all or nothing, but where the window ends while it looks.
Windows end at any moment of the tick, so that few of them are enough to tell the one from the
other, unless the load's own power varies from tick to tick: then the end of a window tells nothing
and is like one of a counter that looks away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_energy.meters.nvml.sources.ticks import Tick

AGREED = 0.05
"""What is counted of the last tick may be off by this share of a tick."""
TELLING = (0.2, 0.8)
"""Windows that end nearer to a tick are no test: a counter that looks away could agree."""
CHANCE = 0.2
"""Of windows that agree though the counter looks away: looking at a part w of the tick it agrees if
the window ends within 2 × 0.05 × w / (1 − w) of a tick, in 0.6 that tell. That is a sixth of them
where it looks at half of the time, and a twentieth where it looks at a quarter."""
ENOUGH = 1e-3
"""So seldom does a counter that looks away agree as often by chance."""
LEAST_ENDS = 5
"""From so many windows on, agreement can be that improbable: 0.2⁵ < 0.001."""
CLEAR_J = 0.1
"""A load whose tick has less energy than this is lost in the counter's millijoules."""


@dataclass(frozen=True)
class LastTick:
    """What a counter counted of the tick in which a window ended."""

    loaded: float
    """Share of the tick until the window ended."""
    counted: float
    """The tick's joules above idling, as a share of what a tick under the window's load has."""


def last_tick(
    closing: Tick, period_s: float, ended_s: float, power_w: float, gap_w: float
) -> LastTick | None:
    """What the tick that closed a window tells; ``None`` where that is nothing.

    Args:
        closing: The tick; the search for it began after the window's end.
        period_s: The counter's.
        ended_s: When the window ended, by ``time.perf_counter``.
        power_w: The window's mean power.
        gap_w: The power that the device idles at after it.
    """
    ticks = max(1, math.ceil((closing.time_s - closing.sought_s) / period_s))
    loaded = (ended_s - (closing.time_s - ticks * period_s)) / period_s
    load_j = (power_w - gap_w) * period_s
    if load_j < CLEAR_J or not TELLING[0] <= loaded <= TELLING[1]:
        return None
    above_j = closing.energy_j - closing.sought_j - ticks * gap_w * period_s
    return LastTick(loaded, above_j / load_j)


class Coverage:
    """What the windows of a session have told of one counter."""

    def __init__(self) -> None:
        self._ends = self._agreed = 0
        self._shown = False

    @property
    def full_time(self) -> bool | None:
        """Whether this was shown; ``None`` before enough windows have told."""
        if self._shown or self._ends >= LEAST_ENDS:
            return self._shown
        return None

    def learn(self, last: LastTick | None) -> None:
        """Take the end of one more window into account, if it tells something."""
        if last is None:
            return
        self._ends += 1
        self._agreed += abs(last.counted - last.loaded) <= AGREED
        self._shown |= _at_least(self._agreed, self._ends, CHANCE) <= ENOUGH


def _at_least(hits: int, trials: int, chance: float) -> float:
    """Probability of so many hits or more."""
    return sum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(hits, trials + 1)
    )
