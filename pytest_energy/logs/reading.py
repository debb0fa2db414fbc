"""CSV files of nvidia-smi and of wattmeters to readings with times one can count on.

Times without a zone are local; the hour that comes twice when summer time ends is told apart by the
order of the readings. Units of cells and headers are converted. A cell that says it has no value
(``[N/A]``) is no reading, and what is no number, or in a unit that does not fit, is a fault: all
faults of a file are told at once, with their lines.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.energy import Reading
from pytest_energy.logs.units import (
    POWER,
    SECONDS,
    Quantity,
    Scale,
    unit_of_header,
    without_unit,
)

GPU_COLUMNS: Final = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "serial")
"""Columns of nvidia-smi that tell devices apart, best first."""
POWER_COLUMNS: Final = ("power.draw", "power.draw.average", "power.draw.instant")
"""Columns of nvidia-smi that hold watts, in the order in which they are looked for."""

NO_VALUE: Final = re.compile(r"|\[?(n/?a|not supported|unknown error|gpu is lost)\]?|err!", re.I)
NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([^\d\s.+-][^\d.]*)?", re.I)
"""A number and what stands behind it: its unit, if it has one."""
FAULTS_TOLD: Final = 10
EPOCH_S: Final = 1e8
"""Larger numbers are seconds since the epoch (1973 and later), smaller ones since the start."""
EPOCH_MS: Final = 1e11
"""Larger numbers still are milliseconds."""
HALF_HOUR_S: Final = 1800.0


@dataclass(frozen=True)
class Columns:
    """Where to look in a table; names as in its header."""

    time: str
    value: str
    device: str | None = None
    """The column that tells devices apart; ``None`` for a log of one instrument."""
    quantity: Quantity = POWER
    """What the values are."""
    unit: str | None = None
    """That of the values, where the user told it; the log may name no other."""


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
        FileFormatError: It holds no table, lines of another length, or headers whose units differ.
        OSError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
        lines = [line for line in _split(text) if line[1]]
    except UnicodeDecodeError as error:
        raise FileFormatError(path, "a CSV file", (f"not UTF-8 text: {error.reason}",)) from None
    except csv.Error as error:
        raise FileFormatError(path, "a CSV file", (str(error),)) from None
    first = names or (lines[0][1] if lines else ())
    headers: list[tuple[int, list[str]]] = []
    body: list[tuple[int, list[str]]] = []
    for line in lines:
        (headers if _same_columns(line[1], first) else body).append(line)
    header = _with_units(first, headers[0][1] if headers else first)
    if body and len(body[-1][1]) < len(header):
        body.pop()
    faults = [
        f"line {number}: {cell!r} contradicts {name!r}, told before: correct or split the log"
        for number, cells in headers
        for cell, name in zip(cells, header, strict=True)
        if unit_of_header(cell) not in (None, unit_of_header(name))
    ]
    faults += [
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
    names = [without_unit(name) for name in rows[0].cells]
    value = power or next((name for name in POWER_COLUMNS if name in names), POWER_COLUMNS[0])
    columns = Columns(find_column(rows, "timestamp"), find_column(rows, value))
    device = next((name for name in GPU_COLUMNS if name in names), None)
    if device is not None:
        return replace(columns, device=find_column(rows, device))
    if _rows_of_several(rows, columns.time):
        raise UsageError("several rows at one time, and no column tells GPUs apart: log index, too")
    return columns


def find_column(rows: Sequence[Row], name: str) -> str:
    """A column by its name as in the header, or by that without its unit.

    Raises:
        UsageError: There is none, or more than one, with the columns that there are.
    """
    names = rows[0].cells
    alike = [other for other in names if without_unit(other) == name]
    if name in names or len(alike) == 1:
        return name if name in names else alike[0]
    found = ", ".join(alike or names)
    if alike:
        raise UsageError(f"more than one column {name!r}: {found}. Name one with its unit")
    raise UsageError(
        f"no column {name!r}; found are: {found}. Name the right one with --power-column (a"
        " wattmeter's with --time-column or --energy-column, too), and the columns of a log"
        " without header with --columns"
    )


def read_log(path: Path, rows: Sequence[Row], columns: Columns, zone: tzinfo | None = None) -> Log:
    """The readings of a table, by device.

    Args:
        path: Where the table came from, for errors.
        rows: The table.
        columns: Where to look in it.
        zone: Of times that name none; ``None`` is this machine's.

    Raises:
        FileFormatError: A cell is neither a number nor a time nor empty, with its line, or the
            unit of a cell or of the column does not fit.
    """
    scale = Scale(columns.quantity, unit_of_header(columns.value), columns.unit)
    try:
        scale.factor()
    except ValueError as error:
        _raise_for([f"column {columns.value!r}: {error}"], path)
    tick_s = SECONDS.get(unit_of_header(columns.time) or "s", 1.0)  # else it may be a zone
    log: dict[str, list[Reading]] = defaultdict(list)
    faults: list[str] = []
    for row in rows:
        device = row.cells[columns.device].strip() if columns.device else ""
        readings = log[device]
        before_s = readings[-1].time_s if readings else None
        try:
            time_s = parse_time(row.cells[columns.time], zone, before_s, tick_s)
            value = parse_value(row.cells[columns.value], scale)
        except ValueError as error:
            faults.append(f"line {row.line}: {error}")
            continue
        if value is not None:
            readings.append(Reading(time_s, value))
    _raise_for(faults, path)
    return log


def parse_value(cell: str, scale: Scale) -> float | None:
    """Watts or joules of a number with or without unit; ``None`` where the cell says it has none.

    Raises:
        ValueError: It is neither, or its unit does not fit.
    """
    text = cell.strip()
    if NO_VALUE.fullmatch(text):
        return None
    found = NUMBER.fullmatch(text.replace(",", "."))
    value = float(found.group(1)) * scale.factor(found.group(2)) if found else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def parse_time(
    cell: str, zone: tzinfo | None = None, before_s: float | None = None, tick_s: float = 1.0
) -> float:
    """Seconds since the epoch, or, for small numbers, since the log's own beginning.

    Args:
        cell: A number, or a date and time in ISO 8601 or with slashes as nvidia-smi writes it.
        zone: Of a time that names none; ``None`` is this machine's.
        before_s: The time before it, to tell apart an hour that comes twice.
        tick_s: The unit of a number; seconds that are too large for a date are milliseconds.

    Raises:
        ValueError: It is neither.
    """
    text = cell.strip().replace("/", "-")
    if re.fullmatch(r"[0-9]{1,14}(?:[.,][0-9]+)?", text):
        time_s = float(text.replace(",", ".")) * tick_s
        if time_s > EPOCH_MS and tick_s > 1:
            raise ValueError(f"{cell.strip()!r} is not a time in units of {tick_s:g} s")
        return time_s / 1000 if time_s > EPOCH_MS else time_s
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
        first, second = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    except (ValueError, OverflowError):  # the latter for years that no clock of ours can show
        raise ValueError(f"{cell.strip()!r} is not a time") from None
    went_back = before_s is not None and first < before_s - HALF_HOUR_S
    return second if went_back else first


def _rows_of_several(rows: Sequence[Row], time: str) -> bool:
    """Whether at least half of the rows share their time with the row before."""
    shared = sum(a.cells[time] == b.cells[time] for a, b in pairwise(rows))
    return shared * 2 >= len(rows)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; the separator is what the first line has most of."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    for cells in reader:
        yield reader.line_num, cells


def _same_columns(cells: Sequence[str], names: Sequence[str]) -> bool:
    pairs = zip(cells, names, strict=False)
    return len(cells) == len(names) and all(without_unit(a) == without_unit(b) for a, b in pairs)


def _with_units(names: Sequence[str], header: Sequence[str]) -> list[str]:
    """Names of columns; those without unit have that of the file's own header."""
    pairs = zip(names, header, strict=True)
    return [(name if unit_of_header(name) else told).strip() for name, told in pairs]


def _raise_for(faults: Sequence[str], path: Path) -> None:
    if not faults:
        return
    more = len(faults) - FAULTS_TOLD
    told = (*faults[:FAULTS_TOLD], *([f"and {more} more"] if more > 0 else []))
    raise FileFormatError(path, "a power log", told)
