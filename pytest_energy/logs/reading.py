"""Parsing of the CSV files of nvidia-smi and of wattmeters.

Times without a zone are local. The order of the readings tells the two hours apart that have the
same local times when summer time ends. Units in cells and headers are converted. A cell that says
it has no value (``[N/A]``) is not a reading. A cell that is not a number, or has a unit that does
not fit, is a fault. All faults of a file are reported together, with their lines.
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
"""Columns of nvidia-smi that identify the device, the best one first."""
POWER_COLUMNS: Final = ("power.draw", "power.draw.average", "power.draw.instant")
"""Columns of nvidia-smi with watts; the first one in a log is read."""

NO_VALUE: Final = re.compile(r"|\[?(n/?a|not supported|unknown error|gpu is lost)\]?|err!", re.I)
NUMBER: Final = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([^\d\s.+-][^\d.]*)?", re.I)
"""A number, and the unit behind it if there is one."""
MOST_FAULTS: Final = 10
"""More faults of a file are only counted."""
EPOCH_S: Final = 1e8
"""Larger numbers are seconds since the epoch (from 1973), smaller ones since the log's start."""
EPOCH_MS: Final = 1e11
"""Numbers larger than this are milliseconds since the epoch."""
HALF_HOUR_S: Final = 1800.0


