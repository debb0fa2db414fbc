"""From a table to the readings of each channel.

The columns are understood one by one: numbers and their decimal sign, units, times. Then rows are
parted by device. All faults of a file are reported together, with their lines; what cannot be true
is left out with a remark, or makes the log invalid.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import pairwise
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.counters import check_counter
from pytest_energy.logs.devices import REMEDY, perhaps_several, several_devices
from pytest_energy.logs.energy import Reading
from pytest_energy.logs.numbers import (
    NO_VALUE,
    NUMBER,
    decimal_sign,
    is_sentinel,
    parse_number,
    shape,
)
from pytest_energy.logs.plausibility import USUAL_W, Checked, check_power, check_rows
from pytest_energy.logs.source import Columns, Kind, Options, Source
from pytest_energy.logs.table import MOST_LINES, Row, Table, drop_strays, raise_for
from pytest_energy.logs.times import DAY_S, Clock, Stamp, is_date, is_time_of_day, understand
from pytest_energy.logs.units import (
    POWER,
    Scale,
    counts,
    is_unit,
    scale_of,
    seconds_in,
    unit_of_header,
    without_unit,
)
from pytest_energy.logs.wording import agree, counted
from pytest_energy.model.measurement import Reason, ReasonCode

FINEST_POLL_S: Final = 2e-4
"""No program polls a GPU more often."""
ZONES: Final = ("utc", "gmt", "z")
"""Zones that a header may name."""
GPU_ROWS: Final = re.compile(r"gpu\d+(_energy)?\b", re.IGNORECASE)
"""Names of channels that are one GPU's."""
ROWS_A_PERIOD: Final = 1.5
"""A device has one row a period; so many are of several devices."""
NO_TIME: Final = re.compile("(is not a time|cannot be told apart)$")
TIME_HINT: Final = "name the form of the times with --time-format, such as '%d.%m.%Y %H:%M:%S.%f'"
DIGIT: Final = re.compile(r"\d")
NUMBERS_SHARE: Final = 0.75
"""In a column with so many numbers, a word stands for no reading."""
UNIT_COLUMNS: Final = ("unit", "units", "uom", "unit_of_measurement", "einheit")
"""Names of columns that hold the unit of a row's number."""
BETWEEN_SHARE: Final = 0.005
"""A larger share of time between rows of energy is worth a remark."""


@dataclass(frozen=True)
class Series:
    """The readings of one channel."""

    name: str
    device: str
    """As the log names it; empty if it names none."""
    readings: tuple[Reading, ...]
    durations_s: tuple[float, ...] | None = None
    """Of rows that have joules of their own."""


@dataclass(frozen=True)
class Log:
    """What was read of a file."""

    series: tuple[Series, ...]
    kind: Kind
    relative: bool
    """Whether times count from the start of the log."""
    gpus: bool
    row_start: bool
    remarks: tuple[Reason, ...]
    estimated: bool = False
    may_mix: bool = False
    """Whether no column tells GPUs apart, so that their number is not known."""
    columns: tuple[str, ...] = ()
    """Those of power or energy."""


@dataclass(frozen=True)
class Cell:
    """A row as numbers; ``value`` is missing if its cell has none."""

    row: Row
    stamp: Stamp
    value: float | None
    duration_s: float | None = None
    limit_w: float | None = None


def read_log(path: Path, source: Source, options: Options) -> Log:
    """The readings of a table, by channel.

    Raises:
        FileFormatError: A cell is not a number or time, or the unit of a cell or of the column does
            not fit.
        UsageError: The log fits several readings; the error names the option that decides.
    """
    columns = _with_dates(source.table, _in_named_zone(source.columns))
    table = _without_cut_rows(path, source.table, columns)
    source = replace(source, columns=columns)
    clock = _clock(path, table, columns, options)
    remarks = [_note(remark) for remark in (*table.remarks, *source.remarks)]
    if columns.duration and not columns.unit_is_known and not seconds_in(columns.duration):
        remarks.append(_note(f"column {columns.duration!r} names no unit; seconds are assumed"))
    if clock.assumed:
        remarks.append(_note(clock.assumed))
    parts: list[tuple[str, str, list[Cell]]] = []
    for column in columns.values:
        cells, found = _cells(path, table, columns, column, clock, options)
        remarks += found
        parts += [(column, device, own) for device, own in _by_device(cells, columns).items()]
    names = _channel_names(source, [(column, device) for column, device, _ in parts])
    series: list[Series] = []
    for name, (_, device, own) in zip(names, parts, strict=True):
        part, checked = _series(path, name, device, own, source, clock, options)
        series.append(part)
        remarks += checked
    return Log(
        tuple(series),
        columns.kind,
        clock.relative,
        source.gpus,
        columns.row_start,
        tuple(remarks),
        source.estimated,
        source.may_mix and len(series) == 1,
        columns.values,
    )


