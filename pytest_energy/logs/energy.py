"""Joules from time-stamped readings, of a whole log or of any window in it.

Between two readings, power is assumed to change linearly (trapezoid), or to stay at the earlier
reading (sample and hold), or to be the mean that an energy counter shows. Readings that are further
apart than a limit, by default three median periods, leave a gap, and a gap gets no energy. A clock
that steps back leaves a gap, too, because the time between the two readings is unknown.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pytest_energy.errors import UsageError
from pytest_energy.uncertainty.gum import combine

Method = Literal["trapezoid", "hold", "counter"]
GAP_PERIODS = 3.0
"""The default limit: a longer pause, in median periods, is a gap."""
ROUNDING = 1e-6
"""A smaller uncovered share of the time is a rounding error.

Epoch seconds as floats have a resolution of about 0.2 µs.
"""


@dataclass(frozen=True)
class Reading:
    """One line of a log."""

    time_s: float
    """Seconds since the epoch (UTC), or since the start of the log."""
    value: float
    """Watts, or the joules on a counter."""


@dataclass(frozen=True)
class Piece:
    """The time between two readings; power changes linearly from one end to the other."""

    start_s: float
    end_s: float
    start_w: float
    end_w: float
    range_w: float
    """Width of the interval that contains the mean power: from one reading to the other."""

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s

    @property
    def energy_j(self) -> float:
        """The area of the trapezoid."""
        return (self.start_w + self.end_w) / 2 * self.duration_s

    def clipped(self, start_s: float, end_s: float) -> Piece:
        """The part inside a window that it overlaps."""
        start, end = max(self.start_s, start_s), min(self.end_s, end_s)
        return Piece(start, end, self._power_w(start), self._power_w(end), self.range_w)

    def _power_w(self, time_s: float) -> float:
        fraction = (time_s - self.start_s) / self.duration_s
        return self.start_w + fraction * (self.end_w - self.start_w)


@dataclass(frozen=True)
class Gap:
    """Time that the log does not cover."""

    cause: Literal["pause", "clock", "reset"]
    """``pause``: no reading; ``clock``: it stepped back, so that times came twice; ``reset``: the
    counter fell."""
    start_s: float
    end_s: float
    """Before ``start_s`` if the clock stepped back."""
    missing_s: float
    """The time missing; if the clock stepped back, one median period is assumed."""


@dataclass(frozen=True)
class Energy:
    """The energy of a time span of a log."""

    energy_j: float
    """Of the time covered; the rest counts nothing."""
    covered_s: float
    duration_s: float
    """Including the time missing."""
    sampling_j: float
    """Standard uncertainty because the power between readings is unknown."""
    gaps: tuple[Gap, ...] = ()

    @property
    def covered_share(self) -> float:
        """The share of the time that the log covers, from 0 to 1."""
        if self.duration_s <= 0:
            return 0.0
        share = self.covered_s / self.duration_s
        return share if share < 1 - ROUNDING else 1.0

    @property
    def missing_j(self) -> float:
        """Standard uncertainty because of gaps, in joules."""
        mean_w = self.energy_j / self.covered_s if self.covered_s > 0 else 0.0
        # The power in a gap is assumed to lie between 0 and twice the mean, a rectangular
        # distribution of half-width mean_w (JCGM 100:2008, 4.3.7).
        return mean_w * max(self.duration_s - self.covered_s, 0.0) / math.sqrt(3)


@dataclass(frozen=True)
class Channel:
    """The log of one instrument or device, in pieces; its clock may step back."""

    name: str
    pieces: tuple[Piece, ...]
    gaps: tuple[Gap, ...]
    period_s: float
    """Median time between readings."""

    @property
    def start_s(self) -> float:
        """The start of the first piece."""
        return self.pieces[0].start_s

    def energy(self) -> Energy:
        """The energy of the whole log."""
        missing_s = sum(gap.missing_s for gap in self.gaps)
        return _total(
            self.pieces, sum(piece.duration_s for piece in self.pieces) + missing_s, self.gaps
        )

    def energy_between(self, start_s: float, end_s: float) -> Energy:
        """The energy of a window, by the log's clock; time outside the log is not covered."""
        inside = [
            piece.clipped(start_s, end_s)
            for run in self._runs()
            for piece in _overlapping(run, start_s, end_s)
        ]
        gaps = [gap for gap in self.gaps if _touches(gap, start_s, end_s)]
        return _total(inside, end_s - start_s, gaps)

    def _runs(self) -> list[tuple[Piece, ...]]:
        """The pieces between steps back of the clock; within each run, times only grow."""
        cuts = [
            index
            for index, (earlier, later) in enumerate(pairwise(self.pieces), start=1)
            if later.start_s < earlier.end_s
        ]
        edges = [0, *cuts, len(self.pieces)]
        return [self.pieces[start:end] for start, end in pairwise(edges)]


