"""Readings that cannot be: above a limit, a sensor that never moves, rows of no or all energy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pytest_energy.logs.energy import Reading
from pytest_energy.logs.wording import agree, counted
from pytest_energy.model.measurement import Reason, ReasonCode

GPU_LIMIT_W: Final = 5e3
"""No GPU draws more."""
LIMIT_W: Final = 1e7
"""No meter of a machine room reads more."""
USUAL_W: Final = (1e-3, 5e4)
GPU_USUAL_W: Final = (1.0, GPU_LIMIT_W)
"""Power outside of this range is worth a remark: its unit may be wrong."""
ABOVE_LIMIT: Final = 1.25
"""GPUs pass their limit for moments; by more than this they do not."""
LARGEST_OF_16_BITS: Final = frozenset(("32767", "65535"))
FEWEST_NINES: Final = 4
OUTLYING: Final = 1.5
"""The largest number of 16 bits or of a display is no reading if it is above all others by this."""
LONG_STILLNESS: Final = 100
LONG_RATIO: Final = 10.0
"""So many equal readings in a row, and so many times as many as usual, are worth a remark."""
FEW_ROWS: Final = 20
"""Joules of rows rise this often in a row only if they are a counter's."""
FEWEST_TO_SUM: Final = 5
SUM_SHARE: Final = 1e-3
"""A last row that is so close to the sum of so many before it is their total."""
OUTLYING_ROW: Final = 10.0
"""A row that has so many times the joules of the next largest is worth a remark."""


@dataclass(frozen=True)
class Checked:
    """Readings without those that cannot be."""

    readings: tuple[Reading, ...]
    remarks: tuple[Reason, ...] = ()


def check_power(
    name: str, readings: Sequence[Reading], limits_w: Sequence[float | None], gpu: bool
) -> Checked:
    """Leave out readings above the logged or known limit; find a sensor that never moves."""
    known_w = GPU_LIMIT_W if gpu else LIMIT_W
    possible = [
        reading
        for reading, limit_w in zip(readings, limits_w, strict=True)
        if reading.value <= min(known_w, ABOVE_LIMIT * limit_w if limit_w else known_w)
    ]
    usable = _without_display_limits(possible)
    remarks = []
    if above := len(readings) - len(possible):
        highest_w = max(reading.value for reading in readings)
        remarks.append(
            Reason(
                code=ReasonCode.IMPLAUSIBLE_POWER,
                message=f"{name}: {above} of {len(readings)} readings {agree(above, 'is', 'are')}"
                f" above the limit of the device (up to {highest_w:.6g} W) and"
                f" {agree(above, 'was', 'were')} left out",
                fatal=not usable,
            )
        )
    remarks += _display_limits(name, "reading", len(possible) - len(usable))
    remarks += _zero_power(name, usable, gpu) or _equal_power(name, usable)
    usual = GPU_USUAL_W if gpu else USUAL_W
    remarks += unusual(name, [reading.value for reading in usable if reading.value], usual)
    if negative := sum(reading.value < 0 for reading in usable):
        are = agree(negative, "is", "are")
        remarks.append(note(f"{name}: {negative} of {len(usable)} readings {are} negative"))
    return Checked(tuple(usable), tuple(remarks))


def _zero_power(name: str, readings: Sequence[Reading], gpu: bool) -> list[Reason]:
    """A remark on readings of 0 W, each of which may be a missing one."""
    zeros = sum(reading.value == 0 for reading in readings)
    if not zeros:
        return []
    if zeros == len(readings):
        return [still(f"{name}: all {zeros} readings are 0 W: nothing was measured")]
    doubt = "a GPU that is on draws more" if gpu else "is that power, or a missing reading?"
    are = agree(zeros, "is", "are")
    return [note(f"{name}: {zeros} of {len(readings)} readings {are} 0 W; {doubt}")]


def _equal_power(name: str, readings: Sequence[Reading]) -> list[Reason]:
    """A remark on a sensor that may have stopped."""
    start, length, usual = longest_run([reading.value for reading in readings])
    if length < LONG_STILLNESS:
        return []
    if length == len(readings):
        return [note(f"{name}: all {length} readings are equal")]
    if length < LONG_RATIO * usual:
        return []
    equal_w = readings[start].value
    return [note(f"{name}: {length} readings in a row are equal ({equal_w:.6g} W)")]


def longest_run(values: Sequence[float]) -> tuple[int, int, float]:
    """Start and length of the longest run of equal values, and the median length of all runs."""
    edges = [0, *(n for n, (a, b) in enumerate(pairwise(values), start=1) if a != b), len(values)]
    lengths = [end - start for start, end in pairwise(edges)]
    longest = max(lengths)
    return edges[lengths.index(longest)], longest, statistics.median(lengths)


def _without_display_limits(readings: Sequence[Reading]) -> list[Reading]:
    """The readings without the largest numbers of a display, if no other is as large."""
    others = [abs(reading.value) for reading in readings if not _is_display_limit(reading.value)]
    highest = max(others, default=math.inf)
    return [
        reading
        for reading in readings
        if reading.value <= OUTLYING * highest or not _is_display_limit(reading.value)
    ]


