"""``dcgmi dmon -e 155``: columns of text without times, unless another program puts them before.

A time before each line, as ``ts '%FT%T%z'`` of moreutils writes it, is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.errors import FileFormatError, UsageError
from pytest_energy.logs.source import Columns, Format, Options, Source
from pytest_energy.logs.table import Row, Table, drop_strays
from pytest_energy.logs.wording import agree, counted

POWER: Final = {"POWER": "power", "PWR": "power", "POWINST": "power", "155": "power"}
ENERGY: Final = {"TOTEC": "counter", "156": "counter"}
HEADER: Final = re.compile(r"^(?P<time>.*?)#\s*(Entity|GPU)\b(?P<names>.*)$")
INSTANCES: Final = ("GPU-I", "GPU-CI", "CI")
"""The entities of MIG."""
ROW: Final = re.compile(
    r"^(?P<time>.*?)(?P<entity>(GPU(-I|-CI)?|CI|Switch|CPU)\s+\d+)\s+(?P<cells>.+)$"
)
UNITS: Final = re.compile(r"^(?P<time>.*?)\bI[Dd]\b\s*(?P<units>.*)$")
OWN_UNITS: Final = {"power": "W", "counter": "mJ"}
"""The units of DCGM's fields 155 to 157; without a unit, dcgmi prints nothing below a name."""


def _recognizes(lines: Sequence[str]) -> bool:
    headers = [HEADER.match(line) for line in lines[:50]]
    return any(header and {*POWER, *ENERGY} & set(header["names"].split()) for header in headers)


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    names: list[str] = []
    units: list[str] = []
    rows: list[Row] = []
    strays: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if header := HEADER.match(line):
            names, units = header["names"].split(), []
        elif (row := ROW.match(line)) and len(cells := row["cells"].split()) == len(names):
            named = _named(names, units)
            cell_by_name = {"time": row["time"].strip(), "entity": row["entity"]}
            rows.append(Row(number, cell_by_name | dict(zip(named, cells, strict=True))))
        elif (found := UNITS.match(line)) and names and not units:
            units = found["units"].split()
        elif line.strip():
            strays[number] = line
    if not rows:
        raise FileFormatError(path, "a log of dcgmi dmon", ("no readings",))
    first = rows[0].cells.keys()
    strays |= {row.line: str(row.cells) for row in rows if row.cells.keys() != first}
    endings = frozenset({len(lines)} & {rows[-1].line})
    kept = tuple(row for row in rows if row.cells.keys() == first)
    kept, remarks = _without_instances(kept)
    table = drop_strays(Table(kept, " ", endings=endings), strays, path)
    column, counter = _column(path, table.names, options)
    return Source(
        table,
        Columns(
            times=("time",) if any(row.cells["time"] for row in kept) else (),
            values=(column,),
            devices=("entity",),
            kind="counter" if counter else "power",
            unit=options.energy_unit if counter else options.power_unit,
            unit_is_known=True,
            time_format=options.time_format,
            decimal=".",
            zone=options.zone,
        ),
        label=lambda device, _: device.casefold().replace(" ", ""),
        gpus=True,
        remarks=remarks,
    )


def _without_instances(rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows of whole GPUs, if there are any beside those of their instances, and a remark.

    DCGM has no power of an instance: what it may show is that of the whole GPU.
    """
    instances = [row for row in rows if row.cells["entity"].startswith(INSTANCES)]
    if not instances:
        return rows, ()
    whole = tuple(row for row in rows if not row.cells["entity"].startswith(INSTANCES))
    if any(row.cells["entity"].startswith("GPU ") for row in whole):
        hold = agree(len(instances), "is", "are")
        return whole, (
            f"{counted(len(instances), 'row')} of GPU instances {hold} left out: the rows of their"
            " GPU contain them",
        )
    return rows, (
        "the rows are of GPU instances, each of which may have the power of the whole GPU; log the"
        " GPUs (dcgmi dmon -i 0), or name the instance that counts with --devices",
    )


def _named(names: Sequence[str], units: Sequence[str]) -> list[str]:
    """The columns with their units.

    A column such as ``GPUTL`` has none, so that the line of units is shorter than that of names.
    Then those of power and of energy have the units of their fields.
    """
    if len(units) == len(names):
        return [f"{name} [{unit}]" for name, unit in zip(names, units, strict=True)]
    kinds = [(POWER | ENERGY).get(name) for name in names]
    return [
        f"{name} [{OWN_UNITS[kind]}]" if kind else name
        for name, kind in zip(names, kinds, strict=True)
    ]


def _column(path: Path, names: Sequence[str], options: Options) -> tuple[str, bool]:
    """The column to read, and whether it is a counter; the counter misses nothing."""
    plain = {name.partition(" ")[0]: name for name in names}
    for wanted in (*options.energy_columns, *options.power_columns):
        if wanted in plain:
            return plain[wanted], wanted in ENERGY
    if not options.power_columns and not options.energy_columns:
        for known in (*ENERGY, *POWER):
            if known in plain:
                return plain[known], known in ENERGY
    raise UsageError(f"{path}: no column of power among {', '.join(names)}; log field 155 or 156")


FORMAT: Final = Format("dcgm-dmon", "dcgmi dmon -e 155,156 | ts '%FT%T%z'", _recognizes, _read)
