"""``xpu-smi dump -d 0,1 -m 1``: a table with times of day, or with dates by ``--date``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_column, has_columns, read_table, recognizer

POWER: Final = "GPU Power"
ENERGY: Final = "GPU Energy Consumed"
FITS: Final = has_columns("Timestamp", "DeviceId", one_of=(POWER, ENERGY))


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, FITS, options.columns)
    powered = has_column(table.names, POWER)
    devices = [name for name in ("DeviceId", "TileId") if has_column(table.names, name)]
    columns = columns_by_options(
        table,
        options,
        ["Timestamp"],
        [POWER] if powered else [],
        [] if powered else [ENERGY],
        devices,
    )
    return Source(
        table,
        replace(columns, unit_is_known=True, decimal=columns.decimal or "."),
        label=lambda device, _: f"gpu{device.replace(' ', '.')}",
        gpus=True,
    )


FORMAT: Final = Format("xpu-smi", "xpu-smi dump -d 0 -m 1 --date", recognizer(FITS), _read)