def _in_named_zone(columns: Columns) -> Columns:
    """The columns with the zone that the header of the times names: ``time [UTC]``."""
    named = unit_of_header(columns.times[-1]) if columns.times else None
    return replace(columns, zone=UTC) if (named or "").casefold() in ZONES else columns


def _with_dates(table: Table, columns: Columns) -> Columns:
    """The columns with that of the dates before times of day that pass from day to day."""
    if len(columns.times) != 1 or columns.time_format:
        return columns
    times = table.column(columns.times[0])
    if 2 * sum(map(is_time_of_day, times)) <= len(times):
        return columns
    for name in table.names:
        dates = table.column(name)
        if len(set(dates)) > 1 and 2 * sum(map(is_date, dates)) > len(dates):
            return replace(columns, times=(name, *columns.times))
    return columns


def _series(
    path: Path,
    name: str,
    device: str,
    cells: Sequence[Cell],
    source: Source,
    clock: Clock,
    options: Options,
) -> tuple[Series, list[Reason]]:
    """The readings of a channel that can be true, and remarks."""
    columns = source.columns
    try:
        cells, times, remarks = _timed(name, cells, clock, columns, options)
    except ValueError as error:
        raise UsageError(f"{path}: {name}: {error}") from None
    pairs = [(cell, time_s) for cell, time_s in zip(cells, times, strict=True)]
    usable = [(cell, time_s) for cell, time_s in pairs if cell.value is not None]
    readings = [Reading(time_s, cell.value or 0.0) for cell, time_s in usable]
    if not options.one_device:
        _refuse_several(path, name, [cell.row for cell, _ in usable], readings, source)
        if not (columns.times and options.period_s):  # it is checked below
            remarks += _perhaps_several(name, readings, source)
    elif any(later.time_s == earlier.time_s for earlier, later in pairwise(readings)):
        readings = _spread(readings)
        remarks.append(
            _note(f"{name}: rows of one time stamp are spread over the time to the next")
        )
    if source.gpus and columns.kind == "power":
        _check_polling(name, readings)
    if columns.times and options.period_s:
        _check_period(path, name, readings, options.period_s)
    remarks += _ends_early(name, pairs, usable)
    try:
        checked = _checked(name, readings, usable, source, options)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    durations = None
    if columns.duration and checked.readings:
        durations = _durations(checked.readings, readings, usable)
        remarks += _between_rows(name, checked.readings, durations, columns.row_start)
    return Series(name, device, checked.readings, durations), [*remarks, *checked.remarks]


def _durations(
    readings: Sequence[Reading],
    all_readings: Sequence[Reading],
    usable: Sequence[tuple[Cell, float]],
) -> tuple[float, ...]:
    """The lengths of the rows that are left."""
    left = set(readings)
    return tuple(
        cell.duration_s or 0.0
        for reading, (cell, _) in zip(all_readings, usable, strict=True)
        if reading in left
    )


def _checked(
    name: str,
    readings: Sequence[Reading],
    usable: Sequence[tuple[Cell, float]],
    source: Source,
    options: Options,
) -> Checked:
    columns = source.columns
    kind = columns.kind
    if kind == "power":
        limits = [cell.limit_w for cell, _ in usable]
        return check_power(name, readings, limits, source.gpus)
    if kind == "per-row":
        durations = [cell.duration_s or 1.0 for cell, _ in usable] if columns.duration else None
        return check_rows(
            name, readings, durations, source.gpus or GPU_ROWS.match(name) is not None
        )
    return check_counter(name, readings, options.counter, source.gpus)


