"""The phases of a counter's tick at which rounds begin."""

from __future__ import annotations

import random


class Phases:
    """Phases at which rounds begin, as shares of a period: one in each third of it, at random.

    This is a stratified sample (Cochran, *Sampling Techniques*, 1977, 5.1). For any load, the
    expected mean over the rounds is that of the whole period. It scatters less than with fully
    random phases if the load repeats with the sensor's period or more slowly. The ends of the
    thirds are left out, so that no two of three rounds have the same phase. Exact thirds would
    scatter even less for such loads, but would sample a load that repeats three times a period at
    the same moment in each round. After three rounds the phases are drawn again; otherwise later
    rounds would repeat the phases of the first ones.
    """

    STRATA = 3
    WITHIN = 0.75

    def __init__(self) -> None:
        self._random = random.Random()  # of its own: the measured program may seed the global one
        self._start = 0.0
        self._count = 0

    def next(self) -> float:
        """The phase of the next round, at least 0 and below 1."""
        place = self._count % self.STRATA
        if place == 0:
            self._start = self._random.random()
        self._count += 1
        return (self._start + (place + self.WITHIN * self._random.random()) / self.STRATA) % 1.0
