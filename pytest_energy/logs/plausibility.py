"""Readings that cannot be: above a limit, dips of a counter, a sensor that never moves."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pytest_energy.errors import UsageError
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
ROUND_SENTINELS_W: Final = frozenset(
    number * scale
    for number in (32767.0, 65535.0, 9999.0, 99999.0, 999999.0)
    for scale in (1.0, 0.1, 0.01, 1e-3)
)
"""The largest numbers of 16 bits and of displays; readings only if others are as large."""
OUTLYING: Final = 5.0
JUMP_RATIO: Final = 200.0
JUMP_W: Final = 2e4
"""A step of a counter at more power than both is a jump of the number, not energy."""
ZERO_RATIO: Final = 20.0
ZERO_HIGHEST: Final = 5.0
ZERO_W: Final = 2e3
"""A counter that begins with a zero jumps if its first step is steeper than the usual one and the
steepest other one by these, and than the power of any one device. Else a load begins the log."""
LONGEST_GLITCH: Final = 3
"""Readings in a row that a counter's glitch may spoil."""
GLITCH_RATIO: Final = 5.0
"""The power across a glitch is within this factor of that of other steps."""
LONG_STILLNESS: Final = 100
"""So many equal readings in a row are worth a remark."""
FEW_ROWS: Final = 20
"""Joules of rows rise this often in a row only if they are a counter's."""
ROW_LIMIT_W: Final = 1e4
"""A row of more joules a second is a counter's reading."""


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
    usual_w = statistics.median(reading.value for reading in possible) if possible else 0.0
    usable = [
        reading
        for reading in possible
        if reading.value not in ROUND_SENTINELS_W or reading.value <= OUTLYING * usual_w
    ]
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
    if blank := len(possible) - len(usable):
        remarks.append(
            _note(
                f"{name}: {counted(blank, 'reading')} {agree(blank, 'is', 'are')} the largest of a"
                " display; left out"
            )
        )
    zeros = sum(reading.value == 0 for reading in usable)
    if usable and zeros == len(usable):
        remarks.append(_still(f"{name}: all {zeros} readings are 0 W: nothing was measured"))
    elif zeros and gpu:
        remarks.append(
            _note(
                f"{name}: {zeros} of {len(usable)} readings {agree(zeros, 'is', 'are')} 0 W; a GPU"
                " that is on draws more"
            )
        )
    elif len(usable) >= LONG_STILLNESS and len({reading.value for reading in usable}) == 1:
        remarks.append(_note(f"{name}: all {len(usable)} readings are equal"))
    usual = GPU_USUAL_W if gpu else USUAL_W
    remarks += _unusual(name, [reading.value for reading in usable if reading.value], usual)
    if negative := sum(reading.value < 0 for reading in usable):
        are = agree(negative, "is", "are")
        remarks.append(_note(f"{name}: {negative} of {len(usable)} readings {are} negative"))
    return Checked(tuple(usable), tuple(remarks))


def check_counter(
    name: str, readings: Sequence[Reading], forced: bool = False, gpu: bool = False
) -> Checked:
    """Leave out glitches of a counter; find one that never moves.

    Raises:
        UsageError: It does not look like a counter.
    """
    kept = _without_jumping_ends(_without_glitches(readings))
    remarks = []
    if glitches := len(readings) - len(kept):
        remarks.append(
            Reason(
                code=ReasonCode.COUNTER_RESET,
                message=f"{name}: {counted(glitches, 'reading')} of the counter"
                f" {agree(glitches, 'does', 'do')} not fit those around"
                f" {agree(glitches, 'it', 'them')} and {agree(glitches, 'was', 'were')} left out",
                fatal=False,
            )
        )
    if len(kept) > 1 and len({reading.value for reading in kept}) == 1:
        remarks.append(_still(f"{name}: the energy counter never moves: nothing was measured"))
    elif not forced and (doubt := _is_no_counter(kept)):
        raise UsageError(
            f"{name}: the column does not look like a counter: {doubt}. If each row has the joules"
            " of its own interval, say --energy-per-row; if it is a counter, say --energy-counter;"
            " if the rows are of several devices, name their column with --device-column"
        )
    if usual_w := _usual_power(kept):
        remarks += _unusual(name, [usual_w], GPU_USUAL_W if gpu else USUAL_W)
    remarks += _steep(name, kept, GPU_LIMIT_W if gpu else LIMIT_W)
    return Checked(tuple(kept), tuple(remarks))


def check_rows(name: str, readings: Sequence[Reading]) -> Checked:
    """Joules of rows: some are not zero, and none is negative."""
    remarks = []
    if readings and not any(reading.value for reading in readings):
        remarks.append(_still(f"{name}: all rows have 0 J: nothing was measured"))
    if negative := sum(reading.value < 0 for reading in readings):
        message = f"{name}: {counted(negative, 'row')} {agree(negative, 'is', 'are')} negative"
        remarks.append(Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message))
    rises = [later.value - earlier.value for earlier, later in pairwise(readings)]
    first = readings[0].value if readings else 0.0
    many = len(rises) >= FEW_ROWS and min(rises) >= 0 and max(rises) > 0
    steep = len(rises) >= 4 and min(rises) > 0 and readings[-1].value > 3 * first
    if many or steep:
        remarks.append(_note(f"{name}: the rows only ever rise, as those of a counter do"))
    return Checked(tuple(readings), tuple(remarks))


