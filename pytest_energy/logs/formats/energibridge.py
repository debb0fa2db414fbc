"""EnergiBridge: a table with milliseconds since 1970 and counters or powers with their units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import has_column, read_table, recognizer
from pytest_energy.logs.units import without_unit

COUNTER: Final = re.compile(r"(PACKAGE|CPU|DRAM|PP0|PP1|CORE\d+|GPU\d+)_ENERGY")
POWER: Final = re.compile(r"(SYSTEM|CPU|GPU\d*)_POWER")


def _fits(cells: Sequence[str]) -> bool:
    return (
        has_column(cells, "Delta")
        and has_column(cells, "Time")
        and any(_is(COUNTER, cell) or _is(POWER, cell) for cell in cells)
    )


def _is(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(without_unit(name)) is not None


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    table = read_table(path, lines, _fits, options.columns)
    counters = [name for name in table.names if _is(COUNTER, name)]
    powers = [name for name in table.names if _is(POWER, name)]
    if not options.names_columns and len(counters) + len(powers) > 1:
        found = {"--energy-column": counters, "--power-column": powers}
        listed = [f"with {option} {', '.join(names)}" for option, names in found.items() if names]
        raise UsageError(
            f"{path}: several columns hold energy or power, and some contain others. Name those to"
            f" add up, once for each: {'; or '.join(listed)}"
        )
    columns = columns_by_options(table, options, ["Time"], powers, counters)
    return Source(
        table,
        replace(columns, decimal=columns.decimal or "."),
        label=lambda _, __: without_unit(columns.values[0]).casefold(),
    )


FORMAT: Final = Format("energibridge", "EnergiBridge -o FILE", recognizer(_fits), _read)
