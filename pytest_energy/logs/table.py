"""Tables in text: a header, rows of cells, and the lines around them.

Logs have lines of other programs: of ``nohup``, of a shell, of a driver that lost its device, a
summary at the end. Lines that do not fit are left out, with a remark that names them. Many of them
inside the table are a fault.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.units import is_unit, unit_of_header, without_unit
from pytest_energy.logs.wording import counted

Fits = Callable[[Sequence[str]], bool]
"""Whether cells are the header of a table."""

NUMERIC: Final = re.compile(r"[-+]?\d[\d.,:/\-+ tzeg]*[nuµmk]?[wj]?h?", re.IGNORECASE)
"""A number, perhaps with a unit, or a time: no name of a column."""
SEPARATORS: Final = (",", ";", "\t", "|")
MOST_FAULTS: Final = 10
"""More faults of a file, of any kind, are only counted."""
PARTICULARS: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|\d+")
"""What tells a fault from one of its kind: the cell, and numbers."""
MOST_LINES: Final = 3
"""More lines that were left out, and more faults of one kind, are only counted."""
LAST_HEADER: Final = 200
"""A header is looked for in the first lines only."""
STRAY_SHARE: Final = 0.05
"""A larger share of lines inside the table that do not fit is a fault."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of a log."""

    rows: tuple[Row, ...]
    separator: str = ","
    remarks: tuple[str, ...] = ()
    """On lines that were left out."""
    endings: frozenset[int] = field(default=frozenset())
    """Lines at which the file, or one of its parts, ends without a line end or before a header."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.rows[0].cells)

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        return [row.cells[name] for row in self.rows]


def read_table(
    path: Path,
    lines: Sequence[str],
    fits: Fits,
    names: Sequence[str] | None = None,
) -> Table:
    """Read a table with commas, semicolons, tabs or bars between its cells.

    Args:
        path: The file, for errors.
        lines: Its lines.
        fits: Whether cells are the table's header.
        names: The columns of a file without a header.

    Raises:
        FileFormatError: It is not a table, many lines differ in length, or the units of its headers
            differ.
        UsageError: No line is a header.
    """
    separator, header, first = _find_header(path, lines, fits, names)
    unit_line = _unit_line(lines, first, separator, header)
    if unit_line:
        header = _with_unit_line(header, split(lines[unit_line - 1], separator))
    rows: list[Row] = []
    strays: dict[int, str] = {}
    faults: list[str] = []
    endings = set()
    for number, line in enumerate(lines, start=1):
        cells = _fitted(split(line, separator), len(header))
        if not line.strip() or _is_separator_line(line) or number == unit_line:
            continue
        if _same_columns(cells, header):
            faults += _other_units(number, cells, header)
            if rows:
                endings.add(rows[-1].line)
        elif first < number < len(lines) and _is_other_header(cells, header):
            faults.append(
                f"line {number}: {line.strip()[:60]!r} is a header of other columns than in line"
                f" {first}; split the log there"
            )
        elif number <= first or len(cells) != len(header):
            strays[number] = line
        else:
            rows.append(Row(number, dict(zip(header, cells, strict=True))))
    if rows and rows[-1].line == len(lines):  # the last line has no end
        endings.add(len(lines))
    if not rows:
        faults += [
            f"line {number}: {counted(len(cells), 'cell')}, {len(header)} expected"
            for number, line in strays.items()
            if number > first
            for cells in [_fitted(split(line, separator), len(header))]
        ] or ["no readings"]
    early = [
        number
        for number in strays
        if number < first and _is_row(lines[number - 1], separator, len(header))
    ]
    if len(early) > MOST_LINES:
        faults.append(
            f"lines {early[0]} to {early[-1]} have {len(header)} cells, as the table has, but"
            f" stand before its header in line {first}; correct the header, or remove them"
        )
    raise_for(faults, path)
    return drop_strays(Table(tuple(rows), separator, endings=frozenset(endings)), strays, path)


def drop_strays(table: Table, strays: Mapping[int, str], path: Path) -> Table:
    """The table, with a remark on lines that were left out.

    Raises:
        FileFormatError: There are many of them inside the table.
    """
    first, last = table.rows[0].line, table.rows[-1].line
    inside = [number for number in strays if first < number < last]
    if len(inside) > max(MOST_LINES, STRAY_SHARE * len(table.rows)):
        cells = len(table.names)
        raise_for(
            [f"line {n}: {strays[n].strip()[:60]!r} is not a row of {cells} cells" for n in inside],
            path,
        )
    listed = [f"line {n} ({line.strip()[:60]!r})" for n, line in strays.items()]
    if not listed:
        return table
    more = f" and {len(listed) - MOST_LINES} more" if len(listed) > MOST_LINES else ""
    remark = f"left out, because it is no reading: {', '.join(listed[:MOST_LINES])}{more}"
    return Table(table.rows, table.separator, (*table.remarks, remark), table.endings)


def split(line: str, separator: str) -> list[str]:
    """The cells of a line, without the spaces around them."""
    if separator == " ":
        return line.split()
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a cell without end
        return [line]
    return [cell.strip() for cell in cells]


def find_column(names: Sequence[str], name: str, option: str = "--power-column") -> str:
    """A column by its name in the header, with or without the unit, in any case.

    Raises:
        UsageError: No column has this name, or more than one; the error lists the columns.
    """
    if name in names:
        return name
    for plain in (str, str.casefold):
        wanted = plain(name)
        candidates = [
            other for other in names if wanted in (plain(without_unit(other)), plain(other))
        ]
        candidates = candidates or [
            other for other in names if plain(_plain(other)) in (wanted, plain(without_unit(name)))
        ]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UsageError(
                f"more than one column {name!r}: {', '.join(candidates)}. Name one of these"
            )
    raise UsageError(
        f"no column {name!r} among {', '.join(names)}. Name the right one with {option}. If the log"
        " has no header, name its columns with --columns"
    )


def has_column(names: Iterable[str], name: str) -> bool:
    """Whether a header has this column, with or without a unit, in any case."""
    return name.casefold() in _forms(tuple(names))


@lru_cache(4096)  # each format looks for several columns in each of the first lines
def _forms(names: tuple[str, ...]) -> frozenset[str]:
    """The names of columns with and without units and numbers, in lower case."""
    return frozenset(
        form.casefold() for other in names for form in (other, without_unit(other), _plain(other))
    )


def raise_for(faults: Sequence[str], path: Path, hint: str | None = None) -> None:
    """Raise the faults of a file together, with a hint behind them.

    Raises:
        FileFormatError: There are some.
    """
    if not faults:
        return
    alike: dict[str, list[str]] = {}
    for fault in faults:
        alike.setdefault(PARTICULARS.sub("", fault), []).append(fault)
    listed: list[str] = []
    for group in alike.values():
        more = len(group) - MOST_LINES
        listed += [*group[:MOST_LINES], *([f"and {more} more such lines"] if more > 0 else [])]
    more = len(listed) - MOST_FAULTS
    listed[MOST_FAULTS:] = [f"and {more} more"] if more > 0 else []
    raise FileFormatError(path, "a power log", (*listed, *filter(None, [hint])))


def has_columns(*names: str, one_of: Sequence[str] = ()) -> Fits:
    """A test for a header with all of these columns and, if ``one_of`` names some, one of those."""

    def fits(cells: Sequence[str]) -> bool:
        return all(has_column(cells, name) for name in names) and (
            not one_of or any(has_column(cells, name) for name in one_of)
        )

    return fits


def recognizer(fits: Fits) -> Callable[[Sequence[str]], bool]:
    """A test for lines among whose first there is a header that fits."""
    return lambda lines: has_header(lines, fits)


def has_header(lines: Sequence[str], fits: Fits) -> bool:
    """Whether one of the first lines is a header that fits."""
    return _header_line(lines, fits) is not None


def _find_header(
    path: Path,
    lines: Sequence[str],
    fits: Fits,
    names: Sequence[str] | None,
) -> tuple[str, list[str], int]:
    """The separator, the header, and the number of its line."""
    if names is not None:
        separator = max(
            SEPARATORS,
            key=lambda sign: sum(
                len(_fitted(split(line, sign), len(names))) == len(names) for line in lines
            ),
        )
        own = next(
            (
                cells
                for line in lines
                if _same_columns(cells := _fitted(split(line, separator), len(names)), names)
            ),
            names,
        )
        return separator, _with_units(names, own), 0
    header = _header_line(lines, fits)
    return header if header is not None else _refuse(path, lines)


def _header_line(lines: Sequence[str], fits: Fits) -> tuple[str, list[str], int] | None:
    for number, line in enumerate(lines[:LAST_HEADER], start=1):
        for separator in SEPARATORS:
            cells = _header_cells(line, separator)
            if fits(cells):
                return separator, _distinct(cells), number
    return None


@lru_cache(4096)  # each format reads each of the first lines
def _header_cells(line: str, separator: str) -> tuple[str, ...]:
    """The cells of what may be a header, which may be a comment."""
    return tuple(split(line.lstrip("#").lstrip(), separator))


def _refuse(path: Path, lines: Sequence[str]) -> NoReturn:
    if not any(line.strip() for line in lines):
        raise FileFormatError(path, "a power log", ("no readings",))
    first = next(line for line in lines if line.strip())
    separator = max(SEPARATORS, key=first.count)
    raise UsageError(
        f"{path}: no line is a header with the columns that were named; the first line has"
        f" {', '.join(split(first, separator))[:200]}. Name the columns of times and of power or"
        " energy with --time-column, --power-column or --energy-column. If the log has no header,"
        " name all of its columns with --columns"
    )


def _distinct(cells: Sequence[str]) -> list[str]:
    """Names of columns; equal names get the number of their place, and an empty one a name."""
    names = [cell or f"column {place}" for place, cell in enumerate(cells, start=1)]
    return [
        _numbered(name, place) if names.count(name) > 1 else name
        for place, name in enumerate(names, start=1)
    ]


def _numbered(name: str, place: int) -> str:
    unit = unit_of_header(name)
    return f"{without_unit(name)} #{place}" + (f" [{unit}]" if unit else "")


def _plain(name: str) -> str:
    """A name without its unit and the number of its place."""
    return re.sub(r" #\d+$", "", without_unit(name))


def _is_row(line: str, separator: str, length: int) -> bool:
    return len(_fitted(split(line, separator), length)) == length


def _fitted(cells: list[str], length: int) -> list[str]:
    """The cells without empty ones beyond the header: a comma at the end of a line."""
    while len(cells) > length and not cells[-1]:
        cells = cells[:-1]
    return cells


def _unit_line(
    lines: Sequence[str], first: int, separator: str, header: Sequence[str]
) -> int | None:
    """The number of the line of units behind a header; ``None`` if there is none."""
    following = ((n, line) for n, line in enumerate(lines, start=1) if n > first and line.strip())
    number, line = next(following, (0, ""))
    cells = _fitted(split(line, separator), len(header))
    texts = [cell.strip("[](){} ") for cell in cells]
    if not first or len(cells) != len(header) or not any(map(is_unit, texts)):
        return None
    return None if any(character.isdigit() for text in texts for character in text) else number


def _with_unit_line(header: Sequence[str], units: Sequence[str]) -> list[str]:
    """Names of columns with the units of the line behind them."""
    texts = [unit.strip("[](){} ") for unit in units]
    return [
        f"{name} [{unit}]" if unit and not unit_of_header(name) else name
        for name, unit in zip(header, texts, strict=False)
    ]


def _is_other_header(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a line names columns again, but others, or in another order.

    A row with a number or a time names none: ``Time,03-20-2024 23:59:57,Watts,250`` has words too.
    """
    named = {without_unit(name).casefold() for name in header}
    texts = [without_unit(cell.lstrip("# ")).casefold() for cell in cells]
    return (
        len(texts) > 1
        and any(text in named and not _is_number(text) for text in texts)
        and not any(NUMERIC.fullmatch(text) for text in texts)
    )