@dataclass(frozen=True)
class Columns:
    """The columns to read from a table, by their names in its header."""

    time: str
    value: str
    device: str | None = None
    """The column that identifies the device; ``None`` for a log of one instrument."""
    quantity: Quantity = POWER
    """The content of the column ``value``."""
    unit: str | None = None
    """The unit of the values by option; the log may name no other."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int
    cells: Mapping[str, str]


Log = Mapping[str, Sequence[Reading]]
"""Readings by device, in the order of the file."""


def read_table(path: Path, names: Sequence[str] | None = None) -> list[Row]:
    """Read a CSV file with commas, semicolons or tabs between its cells.

    A repeated header is skipped, and so is an incomplete last line.

    Args:
        path: The file.
        names: The columns of a file without a header.

    Raises:
        FileFormatError: It is not a table, its lines differ in length, or the units of its headers
            differ.
        OSError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")  # spreadsheets write a byte order mark
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
        body.pop()  # the logger was stopped while it wrote the line
    faults = [
        f"line {number}: {cell!r} contradicts the earlier {name!r}; correct or split the log"
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
        UsageError: It has no time stamps, no power, or several GPUs without a column that
            identifies them.
    """
    names = [without_unit(name) for name in rows[0].cells]
    value = power or next((name for name in POWER_COLUMNS if name in names), POWER_COLUMNS[0])
    columns = Columns(find_column(rows, "timestamp"), find_column(rows, value))
    device = next((name for name in GPU_COLUMNS if name in names), None)
    if device is not None:
        return replace(columns, device=find_column(rows, device))
    if _has_several_devices(rows, columns.time):
        raise UsageError(
            "several rows have the same time, and no column names the GPU: log index, too"
        )
    return columns


def find_column(rows: Sequence[Row], name: str) -> str:
    """A column by its name in the header, with or without the unit.

    Raises:
        UsageError: No column has this name, or more than one; the error lists the columns.
    """
    names = rows[0].cells
    candidates = [other for other in names if without_unit(other) == name]
    if name in names or len(candidates) == 1:
        return name if name in names else candidates[0]
    if candidates:
        raise UsageError(
            f"more than one column {name!r}: {', '.join(candidates)}. Name one with its unit"
        )
    raise UsageError(
        f"no column {name!r} among {', '.join(names)}. Name the right one with --power-column (or,"
        " for a wattmeter, with --time-column or --energy-column). If the log has no header, name"
        " its columns with --columns"
    )


def read_log(path: Path, rows: Sequence[Row], columns: Columns, zone: tzinfo | None = None) -> Log:
    """The readings of a table, by device.

    Args:
        path: The file of the table, for errors.
        rows: The table.
        columns: The columns to read.
        zone: The zone of times that name none; ``None`` is this machine's.

    Raises:
        FileFormatError: A cell is not a number or time, or the unit of a cell or of the column does
            not fit.
    """
    scale = Scale(columns.quantity, unit_of_header(columns.value), columns.unit)
    try:
        scale.factor()
    except ValueError as error:
        _raise_for([f"column {columns.value!r}: {error}"], path)
    # Brackets behind a time may also hold a zone, as in `time [UTC]`.
    unit_s = SECONDS.get(unit_of_header(columns.time) or "s", 1.0)
    log: dict[str, list[Reading]] = defaultdict(list)
    faults: list[str] = []
    for row in rows:
        device = row.cells[columns.device].strip() if columns.device else ""
        readings = log[device]
        before_s = readings[-1].time_s if readings else None
        try:
            time_s = parse_time(row.cells[columns.time], zone, before_s, unit_s)
            value = parse_value(row.cells[columns.value], scale)
        except ValueError as error:
            faults.append(f"line {row.line}: {error}")
            continue
        if value is not None:
            readings.append(Reading(time_s, value))
    _raise_for(faults, path)
    return log


def parse_value(cell: str, scale: Scale) -> float | None:
    """Watts or joules of a number with or without a unit; ``None`` for a cell without a value.

    Raises:
        ValueError: The cell is not a number, or its unit does not fit.
    """
    text = cell.strip()
    if NO_VALUE.fullmatch(text):
        return None
    # A comma is a decimal one: `1,234.5` becomes `1.234.5`, which is refused and not guessed.
    number = NUMBER.fullmatch(text.replace(",", "."))
    value = float(number.group(1)) * scale.factor(number.group(2)) if number else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def parse_time(
    cell: str, zone: tzinfo | None = None, before_s: float | None = None, unit_s: float = 1.0
) -> float:
    """Seconds since the epoch, or, for small numbers, since the start of the log.

    Args:
        cell: A number, or a date and time in ISO 8601 or with slashes as nvidia-smi writes it.
        zone: The zone of a time that names none; ``None`` is this machine's.
        before_s: The time of the reading before, which decides in an hour that comes twice.
        unit_s: The unit of a number, in seconds; seconds that are too large for a date are
            milliseconds.

    Raises:
        ValueError: The cell is not a time.
    """
    text = cell.strip().replace("/", "-")
    if re.fullmatch(r"[0-9]{1,14}(?:[.,][0-9]+)?", text):
        time_s = float(text.replace(",", ".")) * unit_s
        if time_s > EPOCH_MS and unit_s > 1:
            raise ValueError(f"{cell.strip()!r} is not a time in units of {unit_s:g} s")
        return time_s / 1000 if time_s > EPOCH_MS else time_s
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
        first, second = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    except (ValueError, OverflowError):  # OverflowError: a year beyond the platform's clock
        raise ValueError(f"{cell.strip()!r} is not a time") from None
    # Where summer time ends, the first of the two moments would be about an hour before the reading
    # before. Half an hour separates that from the small steps of a clock that is corrected.
    went_back = before_s is not None and first < before_s - HALF_HOUR_S
    return second if went_back else first


def _has_several_devices(rows: Sequence[Row], time: str) -> bool:
    """Whether at least half of the rows have the time of the row before."""
    repeated = sum(earlier.cells[time] == later.cells[time] for earlier, later in pairwise(rows))
    return repeated * 2 >= len(rows)


def _split(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; the separator is the most frequent one in the first line."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    for cells in reader:
        yield reader.line_num, cells


def _same_columns(cells: Sequence[str], names: Sequence[str]) -> bool:
    return [without_unit(cell) for cell in cells] == [without_unit(name) for name in names]


def _with_units(names: Sequence[str], header: Sequence[str]) -> list[str]:
    """The names of columns; names without a unit get the unit in the file's own header."""
    pairs = zip(names, header, strict=True)
    return [(name if unit_of_header(name) else heading).strip() for name, heading in pairs]


def _raise_for(faults: Sequence[str], path: Path) -> None:
    if not faults:
        return
    more = len(faults) - MOST_FAULTS
    listed = (*faults[:MOST_FAULTS], *([f"and {more} more"] if more > 0 else []))
    raise FileFormatError(path, "a power log", listed)
