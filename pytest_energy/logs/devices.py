"""Signs that one channel holds the rows of several devices.

Their mean is no power of anything, so such a log is refused until a column tells the devices apart.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pytest_energy.logs.energy import Reading
from pytest_energy.logs.units import unit_of_header

IDENTIFIER: Final = re.compile(
    r"(^|[^a-z])(gpu|gpus|index|idx|device|dev|id|uuid|name|host|hostname|node|server|machine|rack"
    r"|outlet|socket|plug|port|sensor|entity|meter|channel|ch|phase|card|accelerator|instance|serial"
    r"|bus|domain|rail|zone|location|room|site|circuit|appliance|board|chassis|pdu|tile|die|package|pkg|event|metric|source|label|component|unit|module|slot|rank)"
    r"(s|_?id|_?name|_?index|_?no|_?number)?($|[^a-z])"
)
"""Names of columns that tell devices apart."""
MEASURED: Final = re.compile(
    r"util|temp|clock|mem|fan|power|energy|watt|joule|volt|curr|amp|freq|usage|load|speed|limit"
    r"|duration|elapsed|time|state|throttle|version|count|pid|process"
)
"""Names of columns that hold what was measured, even if they name the device, too."""
MOST_DEVICES: Final = 16
REPEATED_SHARE: Final = 0.1
"""A clock of whole seconds repeats a stamp now and then; two devices repeat every second one."""
FEWEST_READINGS: Final = 6
CYCLING_SHARE: Final = 0.9
SHORT_SHARE: Final = 0.2
LONG_SHARE: Final = 0.05
GAP_RATIO: Final = 1.3
LENGTH_RATIO: Final = 1.8
REGULAR_SHARE: Final = 0.75
"""Bursts: at least these shares of short and long steps, a gap and a ratio between their lengths,
and regular beginnings."""
MOST_COMPARED: Final = 4000
"""Readings in the middle of a log that are compared with each other."""
FEWEST_PAIRS: Final = 12
CLEAR_JUMP: Final = 0.05
CLEAR_RATIO: Final = 0.2
"""Readings alternate between levels if neighbours differ by a larger share of the middle reading,
and those of one device by a smaller share of that."""
MULTIPLE: Final = 1.5
WEAK_RATIO: Final = 0.5
FEWEST_WEAK: Final = 30
"""A weaker sign needs more pairs, and is only worth a remark."""
REMEDY: Final = (
    "name the column that tells devices apart with --device-column (nvidia-smi: log index, too), or"
    " say --one-device if all rows are of one device"
)


def several_devices(
    readings: Sequence[Reading], others: Mapping[str, Sequence[str]], kind: str
) -> str | None:
    """The sign of several devices in the readings of one channel, in words; ``None`` without one.

    Args:
        readings: In the order of the log.
        others: The cells of the columns that are not read, of the same rows.
        kind: ``power``, ``counter`` or ``per-row``.
    """
    if len(readings) < 3:
        return None
    for name, cells in others.items():
        if _is_device_column(name, cells):
            names = sorted(set(cells))
            return f"column {name!r} has {len(names)} values in turn ({', '.join(names[:4])})"
    times = [reading.time_s for reading in readings]
    repeated = len(times) - len(set(times))
    if repeated > REPEATED_SHARE * len(times):
        return "several rows have the same time"
    steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
    if kind != "per-row" and _come_in_bursts(times, steps):
        return "they come in bursts"
    if kind == "power" and _alternate(readings):
        return "the readings alternate between levels"
    if kind == "counter" and _alternate(_rises(readings)):
        return "the counter's steps alternate"
    return None


def _rises(readings: Sequence[Reading]) -> list[Reading]:
    """The power of each step of a counter; empty if it falls, or stands still between its steps."""
    steps = [(a, b) for a, b in pairwise(readings) if b.time_s > a.time_s]
    if any(later.value <= earlier.value for earlier, later in steps):
        return []
    return [Reading(b.time_s, (b.value - a.value) / (b.time_s - a.time_s)) for a, b in steps]


def _is_device_column(name: str, cells: Sequence[str]) -> bool:
    """Whether a column tells devices apart, by its name or because its values come in turn."""
    counts = Counter(cells)
    if len(counts) < 2 or counts.most_common(1)[0][1] < 2:
        return False
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()
    named = IDENTIFIER.search(words) and not MEASURED.search(words) and not unit_of_header(name)
    if named and len(counts) <= max(len(cells) / 2, 2):
        return True
    return any(_cycles(cells, length) for length in range(2, MOST_DEVICES + 1))


def _cycles(cells: Sequence[str], length: int) -> bool:
    """Whether the same values come again after so many rows, and no sooner."""
    if len(cells) < 2 * length or len(set(cells)) != length:
        return False
    same = sum(first == later for first, later in zip(cells, cells[length:], strict=False))
    changed = sum(first != later for first, later in pairwise(cells))
    return same >= CYCLING_SHARE * (len(cells) - length) and changed >= CYCLING_SHARE * (
        len(cells) - 1
    )


def _come_in_bursts(times: Sequence[float], steps: Sequence[float]) -> bool:
    """Whether short and long steps come in a pattern."""
    if len(steps) < 4:
        return False
    tick_s = _resolution(times)
    return _have_two_lengths(steps, tick_s) or _repeat_their_pattern(steps, tick_s)


def _resolution(times: Sequence[float]) -> float:
    """The finest decimal place of the stamps, in seconds."""
    return next(
        (
            place
            for place in (1.0, 0.1, 0.01, 1e-3, 1e-4)
            if all(abs(time_s / place - round(time_s / place)) * place < 2e-6 for time_s in times)
        ),
        0.0,
    )


def _have_two_lengths(steps: Sequence[float], tick_s: float) -> bool:
    """Whether bursts of rows begin at regular times, with much longer steps between them."""
    ordered = sorted(steps)
    low, high = int(SHORT_SHARE * len(ordered)), int((1 - LONG_SHARE) * len(ordered))
    cuts = [
        place
        for place in range(max(low, 1), min(high, len(ordered) - 1) + 1)
        if ordered[place] >= GAP_RATIO * ordered[place - 1]
    ]
    return any(_parts_bursts(steps, ordered, place, tick_s) for place in cuts)


def _parts_bursts(
    steps: Sequence[float], ordered: Sequence[float], place: int, tick_s: float
) -> bool:
    """Whether the steps from this place on, in the order of length, part bursts."""
    short_s, long_s = statistics.median(ordered[:place]), statistics.median(ordered[place:])
    if long_s < LENGTH_RATIO * short_s or long_s - short_s <= 1.5 * tick_s:
        return False
    return _begin_regularly(steps, ordered[place])


def _begin_regularly(steps: Sequence[float], shortest_pause_s: float) -> bool:
    """Whether bursts begin at regular times; the pauses of a single logger do not."""
    begins: list[float] = []
    now_s = 0.0
    for step in steps:
        now_s += step
        if step >= shortest_pause_s:
            begins.append(now_s)
    intervals = [later - earlier for earlier, later in pairwise(begins)]
    rows = (len(steps) - len(begins)) / max(len(begins), 1) + 1
    if rows < 1.25 or rows > MOST_DEVICES:
        return False
    if len(intervals) < 2:
        return len(begins) >= 1 and len(steps) < 8
    usual_s = statistics.median(intervals)
    regular = sum(abs(interval - usual_s) <= 0.25 * usual_s for interval in intervals)
    return regular >= REGULAR_SHARE * len(intervals)


def _repeat_their_pattern(steps: Sequence[float], tick_s: float) -> bool:
    """Whether the steps come again after as many rows as there are devices."""
    for devices in range(2, min(MOST_DEVICES, len(steps) // 3) + 1):
        phases = [steps[phase::devices] for phase in range(devices)]
        middles = sorted(statistics.median(phase) for phase in phases)
        rest = statistics.median(middles[:-1])
        # 12 and 13 ms in turn, or 1 and 2 ms, are the rounding of one period.
        if middles[-1] < 2 * rest or middles[-1] - rest <= 1.5 * tick_s:
            continue
        if _correlation(steps, devices) > 0.5:
            return True
    return False


def _correlation(steps: Sequence[float], lag: int) -> float:
    first, second = steps[:-lag], steps[lag:]
    if len(first) < 4 or len(set(first)) == 1 or len(set(second)) == 1:
        return 0.0
    return statistics.correlation(first, second)


@dataclass(frozen=True)
class Recurrence:
    """How much more alike readings are that are some steps apart than those next to each other."""

    steps: int
    ratio: float
    """The difference of readings so many steps apart, as a share of that of neighbours."""
    jump: float
    """The difference of neighbours, as a share of the middle reading."""
    pairs: int


def _recurrence(readings: Sequence[Reading]) -> Recurrence | None:
    """The recurrence that is clearest; ``None`` if neighbours do not differ.

    Readings of one device differ more, the further they are apart. Those of several devices are
    most alike where the same device comes again. Lags are taken by time, not by rows, so that lost
    rows do not blur them. Differences are medians.
    """
    if len(readings) < FEWEST_READINGS:
        return None
    first = max(0, (len(readings) - MOST_COMPARED) // 2)
    part = readings[first : first + MOST_COMPARED]
    by_lag = _differences(part)
    middle = statistics.median(abs(reading.value) for reading in part)
    neighbours = statistics.median(by_lag[1]) if by_lag.get(1) else 0.0
    if neighbours <= 0 or middle <= 0:
        return None
    found = [
        Recurrence(lag, statistics.median(gaps) / neighbours, neighbours / middle, len(gaps))
        for lag, gaps in sorted(by_lag.items())
        if lag >= 2 and len(gaps) >= min(FEWEST_PAIRS, len(part) // 2)
    ]
    clearest = min((recurrence.ratio for recurrence in found), default=0.0)
    # Twice the number of devices recurs as clearly.
    return next((each for each in found if each.ratio <= MULTIPLE * clearest), None)


def _differences(readings: Sequence[Reading]) -> Mapping[int, list[float]]:
    """The differences of readings, by the number of steps of time between them."""
    steps = [b.time_s - a.time_s for a, b in pairwise(readings) if b.time_s > a.time_s]
    step_s = statistics.median(steps) if steps else 1.0
    by_lag: dict[int, list[float]] = defaultdict(list)
    for place, earlier in enumerate(readings):
        for later in readings[place + 1 : place + 1 + MOST_DEVICES]:
            lag = round((later.time_s - earlier.time_s) / step_s)
            if 1 <= lag <= MOST_DEVICES:
                by_lag[lag].append(abs(later.value - earlier.value))
    return by_lag


def _group(readings: Sequence[Reading]) -> int | None:
    """The number of rows in which equal readings always come; ``None`` if there is none.

    Alike devices are polled so, or one whose sensor updates less often than it is polled.
    """
    values = [reading.value for reading in readings]
    edges = [0, *(n for n, (a, b) in enumerate(pairwise(values), start=1) if a != b), len(values)]
    lengths = [end - start for start, end in pairwise(edges)]
    size = math.gcd(*lengths)
    return size if 2 <= size <= MOST_DEVICES and len(lengths) >= FEWEST_READINGS else None


def _alternate(readings: Sequence[Reading]) -> bool:
    """Whether readings differ from the one before, but not from one a few rows before."""
    found = _recurrence(readings)
    return found is not None and found.jump > CLEAR_JUMP and found.ratio < CLEAR_RATIO


def perhaps_several(readings: Sequence[Reading], kind: str) -> str | None:
    """A weak sign of several devices in readings of this kind, in words; ``None`` without one."""
    if group := _group(readings):
        return f"the readings come in groups of {group} equal ones"
    found = _recurrence(readings) if kind == "power" else None
    if found is None or found.ratio > WEAK_RATIO or found.pairs < FEWEST_WEAK:
        return None
    return f"readings {found.steps} rows apart are more alike than neighbours"