def _cells(
    path: Path, table: Table, columns: Columns, column: str, clock: Clock, options: Options
) -> tuple[list[Cell], list[Reason]]:
    """The rows as numbers, for one column of values, with remarks."""
    scale = _scale(path, table, columns, column)
    sign = _decimal(path, table, columns, column)
    limit = next(iter(columns.limits), None)
    units = unit_column(table, columns) if scale.header is None else None
    end = max((row.line for row in table.rows if _has_digit(row, columns)), default=0)
    words_are_gaps = _mostly_have_digits(table.column(column))
    cells: list[Cell] = []
    sentinels: list[str] = []
    faults: list[str] = []
    strays: dict[int, str] = {}
    for row in table.rows:
        problems: list[str] = []
        stamp = _stamp(row, columns, clock, len(cells), problems)
        text = row.cells[column]
        is_word = words_are_gaps and not DIGIT.search(text)
        unit = row.cells[units] if units else None
        value = None if is_word else _value(text, sign, scale, unit, sentinels, problems)
        # A row without a value, or a time at the end, is a line of text, such as that of a total.
        if stamp is None and (is_word or len(problems) == 2 or row.line > end):
            strays[row.line] = ", ".join(row.cells.values())
        elif problems or stamp is None:
            faults += [f"line {row.line}: {problem}" for problem in problems]
        else:
            duration_s = _duration(row, columns, sign, problems)
            faults += [f"line {row.line}: {problem}" for problem in problems]
            cells.append(Cell(row, stamp, value, duration_s, _limit(row, limit, sign)))
    raise_for(faults, path, TIME_HINT if any(map(NO_TIME.search, faults)) else None)
    if not cells:
        raise_for([f"line {n}: {line[:60]!r} is not a reading" for n, line in strays.items()], path)
    kept = drop_strays(Table(tuple(cell.row for cell in cells)), strays, path)
    remarks = [_note(remark) for remark in kept.remarks]
    if sentinels:
        listed = ", ".join(sorted(set(sentinels))[:MOST_LINES])
        hold = agree(len(sentinels), "holds", "hold")
        left_out = f"{counted(len(sentinels), 'cell')} of {column!r}"
        remarks.append(_note(f"{left_out} {hold} no reading ({listed}); left out"))
    if (
        scale.header is None
        and scale.option is None
        and not columns.unit_is_known
        and units is None
        and not any(_has_unit(row.cells[column]) for row in table.rows)
    ):
        _refuse_unusual(path, column, cells)
        remarks.append(_note(f"column {column!r} names no unit; watts are assumed (--power-unit)"))
    return cells, remarks


def unit_column(table: Table, columns: Columns) -> str | None:
    """The column with the unit of each row's number; ``None`` if there is none."""
    for name in table.names:
        if name.casefold() in UNIT_COLUMNS and name not in (*columns.devices, *columns.values):
            cells = [cell for cell in table.column(name) if cell.strip()]
            return name if cells and all(map(is_unit, cells)) else None
    return None


def _mostly_have_digits(cells: Sequence[str]) -> bool:
    """Whether so many cells are numbers that words among them stand for no reading."""
    return sum(DIGIT.search(cell) is not None for cell in cells) >= NUMBERS_SHARE * len(cells)


def _has_digit(row: Row, columns: Columns) -> bool:
    return DIGIT.search(_time_text(row, columns)) is not None


def _refuse_unusual(path: Path, column: str, cells: Sequence[Cell]) -> None:
    """Refuse a power without a unit that is unusual in watts."""
    lowest_w, highest_w = USUAL_W
    powers = [abs(cell.value) for cell in cells if cell.value]
    usual_w = statistics.median(powers) if powers else lowest_w
    if not lowest_w <= usual_w <= highest_w:
        raise_for(
            [
                f"column {column!r} names no unit, and {usual_w:.4g} W is unusual; name it with"
                " --power-unit"
            ],
            path,
        )


def _scale(path: Path, table: Table, columns: Columns, column: str) -> Scale:
    try:
        scale = scale_of(column, columns.quantity, columns.unit)
        has_units = unit_column(table, columns) is not None
        named = [
            has_units or _has_unit(cell)
            for cell in table.column(column)
            if NUMBER.fullmatch(cell.strip())
        ]
        if not scale.header and not scale.option and columns.kind != "power" and not all(named):
            scale.factor()  # says that no unit is named
    except ValueError as error:
        raise_for([f"column {column!r}: {error}"], path)
        raise
    return scale


def _decimal(path: Path, table: Table, columns: Columns, column: str) -> str:
    """The decimal sign of a column."""
    if columns.decimal:
        return columns.decimal
    others = [cell for row in table.rows for name, cell in row.cells.items() if name != column]
    try:
        return decimal_sign(table.column(column), others, table.separator)
    except ValueError as error:
        raise_for([f"column {column!r}: {error}"], path)
        raise