def build_channel(
    name: str, readings: Sequence[Reading], method: Method, max_gap_s: float | None = None
) -> Channel:
    """Divide a log into pieces and gaps.

    Args:
        name: The name of the channel.
        readings: In the order of the log.
        method: The power between two readings; see the module.
        max_gap_s: The longest time between readings that is not a gap; by default three median
            periods.

    Raises:
        UsageError: There are fewer than two readings at different times, so there is no energy.
    """
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    forward = [step for step in steps if step > 0]
    if not forward:
        raise UsageError(
            f"{name}: {len(readings)} usable readings; two at different times are needed"
        )
    period_s = statistics.median(forward)
    limit_s = GAP_PERIODS * period_s if max_gap_s is None else max_gap_s
    pairs = [_between(*pair, method, limit_s, period_s) for pair in pairwise(readings)]
    pieces = tuple(part for part in pairs if isinstance(part, Piece))
    gaps = tuple(part for part in pairs if isinstance(part, Gap))
    if not pieces:
        raise UsageError(f"{name}: no two readings are within {limit_s:g} s of each other")
    return Channel(name, pieces, gaps, period_s)


def _between(
    earlier: Reading, later: Reading, method: Method, limit_s: float, period_s: float
) -> Piece | Gap | None:
    """The time between two readings; ``None`` if no time has passed."""
    step_s = later.time_s - earlier.time_s
    if step_s < 0:
        return Gap("clock", earlier.time_s, later.time_s, period_s)
    if method == "counter" and later.value < earlier.value:
        return Gap("reset", earlier.time_s, later.time_s, step_s)
    if method != "counter" and step_s > limit_s:  # a counter counts during a pause
        return Gap("pause", earlier.time_s, later.time_s, step_s)
    return _piece(earlier, later, method) if step_s > 0 else None


def _piece(earlier: Reading, later: Reading, method: Method) -> Piece:
    if method == "counter":
        mean_w = (later.value - earlier.value) / (later.time_s - earlier.time_s)
        return Piece(earlier.time_s, later.time_s, mean_w, mean_w, 0.0)
    end_w = earlier.value if method == "hold" else later.value
    range_w = abs(later.value - earlier.value)
    return Piece(earlier.time_s, later.time_s, earlier.value, end_w, range_w)


def _total(pieces: Iterable[Piece], duration_s: float, gaps: Iterable[Gap]) -> Energy:
    parts = tuple(pieces)
    return Energy(
        energy_j=math.fsum(piece.energy_j for piece in parts),
        covered_s=math.fsum(piece.duration_s for piece in parts),
        duration_s=duration_s,
        # The mean power of a piece lies anywhere between its two readings: a rectangular
        # distribution (JCGM 100:2008, 4.3.7).
        sampling_j=combine(piece.range_w * piece.duration_s for piece in parts) / math.sqrt(12),
        gaps=tuple(gaps),
    )


def _overlapping(run: Sequence[Piece], start_s: float, end_s: float) -> Sequence[Piece]:
    first = bisect.bisect_right(run, start_s, key=lambda piece: piece.end_s)
    last = bisect.bisect_left(run, end_s, key=lambda piece: piece.start_s)
    return run[first:last]


def _touches(gap: Gap, start_s: float, end_s: float) -> bool:
    low, high = sorted((gap.start_s, gap.end_s))
    return low < end_s and high > start_s
