"""The phases of a counter's tick at which rounds begin."""

from __future__ import annotations

import math
import random


class Phases:
    """Phases at which rounds begin, as shares of a period: one in each third of it, at random.

    This is a stratified sample (Cochran, *Sampling Techniques*, 1977, 5.1). For any load, the
    expected mean over the rounds is that of the whole period. It scatters less than with fully
    random phases if the load repeats with the sensor's period or more slowly. The ends of the
    thirds are left out, so that no two of three rounds have the same phase. Exact thirds would
    scatter even less for such loads, but would sample a load that repeats three times a period at
    the same moment in each round. After three rounds the thirds move on; otherwise later rounds
    would repeat the phases of the first ones. They move by a part of a third, so that any three
    rounds in a row have a phase in each, whichever of them is the first of a benchmark. By the
    golden ratio the moves come near no place again.
    """

    STRATA = 3
    WITHIN = 0.75
    MOVE = (math.sqrt(5) - 1) / 2 / STRATA**2

    def __init__(self) -> None:
        self._random = random.Random()  # of its own: the measured program may seed the global one
        self._start = self._random.random()
        self._count = 0

    def next(self) -> float:
        """The phase of the next round, at least 0 and below 1."""
        turn, place = divmod(self._count, self.STRATA)
        self._count += 1
        start = self._start + turn * self.MOVE
        return (start + (place + self.WITHIN * self._random.random()) / self.STRATA) % 1.0
