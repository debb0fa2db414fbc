"""The carbon intensity of a day's hours, and its mean over a period that starts at one of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError

HOURS: Final = 24
COLUMNS: Final = ("hour", "g_per_kwh")


def read_hours(path: Path) -> tuple[float, ...]:
    """Read the 24 intensities of a day in g/kWh, hour 0 first, from a CSV file of ``COLUMNS``.

    Raises:
        FileFormatError: An hour is missing, occurs twice, or has no number above 0.
        OSError: The file cannot be read.
    """
    lines = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    texts = {(line.get(COLUMNS[0]) or "").strip(): line.get(COLUMNS[1]) or "" for line in lines}
    intensities = {hour: _grams(texts.get(str(hour), "")) for hour in range(HOURS)}
    faults = [
        f"hour {hour}: no number above 0" for hour, grams in intensities.items() if grams is None
    ]
    if len(lines) != HOURS:
        faults.insert(0, f"{len(lines)} lines, not {HOURS}")
    if faults:
        expected = f"a CSV file with a line of {', '.join(COLUMNS)} for each hour from 0 to 23"
        raise FileFormatError(path, expected, tuple(faults))
    return tuple(grams for grams in intensities.values() if grams is not None)


def _grams(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def mean_from(begin: int, duration_h: float, hours: Sequence[float]) -> float:
    """The mean intensity in g/kWh of ``duration_h`` hours of even power from hour ``begin`` on.

    After midnight the same day starts again.
    """
    whole = int(duration_h)
    intensities = [hours[(begin + hour) % len(hours)] for hour in range(whole + 1)]
    return (sum(intensities[:-1]) + intensities[-1] * (duration_h - whole)) / duration_h


def best_begin(duration_h: float, hours: Sequence[float]) -> int:
    """The first start hour at which ``duration_h`` hours of even power emit least."""
    return min(range(len(hours)), key=lambda begin: mean_from(begin, duration_h, hours))
