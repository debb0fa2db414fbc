"""CodeCarbon's emissions.csv: a row a run, with its seconds and its kilowatt hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.numbers import parse_number
from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import Row, has_column, has_header, read_table
from pytest_energy.logs.wording import agree, counted

COLUMNS: Final = ("timestamp", "run_id", "duration", "energy_consumed")


def _fits(cells: Sequence[str]) -> bool:
    return all(has_column(cells, name) for name in COLUMNS)


def _recognizes(lines: Sequence[str]) -> bool:
    return has_header(lines, _fits)


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, _fits, options.columns)
    rows = _last_of_each_run(table.rows)
    remarks = [
        "CodeCarbon estimates what it cannot measure, the CPU's and the memory's share often"
    ]
    if dropped := len(table.rows) - len(rows):
        states = agree(dropped, "is an earlier state", "are earlier states")
        remarks.append(f"{counted(dropped, 'row')} {states} of a run that goes on; left out")
    table = replace(table, rows=rows)
    defaults = replace(options, duration_column=options.duration_column or "duration")
    columns = columns_by_options(
        table, defaults, ["timestamp"], energies=["energy_consumed"], kind="per-row"
    )
    if columns.kind == "power":
        raise UsageError("--power-column: the rows of CodeCarbon are runs; use --energy-column")
    columns = replace(
        columns,
        unit_is_known=True,
        kind="per-row",
        unit=columns.unit or "kWh",
        decimal=columns.decimal or ".",
    )
    return Source(table, columns, label=lambda _, __: "codecarbon", remarks=tuple(remarks))


def _last_of_each_run(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The last row of each run: ``flush`` writes the joules so far, again and again."""
    last: dict[str, Row] = {}
    for row in rows:
        earlier = last.get(row.cells["run_id"])
        if earlier is None or _duration(row) >= _duration(earlier):
            last[row.cells["run_id"]] = row
    return tuple(row for row in rows if last[row.cells["run_id"]] is row)


def _duration(row: Row) -> float:
    try:
        number = parse_number(row.cells["duration"])
    except ValueError:
        return 0.0
    return number[0] if number else 0.0


FORMAT: Final = Format("codecarbon", "CodeCarbon's emissions.csv", _recognizes, _read)
