"""Any table of times with power, a counter of energy, or the energy of each row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_column, has_columns, has_header, read_table, recognizer

TIME: Final = "time"
POWER: Final = "power"
GPU: Final = re.compile(r"gpu|cuda|util|accelerator|\bsm\b|_sm\b|temp", re.IGNORECASE)
"""Names of columns of a script that polls GPUs; a wattmeter has none of them."""


def _wanted(options: Options) -> tuple[str, ...]:
    values = options.energy_columns or options.power_columns or (POWER,)
    times = options.time_columns or (() if options.period_s else (TIME,))
    return (*times, *values, *options.device_columns)


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    wanted = _wanted(options)
    fits = has_columns(*wanted)
    # Without a header that fits, the first table's columns are listed in the error.
    usable = fits if has_header(lines, fits) else lambda cells: len(cells) > 1
    table = read_table(path, lines, usable, options.columns)
    times = (TIME,) if has_column(table.names, TIME) or not options.period_s else ()
    columns = columns_by_options(table, options, times, [POWER])
    return Source(
        table,
        columns,
        label=lambda device, _: device or "wattmeter",
        may_mix=not columns.devices and any(GPU.search(name) for name in table.names),
        unnamed=not columns.devices,
    )


FORMAT: Final = Format(
    "wattmeter",
    "any table of times with power or energy",
    recognizer(has_columns(TIME, POWER)),
    _read,
)
