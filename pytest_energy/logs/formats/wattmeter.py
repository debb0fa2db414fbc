"""Any table of times with power, a counter of energy, or the energy of each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_column, has_header, read_table

TIME: Final = "time"
POWER: Final = "power"


def _wanted(options: Options) -> tuple[str, ...]:
    values = options.energy_columns or options.power_columns or (POWER,)
    times = options.time_columns or (() if options.period_s else (TIME,))
    return (*times, *values, *options.device_columns)


def _recognizes(lines: Sequence[str]) -> bool:
    return has_header(lines, lambda cells: has_column(cells, TIME) and has_column(cells, POWER))


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    wanted = _wanted(options)

    def fits(cells: Sequence[str]) -> bool:
        return all(has_column(cells, name) for name in wanted)

    # Without a header that fits, the first table's columns are listed in the error.
    usable = fits if has_header(lines, fits) else lambda cells: len(cells) > 1
    table = read_table(path, lines, usable, options.columns)
    times = () if options.period_s else (TIME,)
    columns = columns_by_options(table, options, times, [POWER])
    return Source(table, columns, label=lambda device, _: device or "wattmeter")


FORMAT: Final = Format("wattmeter", "any table of times with power or energy", _recognizes, _read)