def _without_glitches(readings: Sequence[Reading]) -> list[Reading]:
    """The readings without short runs after which the counter goes on as if they were not there."""
    power_w = _usual_power(readings)
    kept: list[Reading] = []
    for position, reading in enumerate(readings):
        if kept and reading.value < kept[-1].value:
            if _comes_back(readings[position:], kept[-1], power_w):
                continue
            # A spike: the counter goes on from a reading before it.
            spike = _spike(kept, reading, power_w)
            if spike:
                del kept[-spike:]
        kept.append(reading)
    return kept


def _without_jumping_ends(readings: list[Reading]) -> list[Reading]:
    """The readings without a first or last one from which, or to which, the counter jumps."""
    if len(readings) < 4:
        return readings
    usual_w = _usual_power(readings)
    jump_w = max(JUMP_RATIO * usual_w, JUMP_W)
    first_w = _power(*readings[:2])
    highest_w = max(_power(*pair) for pair in pairwise(readings[1:]))
    zero_w = max(ZERO_RATIO * usual_w, ZERO_HIGHEST * highest_w, ZERO_W)
    if first_w > jump_w or (readings[0].value == 0 and first_w > zero_w):
        readings = readings[1:]
    return readings[:-1] if _power(*readings[-2:]) > jump_w else readings


def _power(earlier: Reading, later: Reading) -> float:
    time_s = later.time_s - earlier.time_s
    return (later.value - earlier.value) / time_s if time_s > 0 else 0.0


def _comes_back(later: Sequence[Reading], before: Reading, power_w: float) -> bool:
    return any(_goes_on(before, reading, power_w) for reading in later[1 : 1 + LONGEST_GLITCH])


def _spike(kept: Sequence[Reading], reading: Reading, power_w: float) -> int:
    """How many of the last readings must go so that the counter goes on; 0 if none help."""
    for count in range(1, min(LONGEST_GLITCH, len(kept) - 1) + 1):
        if _goes_on(kept[-1 - count], reading, power_w):
            return count
    return 0


def _goes_on(earlier: Reading, later: Reading, power_w: float) -> bool:
    """Whether the counter counts from one reading to the other at its usual power."""
    time_s = later.time_s - earlier.time_s
    rise_j = later.value - earlier.value
    if time_s <= 0:
        return False
    return power_w / GLITCH_RATIO <= rise_j / time_s <= power_w * GLITCH_RATIO


def _usual_power(readings: Sequence[Reading]) -> float:
    rises = [
        (later.value - earlier.value) / (later.time_s - earlier.time_s)
        for earlier, later in pairwise(readings)
        if later.time_s > earlier.time_s and later.value > earlier.value
    ]
    return statistics.median(rises) if rises else 0.0


def _is_no_counter(readings: Sequence[Reading]) -> str | None:
    """Why a column is no counter, in words.

    A counter starts at any value. The joules of rows are power times the time of a row, and change
    little from row to row.
    """
    rises = [later.value - earlier.value for earlier, later in pairwise(readings)]
    if not rises:
        return None
    falls = sum(rise < 0 for rise in rises)
    if falls >= 2 and falls > 0.02 * len(rises):
        return f"it falls {falls} times"
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    step_s = statistics.median([step for step in steps if step > 0] or [1.0])
    mean_rise = sum(rise for rise in rises if rise > 0) / len(rises)
    lowest = min(reading.value for reading in readings)
    if len(readings) < FEW_ROWS and mean_rise < lowest / 10 and lowest / step_s < ROW_LIMIT_W:
        return (
            f"it rises by {mean_rise:.4g} J a row from {readings[0].value:.6g} J, as the joules of"
            " intervals do"
        )
    return None


def _steep(name: str, readings: Sequence[Reading], limit_w: float) -> list[Reason]:
    """Steps of a counter at an impossible power make it invalid."""
    usual_w = _usual_power(readings)
    limit_w = min(limit_w, max(JUMP_RATIO * usual_w, JUMP_W))
    steep = [
        (later.value - earlier.value) / (later.time_s - earlier.time_s)
        for earlier, later in pairwise(readings)
        if later.time_s > earlier.time_s
        and later.value - earlier.value > limit_w * (later.time_s - earlier.time_s)
    ]
    if not steep or (max(steep) < 100 * usual_w and len(steep) < len(readings) / 2):
        return []
    message = f"{name}: the counter rises by up to {max(steep):.4g} W, which is impossible"
    return [Reason(code=ReasonCode.IMPLAUSIBLE_POWER, message=message)]


def _unusual(name: str, powers_w: Sequence[float], usual: tuple[float, float]) -> list[Reason]:
    """A remark on a power that hints at a wrong unit."""
    lowest_w, highest_w = usual
    usual_w = statistics.median(map(abs, powers_w)) if powers_w else lowest_w
    if lowest_w <= usual_w <= highest_w:
        return []
    return [_note(f"{name}: a power of {usual_w:.4g} W is unusual; is its unit right?")]


def _still(message: str) -> Reason:
    return Reason(code=ReasonCode.METER_FAILED, message=message)


def _note(message: str) -> Reason:
    return Reason(code=ReasonCode.NOTE, message=message, fatal=False)