def _is_display_limit(value: float) -> bool:
    """Whether a number is all nines, or the largest of 16 bits, wherever its point is."""
    digits = f"{value:.10g}".replace(".", "").strip("0")
    return digits in LARGEST_OF_16_BITS or (set(digits) == {"9"} and len(digits) >= FEWEST_NINES)


def _display_limits(name: str, noun: str, number: int) -> list[Reason]:
    if not number:
        return []
    are = agree(number, "is", "are")
    return [note(f"{name}: {counted(number, noun)} {are} the largest of a display; left out")]


def check_rows(
    name: str, readings: Sequence[Reading], durations_s: Sequence[float] | None, gpu: bool
) -> Checked:
    """Joules of rows: some are not zero, none is negative, and none is the total of the others.

    Args:
        name: The name of the channel.
        readings: The time and the joules of each row.
        durations_s: The length of each row; without it, the median time between rows.
        gpu: Whether each row is of one GPU.
    """
    usable = _without_display_limits(readings)
    remarks = _display_limits(name, "row", len(readings) - len(usable))
    if _ends_with_total(usable):
        usable = usable[:-1]
        remarks.append(note(f"{name}: the last row is the total of those before it; left out"))
    remarks += _zero_rows(name, usable, gpu)
    if negative := sum(reading.value < 0 for reading in usable):
        message = f"{name}: {counted(negative, 'row')} {agree(negative, 'is', 'are')} negative"
        remarks.append(Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message))
    impossible = _impossible_rows(name, readings, durations_s, GPU_LIMIT_W if gpu else LIMIT_W)
    remarks += impossible or _far_above(name, usable)
    rises = [later.value - earlier.value for earlier, later in pairwise(usable)]
    first = usable[0].value if usable else 0.0
    many = len(rises) >= FEW_ROWS and min(rises) >= 0 and max(rises) > 0
    steep = len(rises) >= 4 and min(rises) > 0 and usable[-1].value > 3 * first
    if many or steep:
        remarks.append(note(f"{name}: the rows only ever rise, as those of a counter do"))
    return Checked(tuple(usable), tuple(remarks))


def _ends_with_total(readings: Sequence[Reading]) -> bool:
    *rows, last = [reading.value for reading in readings] or [0.0]
    return len(rows) >= FEWEST_TO_SUM and math.isclose(last, math.fsum(rows), rel_tol=SUM_SHARE)


def _zero_rows(name: str, readings: Sequence[Reading], gpu: bool) -> list[Reason]:
    """A remark on rows of 0 J, whose joules may be missing."""
    zeros = sum(reading.value == 0 for reading in readings)
    if not zeros:
        return []
    if zeros == len(readings):
        return [still(f"{name}: all rows have 0 J: nothing was measured")]
    have = agree(zeros, "has", "have")
    doubt = "a GPU that is on draws more, so that" if gpu else "perhaps"
    return [
        note(
            f"{name}: {zeros} of {len(readings)} rows {have} 0 J; {doubt} their joules are missing,"
            " or counted in other rows"
        )
    ]


def _impossible_rows(
    name: str, readings: Sequence[Reading], durations_s: Sequence[float] | None, limit_w: float
) -> list[Reason]:
    """A fault if a row has an impossible power."""
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    usual_s = statistics.median([step for step in steps if step > 0] or [math.inf])
    lengths_s = durations_s or [usual_s] * len(readings)
    highest_w = max((r.value / s for r, s in zip(readings, lengths_s, strict=True)), default=0.0)
    if highest_w > limit_w:
        message = f"{name}: a row has {highest_w:.4g} W on average, which is impossible"
        return [Reason(code=ReasonCode.IMPLAUSIBLE_POWER, message=message)]
    return []


def _far_above(name: str, readings: Sequence[Reading]) -> list[Reason]:
    """A remark on a row that is far above all others."""
    if len(readings) < FEWEST_TO_SUM:
        return []
    *_, second, largest = sorted(reading.value for reading in readings)
    if largest <= OUTLYING_ROW * second:
        return []
    many = f", {largest / second:.3g} times as much as any other" if second > 0 else ""
    return [note(f"{name}: one row has {largest:.6g} J{many}; is it a total?")]


def unusual(name: str, powers_w: Sequence[float], usual: tuple[float, float]) -> list[Reason]:
    """A remark on a power that hints at a wrong unit."""
    lowest_w, highest_w = usual
    usual_w = statistics.median(map(abs, powers_w)) if powers_w else lowest_w
    if lowest_w <= usual_w <= highest_w:
        return []
    return [note(f"{name}: a power of {usual_w:.4g} W is unusual; is its unit right?")]


def still(message: str) -> Reason:
    """A fault: nothing was measured."""
    return Reason(code=ReasonCode.METER_FAILED, message=message)


def note(message: str) -> Reason:
    """A remark that changes nothing."""
    return Reason(code=ReasonCode.NOTE, message=message, fatal=False)
