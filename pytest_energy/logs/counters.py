"""Counters of energy that cannot be: dips, jumps, one that never moves, a column that is none."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.energy import Reading
from pytest_energy.logs.plausibility import (
    FEW_ROWS,
    GPU_LIMIT_W,
    GPU_USUAL_W,
    LIMIT_W,
    LONG_RATIO,
    USUAL_W,
    Checked,
    longest_run,
    note,
    still,
    unusual,
)
from pytest_energy.logs.wording import agree, counted
from pytest_energy.model.measurement import Reason, ReasonCode

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
STEP_RATIO: Final = 10.0
START_RATIO: Final = 3.0
FEWEST_POWERS: Final = 5
"""One step of so many that is steeper than all others by this is worth a remark; the start at a
zero is by less."""
LONG_STAND: Final = 10
"""So many equal readings in a row are worth a remark, if they are LONG_RATIO times the usual."""
ROW_LIMIT_W: Final = 1e4
"""A row of more joules a second is a counter's reading."""


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
        rows = " (if each row has the joules of its own interval, say --energy-per-row)"
        message = f"{name}: the energy counter never moves: nothing was measured"
        remarks.append(still(message + rows * bool(kept[0].value)))
    elif not forced and (doubt := _is_no_counter(kept)):
        raise UsageError(
            f"{name}: the column does not look like a counter: {doubt}. If each row has the joules"
            " of its own interval, say --energy-per-row; if it is a counter, say --energy-counter;"
            " if the rows are of several devices, name their column with --device-column"
        )
    if usual_w := _usual_power(kept):
        remarks += unusual(name, [usual_w], GPU_USUAL_W if gpu else USUAL_W)
    remarks += _steep(name, kept, GPU_LIMIT_W if gpu else LIMIT_W) or _step(name, kept)
    remarks += _stands(name, kept)
    return Checked(tuple(kept), tuple(remarks))


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


def _step(name: str, readings: Sequence[Reading]) -> list[Reason]:
    """A remark on one step that is far steeper than all others: a jump of the number, perhaps."""
    powers = [_power(*pair) for pair in pairwise(readings)]
    if len(powers) < FEWEST_POWERS:
        return []
    *_, second_w, highest_w = sorted(powers)
    ratio = START_RATIO if readings[0].value == 0 and powers[0] == highest_w else STEP_RATIO
    if second_w <= 0 or highest_w <= ratio * second_w:
        return []
    place = powers.index(highest_w)
    message = (
        f"{name}: the counter rises from {readings[place].value:.6g} to"
        f" {readings[place + 1].value:.6g} J in one step, at {highest_w / second_w:.3g} times the"
        " power of any other; is that energy?"
    )
    return [note(message)]


def _stands(name: str, readings: Sequence[Reading]) -> list[Reason]:
    """A remark on a counter that stands still for much longer than it usually does."""
    if len(readings) < 2:
        return []
    start, length, usual = longest_run([reading.value for reading in readings])
    if length == len(readings) or length < max(LONG_STAND, LONG_RATIO * usual):
        return []
    stands_s = readings[start + length - 1].time_s - readings[start].time_s
    return [note(f"{name}: the counter stands still for {stands_s:.6g} s ({length} readings)")]


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
