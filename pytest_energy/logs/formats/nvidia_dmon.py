"""``nvidia-smi dmon -s p -o DT``: columns of text or, with ``--format csv``, commas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays, find_column, split

DATE, TIME, GPU, POWER = "Date", "Time", "gpu", "pwr"


def _header(line: str) -> list[str] | None:
    """The columns, if the line is the header of dmon."""
    if not line.lstrip().startswith("#"):
        return None
    cells = _cells(line.lstrip().removeprefix("#"))
    return cells if GPU in cells and POWER in cells else None


def _cells(line: str) -> list[str]:
    return split(line, "," if "," in line else " ")


def _recognizes(lines: Sequence[str]) -> bool:
    return any(_header(line) is not None for line in lines[:200])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    header: list[str] = []
    units: list[str] = []
    rows: list[Row] = []
    strays: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        cells = _cells(line)
        if found := _header(line):
            header, units = found, units if found == header else []
        elif line.lstrip().startswith("#") and len(cells) >= len(header) > 0:
            units = units or _cells(line.lstrip().removeprefix("#"))
        elif (
            header and len(cells) == len(header) and re.fullmatch(r"\d+", cells[header.index(GPU)])
        ):
            names = dict(zip(header, units or header, strict=False))
            named = (
                f"{POWER} [{names[POWER]}]" if name == POWER and units else name for name in header
            )
            rows.append(Row(number, dict(zip(named, cells, strict=True))))
        elif line.strip():
            strays[number] = line
    if not rows:
        raise FileFormatError(path, "a log of nvidia-smi dmon", ("no readings",))
    columns = rows[0].cells.keys()
    strays |= {
        row.line: " ".join(row.cells.values()) for row in rows if row.cells.keys() != columns
    }
    table = drop_strays(
        Table(tuple(row for row in rows if row.cells.keys() == columns), " ",
              endings=frozenset({len(lines)} & {rows[-1].line})),
        strays, path,
    )  # fmt: skip
    times = tuple(name for name in (DATE, TIME) if name in table.names)
    return Source(
        table,
        Columns(
            times=times,
            values=(find_column(table.names, (options.power_columns or (POWER,))[0]),),
            devices=(GPU,),
            unit_is_known=True,
            decimal=".",
            zone=options.zone,
        ),
        label=lambda device, _: f"gpu{device}",
        gpus=True,
    )


FORMAT: Final = Format("nvidia-smi-dmon", "nvidia-smi dmon -s p -o DT", _recognizes, _read)
