"""CodeCarbon's emissions.csv: a row a run, with its seconds and its kilowatt hours.

The files of tasks (``emissions_EXPERIMENT_RUN.csv``) have a row a task, all of one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.numbers import parse_number
from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import Row, Table, has_columns, read_table, recognizer
from pytest_energy.logs.units import without_unit
from pytest_energy.logs.wording import agree, counted

FITS: Final = has_columns("timestamp", "run_id", "duration", "energy_consumed")
MEASURED: Final = "gpu_energy"
"""CodeCarbon has only models for most CPUs and for memory; it reads GPUs by their driver."""


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, FITS, options.columns)
    rows = _last_of_each_run(table.rows)
    remarks = list(_facility(table))
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
    estimated = {without_unit(name) for name in columns.values} != {MEASURED}
    if estimated:
        remarks.insert(0, "CodeCarbon estimates the joules of memory and of most CPUs from models")
    return Source(
        table,
        columns,
        label=lambda _, __: "codecarbon",
        remarks=tuple(remarks),
        estimated=estimated,
    )


def _last_of_each_run(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The last row of each run or task: ``flush`` writes the joules so far, again and again."""
    last: dict[tuple[str, str], Row] = {}
    for row in rows:
        earlier = last.get(_task(row))
        if earlier is None or _duration(row) >= _duration(earlier):
            last[_task(row)] = row
    return tuple(row for row in rows if last[_task(row)] is row)


def _task(row: Row) -> tuple[str, str]:
    return row.cells["run_id"], row.cells.get("task_name", "")


def _facility(table: Table) -> Iterable[str]:
    """A remark if the joules contain a share for the data centre."""
    shares = set(table.column("pue")) - {"1", "1.0", ""} if "pue" in table.names else set()
    if shares:
        yield f"the joules contain the data centre's factor (pue) {', '.join(sorted(shares))}"


def _duration(row: Row) -> float:
    try:
        number = parse_number(row.cells["duration"])
    except ValueError:
        return 0.0
    return number[0] if number else 0.0


FORMAT: Final = Format("codecarbon", "CodeCarbon's emissions.csv", recognizer(FITS), _read)
