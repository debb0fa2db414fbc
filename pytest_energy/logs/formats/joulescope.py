"""Statistics of a Joulescope: ``#time,current,voltage,power,charge,energy`` in SI units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_column, has_columns, read_table, recognizer

FITS: Final = has_columns("time", "current", "voltage", "power")


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, FITS, options.columns)
    # The instrument integrates at 1 MHz or more; its counter misses nothing between the rows.
    counted = has_column(table.names, "energy") and not options.power_columns
    columns = columns_by_options(
        table, options, ["time"], [] if counted else ["power"], ["energy"] if counted else []
    )
    return Source(
        table,
        replace(
            columns,
            unit=columns.unit or ("J" if counted else "W"),
            times_are_seconds=True,
            decimal=columns.decimal or ("." if table.separator == "," else None),
        ),
        label=lambda _, __: "joulescope",
    )


FORMAT: Final = Format("joulescope", "statistics of a Joulescope", recognizer(FITS), _read)
