"""Joules from time-stamped readings, of a whole log or of any window in it.

Between two readings, power is assumed to change linearly (trapezoid), or to stay at the earlier
reading (sample and hold), or to be the mean that an energy counter shows. Readings that are further
apart than a limit, by default three periods, leave a gap, and a gap gets no energy. A clock that
steps back leaves a gap, too, because the time between the two readings is unknown.

Rows can also have the energy of an interval of their own. A missing row is missing energy, so that
their limit is one and a half periods.
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
from pytest_energy.logs.wording import counted
from pytest_energy.uncertainty.gum import combine

Method = Literal["trapezoid", "hold", "counter"]
GAP_PERIODS = 3.0
"""The default limit: a longer pause, in periods, is a gap."""
ROW_GAP_PERIODS = 1.5
"""The same for rows that have the energy of an interval each."""
LATE_SHARE = 0.9
LATE_RATIO = 2.0
LATE_MOST = 5.0
"""A logger that is late now and then: pauses up to twice the period that 90 % of the steps stay
below are no gaps, unless that is more than five median periods."""
FEWEST_UPDATES = 10
MOST_POLLS = 20
"""A sensor is polled several times an update: so many updates must be seen, each at most so many
polls long, to know its period."""
STILL_SHARE = 0.3
"""A counter that stands still in more of the steps has coarse steps."""
FINEST_STEP = 0.01
"""A step of a counter that is a smaller share of its largest rise does not matter."""
FEWEST_STEPS = 5
REGULAR = 0.2
REGULAR_SHARE = 0.8
CLOSE = 0.05
WHOLE_SHARE = 0.9
"""A log is regular if the first share of its steps is so close to their median, or if the second is
so close to whole multiples of it."""
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

    cause: Literal["pause", "clock", "reset", "row"]
    """``pause``: no reading; ``clock``: it stepped back, so that times came twice; ``reset``: the
    counter fell; ``row``: a row with energy is missing."""
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
    resolution_j: float = 0.0
    """Standard uncertainty because a counter counts in steps, or stamps are of whole seconds."""

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
    resolution_j: float = 0.0
    """Standard uncertainty of the difference of two readings of a counter, or of two stamps."""
    missing: int = 0
    """Readings, or rows of energy, that a regular log lacks outside of gaps."""
    limit_s: float = 0.0
    """The longest time between readings that is not a gap; 0 if each row has its own duration."""

    @property
    def start_s(self) -> float:
        """The start of the first piece."""
        return self.pieces[0].start_s

    @property
    def end_s(self) -> float:
        """The end of the last piece."""
        return self.pieces[-1].end_s

    def energy(self) -> Energy:
        """The energy of the whole log."""
        missing_s = sum(gap.missing_s for gap in self.gaps)
        duration_s = sum(piece.duration_s for piece in self.pieces) + missing_s
        return _total(self.pieces, duration_s, self.gaps, self.resolution_j)

    def energy_between(self, start_s: float, end_s: float) -> Energy:
        """The energy of a window, by the log's clock; time outside the log is not covered."""
        inside = [
            piece.clipped(start_s, end_s)
            for run in self._runs()
            for piece in _overlapping(run, start_s, end_s)
        ]
        gaps = [gap for gap in self.gaps if _touches(gap, start_s, end_s)]
        return _total(inside, end_s - start_s, gaps, self.resolution_j)

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
        max_gap_s: The longest time between readings that is not a gap; by default three periods of
            the log, or of the sensor if it is polled more often than it updates.

    Raises:
        UsageError: There are fewer than two readings at different times, so there is no energy.
    """
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    forward = [step for step in steps if step > 0]
    if not forward:
        raise UsageError(
            f"{name}: {counted(len(readings), 'usable reading')}; two at different times are needed"
        )
    period_s = statistics.median(forward)
    limit_s = _gap_limit(readings, forward, period_s) if max_gap_s is None else max_gap_s
    scatter_w = _scatter(readings) if method != "counter" else 0.0
    pairs = [_between(*pair, method, limit_s, period_s, scatter_w) for pair in pairwise(readings)]
    pieces = tuple(part for part in pairs if isinstance(part, Piece))
    gaps = tuple(part for part in pairs if isinstance(part, Gap))
    if not pieces:
        raise UsageError(f"{name}: no two readings are within {limit_s:g} s of each other")
    resolution_j = (
        _counter_resolution(readings)
        if method == "counter"
        else _stamp_resolution(readings, steps, pieces)
    )
    lengths = [piece.duration_s for piece in pieces]
    missing = _missing(lengths, period_s) if method != "counter" else 0
    return Channel(name, pieces, gaps, period_s, resolution_j, missing, limit_s)


def build_row_channel(
    name: str,
    rows: Sequence[Reading],
    durations_s: Sequence[float] | None = None,
    row_start: bool = False,
    max_gap_s: float | None = None,
) -> Channel:
    """A channel of rows that have the energy of an interval each.

    Args:
        name: The name of the channel.
        rows: The time and the joules of each row, in the order of time.
        durations_s: The length of each row's interval. Without it, an interval reaches to the time
            of the next row or the row before, and a longer pause is a gap.
        row_start: Whether a row's time is the start of its interval, not the end.
        max_gap_s: The longest interval without ``durations_s``; by default one and a half median
            periods.

    Raises:
        UsageError: Intervals overlap, or there are fewer than two rows without durations.
    """
    if durations_s is not None:
        pieces = tuple(
            piece
            for row, duration_s in zip(rows, durations_s, strict=True)
            for piece in [_row(row, duration_s, row_start)]
        )
        ordered = tuple(sorted(pieces, key=lambda piece: piece.start_s))
        _refuse_overlap(name, ordered)
        starts = [later.start_s - earlier.start_s for earlier, later in pairwise(ordered)]
        period_s = statistics.median(starts) if starts else durations_s[0]
        return Channel(name, ordered, (), period_s, missing=_missing(starts, period_s))
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(rows)]
    if not steps or min(steps) <= 0:
        raise UsageError(f"{name}: two rows or more in the order of time are needed")
    period_s = statistics.median(steps)
    limit_s = ROW_GAP_PERIODS * period_s if max_gap_s is None else max_gap_s
    own_steps = [*steps, period_s] if row_start else [period_s, *steps]
    lengths = [step if step <= limit_s else period_s for step in own_steps]
    pieces = tuple(_row(row, length, row_start) for row, length in zip(rows, lengths, strict=True))
    gaps = tuple(
        Gap("row", earlier.end_s, later.start_s, later.start_s - earlier.end_s)
        for earlier, later in pairwise(pieces)
        if later.start_s - earlier.end_s > ROUNDING * period_s
    )
    return Channel(name, pieces, gaps, period_s, limit_s=limit_s)


def _row(row: Reading, duration_s: float, row_start: bool) -> Piece:
    start_s = row.time_s if row_start else row.time_s - duration_s
    power_w = row.value / duration_s
    return Piece(start_s, start_s + duration_s, power_w, power_w, 0.0)


def _refuse_overlap(name: str, pieces: Sequence[Piece]) -> None:
    """Rows that overlap count joules twice, or are of several devices."""
    for earlier, later in pairwise(pieces):
        # Clocks of whole seconds make adjacent rows overlap by up to one.
        if later.start_s < earlier.end_s - max(1.0, 0.05 * earlier.duration_s):
            raise UsageError(
                f"{name}: rows overlap: one ends {earlier.end_s - later.start_s:.6g} s after the"
                " next begins. Name the column that tells them apart with --device-column, and"
                " those that count with --devices"
            )


def _gap_limit(readings: Sequence[Reading], steps: Sequence[float], period_s: float) -> float:
    """The longest pause that is no gap, in seconds."""
    late_s = sorted(steps)[int(LATE_SHARE * (len(steps) - 1))]
    limits = [GAP_PERIODS * period_s]
    if late_s <= LATE_MOST * period_s:
        limits.append(LATE_RATIO * late_s)
    if update_s := _update_period(readings, period_s):
        limits.append(GAP_PERIODS * update_s)
    return max(limits)


def _update_period(readings: Sequence[Reading], period_s: float) -> float | None:
    """The median time between changes of the value; ``None`` if it is not that of a sensor."""
    changes = [
        later.time_s for earlier, later in pairwise(readings) if later.value != earlier.value
    ]
    spans = [later - earlier for earlier, later in pairwise(changes) if later > earlier]
    if len(spans) < FEWEST_UPDATES:
        return None
    update_s = statistics.median(spans)
    # A load that rests has no changes for long; a sensor's updates are regular.
    regular = sum(0.5 * update_s <= span <= 2 * update_s for span in spans)
    if regular < 0.5 * len(spans) or update_s > MOST_POLLS * period_s:
        return None
    return update_s


def _counter_resolution(readings: Sequence[Reading]) -> float:
    """Standard uncertainty of a difference of readings, in joules, of a counter with coarse steps.

    Each reading lies up to a step below the truth: two rectangular distributions (JCGM 100:2008,
    4.3.7).
    """
    rises = [later.value - earlier.value for earlier, later in pairwise(readings)]
    positive = [rise for rise in rises if rise > 0]
    if not positive:
        return 0.0
    still = sum(rise == 0 for rise in rises) >= STILL_SHARE * len(rises)
    if still:
        return statistics.median(positive) / math.sqrt(6)
    steps_s = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    period_s = statistics.median(steps_s)
    # A lost row doubles a rise, which is no sign of a step.
    alike = [
        rise
        for rise, step_s in zip(rises, steps_s, strict=True)
        if rise > 0 and abs(step_s - period_s) <= REGULAR * period_s
    ]
    return _common_step(alike) / math.sqrt(6)


def _common_step(rises_j: Sequence[float]) -> float:
    """The largest step of which all rises of a counter are whole multiples, in joules; 0 without.

    A counter in kWh with three decimals rises by multiples of 3600 J. Equal rises show no step.
    """
    distinct = set(rises_j)
    if len(rises_j) < FEWEST_STEPS or max(distinct) - min(distinct) < CLOSE * min(distinct):
        return 0.0
    rounding_j, finest_j = ROUNDING * max(distinct), FINEST_STEP * max(distinct)
    step_j = 0.0
    for rise_j in distinct:  # Euclid's algorithm, with the rounding of floats
        larger, smaller = rise_j, step_j
        while smaller > rounding_j:
            rest = larger % smaller
            larger, smaller = smaller, min(rest, smaller - rest)
        step_j = larger
        if step_j < finest_j:
            return 0.0
    return step_j


def _stamp_resolution(
    readings: Sequence[Reading], steps_s: Sequence[float], pieces: Sequence[Piece]
) -> float:
    """Standard uncertainty of the length of a log with stamps of whole seconds, in joules.

    The first and the last stamp are up to a second before the reading: two rectangular
    distributions (JCGM 100:2008, 4.3.7). Stamps at equal distances are as late as each other.
    """
    if len(set(steps_s)) == 1 or any(reading.time_s % 1 for reading in readings):
        return 0.0
    covered_s = math.fsum(piece.duration_s for piece in pieces)
    mean_w = math.fsum(piece.energy_j for piece in pieces) / covered_s
    return abs(mean_w) / math.sqrt(6)


def _missing(steps_s: Sequence[float], period_s: float) -> int:
    """The number of readings that a regular log lacks, by the time between those that it has."""
    steps = [step_s / period_s for step_s in steps_s] if period_s > 0 else []
    regular = sum(abs(step - 1) <= REGULAR for step in steps)
    # Where many are lost, the steps are still whole periods.
    whole = sum(abs(step - round(step)) <= CLOSE and round(step) > 0 for step in steps)
    if len(steps) < FEWEST_STEPS or 2 * regular < len(steps):
        return 0
    if regular < REGULAR_SHARE * len(steps) and whole < WHOLE_SHARE * len(steps):
        return 0
    return sum(round(step) - 1 for step in steps if step > 1.5)


def _scatter(readings: Sequence[Reading]) -> float:
    """The root mean square distance of a reading from the line between its neighbours, in watts.

    The other readings show by this how wrong a missing one is that is interpolated.
    """
    squares = [
        (here.value - before.value - (after.value - before.value) * share) ** 2
        for before, here, after in zip(readings, readings[1:], readings[2:], strict=False)
        if before.time_s < here.time_s < after.time_s
        for share in [(here.time_s - before.time_s) / (after.time_s - before.time_s)]
    ]
    return math.sqrt(statistics.fmean(squares)) if squares else 0.0


def _between(
    earlier: Reading,
    later: Reading,
    method: Method,
    limit_s: float,
    period_s: float,
    scatter_w: float,
) -> Piece | Gap | None:
    """The time between two readings; ``None`` if no time has passed."""
    step_s = later.time_s - earlier.time_s
    if step_s < 0:
        return Gap("clock", earlier.time_s, later.time_s, period_s)
    if method == "counter" and later.value < earlier.value:
        return Gap("reset", earlier.time_s, later.time_s, step_s)
    if method != "counter" and step_s > limit_s:  # a counter counts during a pause
        return Gap("pause", earlier.time_s, later.time_s, step_s)
    # Readings that are missing between the two, each of which stands for a period.
    missing = max(round(step_s / period_s) - 1, 0)
    missing_w = scatter_w * missing * period_s / step_s if step_s > 0 else 0.0
    return _piece(earlier, later, method, missing_w) if step_s > 0 else None


def _piece(earlier: Reading, later: Reading, method: Method, missing_w: float) -> Piece:
    if method == "counter":
        mean_w = (later.value - earlier.value) / (later.time_s - earlier.time_s)
        return Piece(earlier.time_s, later.time_s, mean_w, mean_w, 0.0)
    end_w = earlier.value if method == "hold" else later.value
    range_w = max(abs(later.value - earlier.value), missing_w * math.sqrt(12))
    return Piece(earlier.time_s, later.time_s, earlier.value, end_w, range_w)


def _total(
    pieces: Iterable[Piece], duration_s: float, gaps: Iterable[Gap], resolution_j: float
) -> Energy:
    parts = tuple(pieces)
    return Energy(
        energy_j=math.fsum(piece.energy_j for piece in parts),
        covered_s=math.fsum(piece.duration_s for piece in parts),
        duration_s=duration_s,
        # The mean power of a piece lies anywhere between its two readings: a rectangular
        # distribution (JCGM 100:2008, 4.3.7).
        sampling_j=combine(piece.range_w * piece.duration_s for piece in parts) / math.sqrt(12),
        gaps=tuple(gaps),
        resolution_j=resolution_j,
    )


def _overlapping(run: Sequence[Piece], start_s: float, end_s: float) -> Sequence[Piece]:
    first = bisect.bisect_right(run, start_s, key=lambda piece: piece.end_s)
    last = bisect.bisect_left(run, end_s, key=lambda piece: piece.start_s)
    return run[first:last]


def _touches(gap: Gap, start_s: float, end_s: float) -> bool:
    low, high = sorted((gap.start_s, gap.end_s))
    return low < end_s and high > start_s
