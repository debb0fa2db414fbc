"""``tegrastats`` of Jetsons: a line a reading, with the power of each rail now and on average."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays, find_column

RAIL: Final = re.compile(
    r"\b((?:VDD|VIN|POM|VDDQ|CV|SYS)_?[A-Z0-9_]*(?= -?\d+(?:mW)?(?:\s|$))"
    r"|(?!NC\b)[A-Z][A-Z0-9_]*(?= -?\d+(?:mW)?/)) (-?\d+)(mW)?(?:/(-?\d+)(mW)?)?(?=\s|$)"
)
"""A rail with its power, or with any name and its power now and on average: the AGX Xavier has
``GPU 0/0 CPU 311/311``. ``NC`` is not connected."""
LINE: Final = re.compile(r"^(?P<time>.*?)\s*\bRAM \d+/\d+[MKG]?B")
TOTALS: Final = ("VDD_IN", "POM_5V_IN", "SYS_5V_IN", "VIN")
"""Rails that feed the others."""


def _recognizes(lines: Sequence[str]) -> bool:
    return any(LINE.match(line) and RAIL.search(line) for line in lines[:200])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    rows: list[Row] = []
    strays: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        start, rails = LINE.match(line), RAIL.findall(line)
        if start and rails:
            cells = {f"{name} [mW]": now for name, now, *_ in rails}
            rows.append(Row(number, {"time": start["time"], **cells}))
        elif line.strip():
            strays[number] = line
    if not rows:
        raise FileFormatError(path, "a log of tegrastats", ("no rail of power",))
    first = rows[0].cells.keys()
    strays |= {row.line: lines[row.line - 1] for row in rows if row.cells.keys() != first}
    kept = tuple(row for row in rows if row.cells.keys() == first)
    table = drop_strays(
        Table(kept, " ", endings=frozenset({len(lines)} & {rows[-1].line})), strays, path
    )
    wanted = options.power_columns or _total(path, table.names)
    return Source(
        table,
        Columns(
            times=("time",) if any(row.cells["time"] for row in kept) else (),
            values=tuple(find_column(table.names, name) for name in wanted),
            order="month",
            time_format=options.time_format,
            decimal=".",
            zone=options.zone,
        ),
        label=lambda _, __: "board" if not options.power_columns else wanted[0],
    )


def _total(path: Path, names: Sequence[str]) -> tuple[str]:
    """The rail that feeds the others."""
    rails = [name.partition(" ")[0] for name in names if name != "time"]
    total = [name for name in TOTALS if name in rails]
    if len(total) == 1:
        return (total[0],)
    if len(rails) == 1:
        return (rails[0],)
    raise UsageError(
        f"{path}: no rail is known to feed all others. Name those to add up with --power-column,"
        f" once for each: {', '.join(rails)}"
    )


FORMAT: Final = Format("tegrastats", "tegrastats of a Jetson", _recognizes, _read)