def _is_number(text: str) -> bool:
    return not text.strip() or text.strip()[0] in "+-.0123456789"


def _is_separator_line(line: str) -> bool:
    return re.fullmatch(r"\s*(sep=.|[-=+|\s]+)\s*", line) is not None


def _same_columns(cells: Sequence[str], names: Sequence[str]) -> bool:
    first = cells[0].lstrip("# ") if cells else ""
    # The first cell of nearly every row decides, without a look at the others.
    if len(cells) != len(names) or (first and without_unit(first) != _plain(names[0])):
        return False
    plain = [without_unit(cell) for cell in _distinct([cell.lstrip("# ") for cell in cells])]
    return [_plain(cell) for cell in plain] == [_plain(name) for name in names]


def _other_units(number: int, cells: Sequence[str], header: Sequence[str]) -> list[str]:
    return [
        f"line {number}: {cell!r} contradicts the earlier {name!r}; correct or split the log"
        for cell, name in zip(cells, header, strict=True)
        if unit_of_header(cell) not in (None, unit_of_header(name))
    ]


def _with_units(names: Sequence[str], header: Sequence[str]) -> list[str]:
    """The names of columns; names without a unit get the unit in the file's own header."""
    pairs = zip(names, header, strict=True)
    return [(name if unit_of_header(name) else heading).strip() for name, heading in pairs]
