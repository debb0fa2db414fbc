"""SPEC PTDaemon, also of MLPerf: ``Time,03-05-2024 09:30:00.000,Watts,250.0,Volts,…``.

A line with several channels has their sum first and each of them behind the mark
(``Mark,run_1,Ch1,Watts,91.06,…``), and dates begin with the month, as MLPerf's own tools read
them. The daemon's own log has messages between the readings (``Time,…,NOTICE,…``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays, raise_for
from pytest_energy.logs.times import Order
from pytest_energy.logs.wording import counted

LINE: Final = re.compile(r"\s*Time,(?P<time>[^,]+),Watts,(?P<watts>[^,]*),(?P<rest>.*)")
MESSAGE: Final = re.compile(r"\s*Time,[^,]+,[A-Z]{3,},")
CHANNEL: Final = re.compile(r"\bCh\d+,Watts,(-?[\d.]+)")
SUM_SHARE: Final = 0.01
"""Channels are rounded one by one; a larger difference from their sum is a fault."""


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
    raise_for(
        [fault for n, match in matches.items() if match for fault in _sum_fault(n, match)], path
    )
    others = {n: lines[n - 1] for n, match in matches.items() if not match and lines[n - 1].strip()}
    messages = [line for line in others.values() if MESSAGE.match(line)]
    strays = {n: line for n, line in others.items() if not MESSAGE.match(line)}
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
        remarks=tuple(
            f"{counted(len(messages), 'message')} of PTDaemon, such as {line.strip()[:100]!r}"
            for line in messages[:1]
        ),
    )


def _sum_fault(number: int, match: re.Match[str]) -> Iterable[str]:
    """A fault if the channels of a line do not add up to its watts."""
    channels = [float(watts) for watts in CHANNEL.findall(match["rest"])]
    try:
        total_w = float(match["watts"])
    except ValueError:  # told with the other cells
        return
    if channels and abs(sum(channels) - total_w) > SUM_SHARE * abs(total_w):
        yield f"line {number}: the channels add up to {sum(channels):.6g} W, not to {total_w:.6g} W"


def _order(rows: Sequence[Row]) -> Order:
    """Month first, unless a day above 12 in its place says otherwise."""
    firsts = [re.match(r"(\d{1,2})\D", row.cells["Time"]) for row in rows]
    return "day" if any(first and int(first[1]) > 12 for first in firsts) else "month"


FORMAT: Final = Format(
    "ptdaemon", "power log of SPEC PTDaemon, as MLPerf has it", _recognizes, _read
)
