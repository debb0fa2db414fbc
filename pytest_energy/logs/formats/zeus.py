"""Zeus' window log: ``start_time,window_name,elapsed_time,gpu0_energy,…`` in joules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_columns, read_table, recognizer
from pytest_energy.logs.units import without_unit

ENERGY: Final = re.compile(r"(gpu|cpu|dram)\d+_energy")
FITS: Final = has_columns("start_time", "window_name", "elapsed_time")


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, FITS, options.columns)
    energies = [name for name in table.names if ENERGY.fullmatch(without_unit(name))]
    if options.power_columns or not (energies or options.energy_columns):
        raise UsageError(f"{path}: no column of energy among {', '.join(table.names)}")
    names = {row.cells["window_name"] for row in table.rows}
    defaults = replace(options, duration_column=options.duration_column or "elapsed_time")
    columns = columns_by_options(
        table,
        defaults,
        ["start_time"],
        energies=energies,
        devices=["window_name"] if len(names) > 1 and options.device_columns else [],
    )
    columns = replace(
        columns,
        kind="per-row",
        unit=columns.unit or "J",
        row_start=True,
        unit_is_known=True,
        times_are_seconds=True,
        decimal=columns.decimal or ".",
    )
    first = without_unit(columns.values[0]).removesuffix("_energy")
    return Source(table, columns, label=lambda device, _: device or first)


FORMAT: Final = Format("zeus", "ZeusMonitor(log_file=…)", recognizer(FITS), _read)