def _clock(path: Path, table: Table, columns: Columns, options: Options) -> Clock:
    """How the times of the table are read."""
    if not columns.times:
        if options.period_s is None:
            raise UsageError(
                f"{path}: the log has no times; log them, too, or name the seconds between the rows"
                " of a device with --period"
            )
        return Clock(lambda cell: Stamp(), relative=True)
    name = columns.times[-1]
    cells = [_time_text(row, columns) for row in table.rows]
    try:
        unit_s = (
            seconds_in(f"[{columns.time_unit}]")
            if columns.time_unit
            else seconds_in(name)
            if len(columns.times) == 1 and _mostly_numbers(cells)
            else None
        )
        sign = "."
        if len(columns.times) == 1 and _mostly_numbers(cells):
            sign = _decimal(path, table, columns, name)
        clock = understand(
            cells, unit_s, columns.time_format, sign, columns.order, columns.times_are_seconds
        )
        if clock.assumed and counts(name):
            raise ValueError("its name says that it counts, not how long; name --time-unit")
        return clock
    except ValueError as error:
        raise_for([f"column {name!r}: {error}"], path)
        raise


def _stamp(
    row: Row, columns: Columns, clock: Clock, place: int, problems: list[str]
) -> Stamp | None:
    text = _time_text(row, columns)
    try:
        return clock.read(text)
    except ValueError as error:
        problems.append(str(error))
        return None


def _time_text(row: Row, columns: Columns) -> str:
    return " ".join(row.cells[name].strip() for name in columns.times)


def _value(
    cell: str,
    sign: str,
    scale: Scale,
    unit: str | None,
    sentinels: list[str],
    problems: list[str],
) -> float | None:
    """Watts or joules of a cell; ``None`` if it has no value."""
    try:
        return parse_value(cell, scale, sign, unit)
    except SentinelError:
        sentinels.append(cell.strip())
    except ValueError as error:
        problems.append(str(error))
    return None


class SentinelError(ValueError):
    """A number that says that there is no reading."""


def parse_value(cell: str, scale: Scale, sign: str = ".", unit: str | None = None) -> float | None:
    """Watts or joules of a number with or without a unit; ``None`` for a cell without a value.

    A number without a unit is in ``unit``, that of another column.

    Raises:
        SentinelError: The number says that there is no reading.
        ValueError: The cell is not a number, or its unit does not fit.
    """
    number = parse_number(cell, sign)
    if number is None:
        return None
    value, own_unit = number
    factor = scale.factor(own_unit or unit)
    if is_sentinel(value):
        raise SentinelError(cell)
    return value * factor


def _duration(row: Row, columns: Columns, sign: str, problems: list[str]) -> float | None:
    if columns.duration is None:
        return None
    cell = row.cells[columns.duration]
    try:
        unit_s = seconds_in(columns.duration) or 1.0
        number = parse_number(cell, sign)
        if number is None or number[1] or number[0] <= 0:
            raise ValueError(f"{cell!r} is not a duration")
    except ValueError as error:
        problems.append(str(error))
        return None
    return number[0] * unit_s


def _limit(row: Row, column: str | None, sign: str) -> float | None:
    """The logged limit of the device, in watts; ``None`` if the row has none."""
    if column is None:
        return None
    try:
        return parse_value(row.cells[column], scale_of(column, POWER), sign)
    except ValueError:
        return None


def _by_device(cells: Sequence[Cell], columns: Columns) -> Mapping[str, list[Cell]]:
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[" ".join(cell.row.cells[name].strip() for name in columns.devices)].append(cell)
    return groups


