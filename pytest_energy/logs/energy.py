"""From time-stamped readings to joules, of the whole log or of any window in it.

Between two readings, power is taken to go straight from one to the other (trapezoid), or to stay at
the earlier one (sample and hold), or, from an energy counter, to be the mean that the counter
shows. Where readings are further apart than a threshold, three median periods unless told
otherwise, there is a gap: no energy is made up for it. Where the clock steps back, the time between
the two readings is not known: that is a gap, too.
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
"""A pause of so many median periods is a gap, unless told otherwise."""
ROUNDING = 1e-6
"""A share of time below this is lost to rounding: epoch seconds are floats of about 0.2 µs."""


@dataclass(frozen=True)
class Reading:
    """What an instrument said."""

    time_s: float
    """Seconds since the epoch (UTC), or since the log's own beginning."""
    value: float
    """Watts, or joules of a counter."""


@dataclass(frozen=True)
class Piece:
    """The time between two readings; power goes straight from one end to the other."""

    start_s: float
    end_s: float
    start_w: float
    end_w: float
    doubt_w: float
    """Full width of what the mean power may be, where it lies between the two readings."""

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s

    @property
    def energy_j(self) -> float:
        """The trapezoid's area."""
        return (self.start_w + self.end_w) / 2 * self.duration_s

    def clipped(self, start_s: float, end_s: float) -> Piece:
        """The part of it that lies in a window which it overlaps."""
        start, end = max(self.start_s, start_s), min(self.end_s, end_s)
        return Piece(start, end, self._power_w(start), self._power_w(end), self.doubt_w)

    def _power_w(self, time_s: float) -> float:
        share = (time_s - self.start_s) / self.duration_s
        return self.start_w + share * (self.end_w - self.start_w)


@dataclass(frozen=True)
class Gap:
    """Time that the log does not cover."""

    cause: Literal["pause", "clock", "reset"]
    """No reading for long, a clock that stepped back (times came twice), a counter that fell."""
    start_s: float
    end_s: float
    """Before ``start_s`` where the clock stepped back."""
    missing_s: float
    """How much time is missing; one median period is assumed where the clock stepped back."""


@dataclass(frozen=True)
class Energy:
    """What a log says of a stretch of time."""

    energy_j: float
    """Of the time covered; nothing is made up for the rest."""
    covered_s: float
    duration_s: float
    """With what is missing."""
    sampling_j: float
    """Standard uncertainty from not knowing the power between readings."""
    gaps: tuple[Gap, ...] = ()

    @property
    def covered_share(self) -> float:
        """From 0, nothing, to 1, everything."""
        if self.duration_s <= 0:
            return 0.0
        share = self.covered_s / self.duration_s
        return share if share < 1 - ROUNDING else 1.0

    @property
    def missing_j(self) -> float:
        """Standard uncertainty from gaps: their power is between nothing and twice the mean."""
        mean_w = self.energy_j / self.covered_s if self.covered_s > 0 else 0.0
        return mean_w * max(self.duration_s - self.covered_s, 0.0) / math.sqrt(3)


@dataclass(frozen=True)
class Channel:
    """The log of one instrument or device, cut into pieces; its clock may step back."""

    name: str
    pieces: tuple[Piece, ...]
    gaps: tuple[Gap, ...]
    period_s: float
    """Median time between readings."""

    @property
    def start_s(self) -> float:
        """When the first piece starts."""
        return self.pieces[0].start_s

    def energy(self) -> Energy:
        """Of the whole log."""
        missing_s = sum(gap.missing_s for gap in self.gaps)
        return _total(self.pieces, sum(p.duration_s for p in self.pieces) + missing_s, self.gaps)

    def energy_between(self, start_s: float, end_s: float) -> Energy:
        """Of a window, by the log's clock; what lies outside the log is not covered."""
        inside = [
            piece.clipped(start_s, end_s)
            for run in self._runs()
            for piece in _overlapping(run, start_s, end_s)
        ]
        gaps = [gap for gap in self.gaps if _touches(gap, start_s, end_s)]
        return _total(inside, end_s - start_s, gaps)

    def _runs(self) -> list[tuple[Piece, ...]]:
        """The pieces between steps back of the clock: within each, times only grow."""
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
    """Cut a log into pieces and gaps.

    Args:
        name: What the channel is to be called.
        readings: In the order of the log.
        method: How to go from reading to reading.
        max_gap_s: Readings further apart make a gap; three median periods by default.

    Raises:
        UsageError: Fewer than two readings at different times: no time, no energy.
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
    """What the time between two readings is; ``None`` where none has passed."""
    step_s = later.time_s - earlier.time_s
    if step_s < 0:
        return Gap("clock", earlier.time_s, later.time_s, period_s)
    if method == "counter" and later.value < earlier.value:
        return Gap("reset", earlier.time_s, later.time_s, step_s)
    if method != "counter" and step_s > limit_s:  # a counter goes on counting in a pause
        return Gap("pause", earlier.time_s, later.time_s, step_s)
    return _piece(earlier, later, method) if step_s > 0 else None


def _piece(earlier: Reading, later: Reading, method: Method) -> Piece:
    if method == "counter":
        mean_w = (later.value - earlier.value) / (later.time_s - earlier.time_s)
        return Piece(earlier.time_s, later.time_s, mean_w, mean_w, 0.0)
    end_w = earlier.value if method == "hold" else later.value
    doubt_w = abs(later.value - earlier.value)
    return Piece(earlier.time_s, later.time_s, earlier.value, end_w, doubt_w)


def _total(pieces: Iterable[Piece], duration_s: float, gaps: Iterable[Gap]) -> Energy:
    kept = tuple(pieces)
    return Energy(
        energy_j=math.fsum(piece.energy_j for piece in kept),
        covered_s=math.fsum(piece.duration_s for piece in kept),
        duration_s=duration_s,
        # the mean of a piece lies evenly between its two readings (GUM 4.3.7)
        sampling_j=combine(piece.doubt_w * piece.duration_s for piece in kept) / math.sqrt(12),
        gaps=tuple(gaps),
    )


def _overlapping(run: Sequence[Piece], start_s: float, end_s: float) -> Sequence[Piece]:
    first = bisect.bisect_right(run, start_s, key=lambda piece: piece.end_s)
    last = bisect.bisect_left(run, end_s, key=lambda piece: piece.start_s)
    return run[first:last]


def _touches(gap: Gap, start_s: float, end_s: float) -> bool:
    low, high = sorted((gap.start_s, gap.end_s))
    return low < end_s and high > start_s
