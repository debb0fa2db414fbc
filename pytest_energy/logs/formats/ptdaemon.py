"""SPEC PTDaemon, also of MLPerf: ``Time,03-05-2024 09:30:00.000,Watts,250.0,Volts,…``.

A line with several channels has the sum first. Dates begin with the month, as MLPerf's own tools
read them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays
from pytest_energy.logs.times import Order

LINE: Final = re.compile(r"\s*Time,(?P<time>[^,]+),Watts,(?P<watts>[^,]*),(?P<rest>.*)")


def _recognizes(lines: Sequence[str]) -> bool:
    return any(LINE.match(line) for line in lines[:200])


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    matches = {number: LINE.match(line) for number, line in enumerate(lines, start=1)}
    rows = tuple(
        Row(number, {"Time": match["time"], "power [W]": match["watts"]})
        for number, match in matches.items()
        if match
    )
    if not rows:
        raise FileFormatError(path, "a log of PTDaemon", ("no line Time,…,Watts,…",))
    strays = {n: lines[n - 1] for n, match in matches.items() if not match and lines[n - 1].strip()}
    return Source(
        drop_strays(Table(rows), strays, path),
        Columns(
            times=("Time",),
            values=("power [W]",),
            order=_order(rows),
            time_format=options.time_format,
            decimal=".",
            zone=options.zone,
        ),
        label=lambda _, __: "wattmeter",
    )


def _order(rows: Sequence[Row]) -> Order:
    """Month first, unless a day above 12 in its place says otherwise."""
    firsts = [re.match(r"(\d{1,2})\D", row.cells["Time"]) for row in rows]
    return "day" if any(first and int(first[1]) > 12 for first in firsts) else "month"


FORMAT: Final = Format(
    "ptdaemon", "power log of SPEC PTDaemon, as MLPerf has it", _recognizes, _read
)