def _channel_names(source: Source, channels: Sequence[tuple[str, str]]) -> list[str]:
    """The names of channels: their device, their column, or both.

    Joules are kept by name. Names that several channels would share, such as ``gpu0`` of two hosts,
    or ``power`` of two columns in other units, are written in full.

    Args:
        source: The log.
        channels: The column and the device of each.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(d for _, d in channels))}
    short = [_channel_name(source, column, device, places[device]) for column, device in channels]
    full = [
        name if short.count(name) == 1 else _full_name(source, name, column, device)
        for name, (column, device) in zip(short, channels, strict=True)
    ]
    return [
        name if full.count(name) == 1 else f"{name} #{place}"
        for place, name in enumerate(full, start=1)
    ]


def _channel_name(source: Source, column: str, device: str, place: int) -> str:
    label = source.label(device, place)
    if len(source.columns.values) == 1:
        return label
    plain = without_unit(column)
    return f"{label}.{plain}" if device else plain


def _full_name(source: Source, name: str, column: str, device: str) -> str:
    if len(source.columns.values) == 1:
        return f"{name} ({device})"
    return f"{device}.{column}" if device else column


def _timed(
    name: str, cells: Sequence[Cell], clock: Clock, columns: Columns, options: Options
) -> tuple[Sequence[Cell], list[float], list[Reason]]:
    """The rows in the order of time, with their times.

    Raises:
        ValueError: A time is not of this century.
    """
    if not columns.times:
        period_s = options.period_s or 0.0
        remark = f"{name}: times are counted by --period; lines that are missing are not noticed"
        return cells, [place * period_s for place in range(len(cells))], [_note(remark)]
    times: list[float] = []
    days = 0.0
    for cell in cells:
        time_s = cell.stamp.in_seconds(columns.zone, times[-1] if times else None) + days
        # A clock without dates begins again at midnight.
        if clock.wraps and times and time_s < times[-1] - DAY_S / 2:
            days += DAY_S
            time_s += DAY_S
        times.append(time_s)
    steps = [later - earlier for earlier, later in pairwise(times)]
    if len(steps) > 1 and max(steps) <= 0 and min(steps) < 0:
        remark = f"{name}: the rows come in the reverse order of time and were turned round"
        return list(reversed(cells)), times[::-1], [_note(remark)]
    return cells, times, []


def _refuse_several(
    path: Path, name: str, rows: Sequence[Row], readings: Sequence[Reading], source: Source
) -> None:
    """Refuse a channel that holds several devices."""
    columns = source.columns
    used = {*columns.times, *columns.values, *columns.devices, columns.duration, *columns.limits}
    used.add(unit_column(source.table, columns))
    others = {
        other: [row.cells[other] for row in rows]
        for other in source.table.names
        if other not in used
    }
    count = next((cells for other, cells in others.items() if other == "count"), [])
    sign = several_devices(readings, others, columns.kind)
    if not columns.devices and any(cell.isdigit() and int(cell) > 1 for cell in count):
        sign = "column 'count' counts several devices"
    if sign:
        where = f" of device {name}" if columns.devices else ""
        raise UsageError(
            f"{path}: the rows{where} look like those of several devices: {sign}; {REMEDY}"
        )


def _perhaps_several(name: str, readings: Sequence[Reading], source: Source) -> list[Reason]:
    """A remark if readings may be of several devices, or nothing says how many there are."""
    if source.columns.kind == "per-row" or len(source.columns.values) > 1:
        return []  # the joules of rows add up, whatever they are of; columns name devices
    if sign := perhaps_several(readings, source.columns.kind):
        return [_note(f"{name}: perhaps several devices: {sign}; {REMEDY}")]
    if source.may_mix or source.unnamed:
        return [
            _note(
                f"{name}: one device is assumed: no column names devices, so that their number"
                " cannot be checked (--device-column, --one-device)"
            )
        ]
    return []


def _check_period(path: Path, name: str, readings: Sequence[Reading], period_s: float) -> None:
    """Refuse rows that come more often than a device is polled.

    Raises:
        UsageError: There are.
    """
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(readings)]
    step_s = statistics.mean(steps) if steps else period_s
    if 0 <= step_s < period_s / ROWS_A_PERIOD:
        raise UsageError(
            f"{path}: {name} has a row each {step_s:.3g} s, but --period says {period_s:g} s: the"
            f" rows look like those of several devices; {REMEDY}"
        )


def _spread(readings: Sequence[Reading]) -> list[Reading]:
    """Readings of one stamp, evenly over the time to the next: a clock of whole seconds."""
    counts = Counter(reading.time_s for reading in readings)
    stamps = sorted(counts)
    step_s = statistics.median([later - earlier for earlier, later in pairwise(stamps)] or [0.0])
    following = dict(pairwise(stamps))
    seen: Counter[float] = Counter()
    spread = []
    for reading in readings:
        begin_s = reading.time_s
        length_s = min(following.get(begin_s, begin_s + step_s) - begin_s, step_s)
        shift_s = length_s * seen[begin_s] / counts[begin_s]
        seen[begin_s] += 1
        spread.append(replace(reading, time_s=begin_s + shift_s))
    return spread


def _check_polling(name: str, readings: Sequence[Reading]) -> None:
    steps = [
        later.time_s - earlier.time_s
        for earlier, later in pairwise(readings)
        if later.time_s > earlier.time_s
    ]
    if steps and statistics.median(steps) < FINEST_POLL_S:
        raise UsageError(
            f"{name}: the readings are {statistics.median(steps):.3g} s apart, which no program"
            " can log; name the unit of the times with --time-unit"
        )


def _ends_early(
    name: str,
    pairs: Sequence[tuple[Cell, float]],
    usable: Sequence[tuple[Cell, float]],
) -> list[Reason]:
    """A remark if the first or last rows of a channel have no value."""
    if not usable or len(usable) == len(pairs):
        return []
    empty = len(pairs) - len(usable)
    cell = next(cell for cell, _ in reversed(pairs) if cell.value is None)
    end_s, log_end_s = usable[-1][1], pairs[-1][1]
    tail = (
        f"; its last reading is {log_end_s - end_s:.6g} s before the log ends"
        if (log_end_s > end_s)
        else ""
    )
    have = agree(empty, "has", "have")
    remark = f"{name}: {empty} of {len(pairs)} rows {have} no value (line {cell.row.line}){tail}"
    return [Reason(code=ReasonCode.DATA_GAP, message=remark, fatal=False)]


def _between_rows(
    name: str, readings: Sequence[Reading], durations_s: Sequence[float], row_start: bool
) -> list[Reason]:
    """A remark on the time between rows, where a row may be missing."""
    own_s = durations_s[-1] if row_start else durations_s[0]
    whole_s = abs(readings[-1].time_s - readings[0].time_s) + own_s
    between_s = whole_s - sum(durations_s)
    if between_s <= BETWEEN_SHARE * whole_s:
        return []
    return [
        _note(
            f"{name}: the rows cover {sum(durations_s):.6g} s of {whole_s:.6g} s; what was spent"
            " between them is not counted"
        )
    ]


def _without_cut_rows(path: Path, table: Table, columns: Columns) -> Table:
    """The table without a last row that was cut inside a number or a time."""
    if not table.endings or len(table.rows) < 3:
        return table
    last = table.names[-1]
    if last not in (*columns.values, *columns.times):
        return table
    ends = [row for row in table.rows if row.line in table.endings]
    others = [shape(row.cells[last]) for row in table.rows if row.line not in table.endings]
    cut = [row for row in ends if _is_cut(row.cells[last], others)]
    unsure = [row for row in ends if row not in cut and _may_be_cut(row.cells[last], others)]
    remarks = [f"the last number of line {row.line} may be cut" for row in unsure]
    rows = tuple(row for row in table.rows if row not in cut)
    shorter = replace(table, rows=rows, remarks=(*table.remarks, *remarks))
    return drop_strays(shorter, {row.line: ",".join(row.cells.values()) for row in cut}, path)


def _is_cut(cell: str, others: Sequence[tuple[int, bool, int, bool]]) -> bool:
    """Whether a cell is shorter than all others are: fewer decimals, digits, or no unit."""
    decimals, unit, digits, sign = shape(cell)
    return (
        decimals < min(other[0] for other in others)
        or (not unit and all(other[1] for other in others))
        or (digits < min(other[2] for other in others) and not decimals)
        or (sign and not decimals and not any(other[3] and not other[0] for other in others))
    )


def _may_be_cut(cell: str, others: Sequence[tuple[int, bool, int, bool]]) -> bool:
    """Whether the numbers vary in length, so that a cut one does not show."""
    decimals, unit, *_ = shape(cell)
    fixed_decimals = len({other[0] for other in others}) == 1 and decimals > 0
    fixed_digits = len({other[2] for other in others}) == 1 and decimals == 0
    return not unit and not fixed_decimals and not fixed_digits


def _mostly_numbers(cells: Sequence[str]) -> bool:
    return sum(NUMBER.fullmatch(cell.strip()) is not None for cell in cells) * 2 > len(cells)


def _has_unit(cell: str) -> bool:
    number = NUMBER.fullmatch(cell.strip())
    return number is not None and bool(number["unit"]) and NO_VALUE.fullmatch(cell) is None


def _note(message: str) -> Reason:
    return Reason(code=ReasonCode.NOTE, message=message, fatal=False)
