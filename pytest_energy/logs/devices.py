"""Signs that one channel holds the rows of several devices.

Their mean is no power of anything, so such a log is refused until a column tells the devices apart.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from pytest_energy.logs.energy import Reading
from pytest_energy.logs.units import unit_of_header

IDENTIFIER: Final = re.compile(
    r"(^|[^a-z])(gpu|gpus|index|idx|device|dev|id|uuid|name|host|hostname|node|server|machine|rack"
    r"|outlet|socket|plug|port|sensor|entity|meter|channel|ch|phase|card|accelerator|instance|serial"
    r"|bus|domain|rail|zone|package|pkg|event|metric|source|label|component|unit|module|slot|rank)"
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
BURST_RATIO: Final = 2.5
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
    if kind != "per-row" and _come_in_bursts(steps):
        return "the rows come in bursts, as those of several devices do"
    values = [reading.value for reading in readings]
    if kind == "power" and _alternate(values):
        return "the readings alternate between levels, as those of several devices do"
    return None


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


def _come_in_bursts(steps: Sequence[float]) -> bool:
    """Whether short and long steps come in a pattern, with few steps between the two lengths."""
    return len(steps) >= 4 and (_have_two_lengths(steps) or _repeat_their_pattern(steps))


def _have_two_lengths(steps: Sequence[float]) -> bool:
    """Whether bursts of an equal number of rows are apart by much longer steps."""
    ordered = sorted(steps)
    low, high = int(0.3 * len(ordered)), int(0.96 * len(ordered))
    cuts = [
        (later / earlier, earlier, later)
        for earlier, later in pairwise(ordered[max(low - 1, 0) : high + 2])
        if earlier > 0
    ]
    if not cuts:
        return False
    ratio, below, _ = max(cuts)
    if ratio < BURST_RATIO:
        return False
    sizes = _burst_sizes(steps, below)
    if len(sizes) < 2:
        return False
    # Equal bursts are devices; pauses of a logger leave runs of any length.
    usual = statistics.median(sizes)
    near = sum(abs(size - usual) <= max(0.25 * usual, 0.5) for size in sizes)
    return usual >= 2 and usual <= MOST_DEVICES and near >= 0.6 * len(sizes)


def _burst_sizes(steps: Sequence[float], longest: float) -> list[int]:
    """The rows of each burst but the first and the last, which may be cut."""
    sizes = [1]
    for step in steps:
        if step <= longest:
            sizes[-1] += 1
        else:
            sizes.append(1)
    return sizes[1:-1] if len(sizes) > 3 else sizes


def _repeat_their_pattern(steps: Sequence[float]) -> bool:
    """Whether the steps come again after as many rows as there are devices."""
    for devices in range(2, min(MOST_DEVICES, len(steps) // 3) + 1):
        phases = [steps[phase::devices] for phase in range(devices)]
        middles = sorted(statistics.median(phase) for phase in phases)
        rest = statistics.median(middles[:-1])
        # 12 and 13 ms in turn are the rounding of one period.
        if middles[-1] < 2 * rest:
            continue
        if _correlation(steps, devices) > 0.5:
            return True
    return False


def _correlation(steps: Sequence[float], lag: int) -> float:
    first, second = steps[:-lag], steps[lag:]
    if len(first) < 4 or len(set(first)) == 1 or len(set(second)) == 1:
        return 0.0
    return statistics.correlation(first, second)


def _alternate(values: Sequence[float]) -> bool:
    """Whether readings differ from the one before, but not from one a few rows before."""
    if len(values) < FEWEST_READINGS:
        return False
    middle = statistics.median(abs(value) for value in values)
    jump = statistics.median(abs(later - earlier) for earlier, later in pairwise(values))
    if jump <= 0.05 * middle:
        return False
    return any(
        statistics.median(
            abs(later - earlier) for earlier, later in zip(values, values[devices:], strict=False)
        )
        < 0.2 * jump
        for devices in range(2, min(8, len(values) // 2) + 1)
    )
