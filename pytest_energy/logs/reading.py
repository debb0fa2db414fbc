"""CSV files of nvidia-smi and of wattmeters to readings with times one can count on.

Times without a zone are local; the hour that comes twice when summer time ends is told apart by the
order of the readings. A cell that says it has no value (``[N/A]``) is no reading, and what is no
number is a fault: all faults of a file are told at once, with their lines.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.energy import Reading

GPU_COLUMNS: Final = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "serial")
"""Columns of nvidia-smi that tell devices apart, best first."""
POWER_COLUMNS: Final = ("power.draw", "power.draw.average", "power.draw.instant")
"""Columns of nvidia-smi that hold watts, in the order in which they are looked for."""
ENERGY_UNITS: Final = {"J": 1.0, "Wh": 3600.0, "kWh": 3.6e6}
"""Joules in a unit of an energy counter."""

NO_VALUE: Final = re.compile(r"|\[?(n/?a|not supported|unknown error|gpu is lost)\]?|err!", re.I)
NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(?:W|kWh|Wh|J)?", re.I)
FAULTS_TOLD: Final = 10
EPOCH_S: Final = 1e8
"""Larger numbers are seconds since the epoch (1973 and later), smaller ones since the start."""
EPOCH_MS: Final = 1e11
"""Larger numbers still are milliseconds."""
HALF_HOUR_S: Final = 1800.0


@dataclass(frozen=True)
class Columns:
    """Where to look in a table; names as in its header, without units in brackets."""

    time: str
    value: str
    device: str | None = None
    """The column that tells devices apart; ``None`` for a log of one instrument."""
    factor: float = 1.0
    """What turns a value into watts or joules."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int
    cells: Mapping[str, str]


Log = Mapping[str, Sequence[Reading]]
"""Readings by device, in the order of the file."""


def read_table(path: Path, names: Sequence[str] | None = None) -> list[Row]:
    """Read a CSV file whose cells are parted by commas, semicolons or tabs.

    A header that comes again is left out, and so is a last line that was cut off.

    Args:
        path: The file.
        names: The columns of a file without header.

    Raises:
        FileFormatError: It holds no table, or lines of another length.
        OSError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
        lines = [line for line in _split(text) if line[1]]
    except UnicodeDecodeError as error:
        raise FileFormatError(path, "a CSV file", (f"not UTF-8 text: {error.reason}",)) from None
    except csv.Error as error:
        raise FileFormatError(path, "a CSV file", (str(error),)) from None
    header = [_plain(name) for name in (names or (lines[0][1] if lines else ()))]
    body = [line for line in lines if [_plain(cell) for cell in line[1]] != header]
    if body and len(body[-1][1]) < len(header):
        body.pop()
    faults = [
        f"line {number}: {len(cells)} cells, {len(header)} expected"
        for number, cells in body
        if len(cells) != len(header)
    ]
    if not body:
        faults.append("no readings")
    _raise_for(faults, path)
    return [Row(number, dict(zip(header, cells, strict=True))) for number, cells in body]


def find_gpu_columns(rows: Sequence[Row], power: str | None = None) -> Columns:
    """The columns of an nvidia-smi log.

    Raises:
        UsageError: It has no time stamp or no power, or several GPUs that nothing tells apart.
    """
    names = rows[0].cells
    value = power or next((name for name in POWER_COLUMNS if name in names), POWER_COLUMNS[0])
    for needed in ("timestamp", value):
        require_column(rows, needed)
    device = next((name for name in GPU_COLUMNS if name in names), None)
    if device is None and _rows_of_several(rows):
        raise UsageError("several rows at one time, and no column tells GPUs apart: log index, too")
    return Columns("timestamp", value, device)


def require_column(rows: Sequence[Row], name: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        UsageError: It does, with the columns that it has.
    """
    if name not in rows[0].cells:
        found = ", ".join(rows[0].cells)
        raise UsageError(
            f"no column {name!r}; found are: {found}. Name the columns of a log without header"
            " with --columns"
        )


def read_log(path: Path, rows: Sequence[Row], columns: Columns, zone: tzinfo | None = None) -> Log:
    """The readings of a table, by device.

    Args:
        path: Where the table came from, for errors.
        rows: The table.
        columns: Where to look in it.
        zone: Of times that name none; ``None`` is this machine's.

    Raises:
        FileFormatError: A cell is neither a number nor a time nor empty, with its line.
    """
    log: dict[str, list[Reading]] = defaultdict(list)
    faults: list[str] = []
    for row in rows:
        device = row.cells[columns.device].strip() if columns.device else ""
        readings = log[device]
        before_s = readings[-1].time_s if readings else None
        try:
            time_s = parse_time(row.cells[columns.time], zone, before_s)
            value = parse_value(row.cells[columns.value])
        except ValueError as error:
            faults.append(f"line {row.line}: {error}")
            continue
        if value is not None:
            readings.append(Reading(time_s, value * columns.factor))
    _raise_for(faults, path)
    return log


def parse_value(cell: str) -> float | None:
    """A number with or without unit; ``None`` where the cell says that there is none.

    Raises:
        ValueError: It is neither.
    """
    text = cell.strip()
    if NO_VALUE.fullmatch(text):
        return None
    found = NUMBER.fullmatch(text.replace(",", "."))
    value = float(found.group(1)) if found else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def parse_time(cell: str, zone: tzinfo | None = None, before_s: float | None = None) -> float:
    """Seconds since the epoch, or, for small numbers, since the log's own beginning.

    Args:
        cell: A number, or a date and time in ISO 8601 or with slashes as nvidia-smi writes it.
        zone: Of a time that names none; ``None`` is this machine's.
        before_s: The time before it, to tell apart an hour that comes twice.

    Raises:
        ValueError: It is neither.
    """
    text = cell.strip().replace("/", "-")
    if re.fullmatch(r"[0-9]{1,14}(?:[.,][0-9]+)?", text):
        seconds = float(text.replace(",", "."))
        return seconds / 1000 if seconds > EPOCH_MS else seconds
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
        first, second = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    except (ValueError, OverflowError):  # the latter for years that no clock of ours can show
        raise ValueError(f"{cell.strip()!r} is not a time") from None
    went_back = before_s is not None and first < before_s - HALF_HOUR_S
    return second if went_back else first


def _rows_of_several(rows: Sequence[Row]) -> bool:
    """Whether at least half of the rows share their time with the row before."""
    shared = sum(a.cells["timestamp"] == b.cells["timestamp"] for a, b in pairwise(rows))
    return shared * 2 >= len(rows)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; the separator is what the first line has most of."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    for cells in reader:
        yield reader.line_num, cells


def _plain(name: str) -> str:
    """A column's name without its unit: ``power.draw [W]`` is ``power.draw``."""
    return re.sub(r"\s*\[[^]]*\]\s*$", "", name).strip()


def _raise_for(faults: Sequence[str], path: Path) -> None:
    if not faults:
        return
    more = len(faults) - FAULTS_TOLD
    told = (*faults[:FAULTS_TOLD], *([f"and {more} more"] if more > 0 else []))
    raise FileFormatError(path, "a power log", told)
