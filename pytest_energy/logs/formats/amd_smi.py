"""``amd-smi monitor -p --csv`` and ``amd-smi metric -p --csv``, with ``-w`` for times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import find_column, has_column, has_columns, read_table, recognizer

POWERS: Final = ("power_usage", "socket_power", "current_socket_power", "average_socket_power")
LIMITS: Final = ("max_power", "power_limit", "power_cap")
FITS: Final = has_columns("gpu", one_of=POWERS)
"""Without ``-w`` there are no times, so that ``--period`` is needed."""


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, FITS, options.columns)
    power = next((name for name in POWERS if has_column(table.names, name)), POWERS[0])
    times = [name for name in ("timestamp",) if has_column(table.names, name)]
    columns = columns_by_options(table, options, times, [power], devices=["gpu"])
    limit = next((name for name in LIMITS if has_column(table.names, name)), None)
    return Source(
        table,
        replace(
            columns,
            limits=(find_column(table.names, limit),) if limit else (),
            unit_is_known=True,
            decimal=columns.decimal or ".",
        ),
        label=lambda device, _: f"gpu{device}",
        gpus=True,
    )


FORMAT: Final = Format(
    "amd-smi",
    "amd-smi monitor -p -w 1 --csv",
    recognizer(has_columns("gpu", "timestamp", one_of=POWERS)),
    _read,
)
