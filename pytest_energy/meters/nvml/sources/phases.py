"""At which moments of a counter's tick rounds begin."""

from __future__ import annotations

import random


class Phases:
    """Shares of a period at which rounds begin: one in each third of it, at random within.

    A stratified sample (Cochran, *Sampling Techniques*, 1977, 5.1): the mean over rounds is that of
    the whole period for any load, and scatters less than that of rounds at random where the load
    repeats as the sensor looks, or less often. The ends of the thirds are left out, so that no two
    of three rounds look alike. Thirds exactly would do better still for such loads, but meet one
    that repeats three times a period at the same moment in each round. Each three rounds begin
    anew, lest later ones crowd at the phases of the first.
    """

    STRATA = 3
    WITHIN = 0.75

    def __init__(self) -> None:
        self._random = random.Random()  # the measured program's seed is left alone
        self._start = 0.0
        self._count = 0

    def next(self) -> float:
        """The next one, from 0 up to 1."""
        place = self._count % self.STRATA
        if place == 0:
            self._start = self._random.random()
        self._count += 1
        return (self._start + (place + self.WITHIN * self._random.random()) / self.STRATA) % 1.0
