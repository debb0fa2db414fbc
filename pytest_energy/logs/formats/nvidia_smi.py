"""``nvidia-smi --query-gpu=… --format=csv``: a table of one row a GPU and poll."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.source import Format, Options, Source, columns_by_options
from pytest_energy.logs.table import find_column, has_column, has_columns, read_table, recognizer

GPU_COLUMNS: Final = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id", "serial")
"""Columns that identify the device, the best one first."""
POWER_COLUMNS: Final = ("power.draw", "power.draw.average", "power.draw.instant")
"""Columns of watts; the first one in a log is read. Means over up to a second come first: they miss
no time, where an instant of every tenth of a second may fall in step with the work."""
LIMIT_COLUMNS: Final = ("power.max_limit", "enforced.power.limit", "power.limit")
TIME: Final = "timestamp"
HAS_POWER: Final = has_columns(TIME, one_of=POWER_COLUMNS)
"""Whether columns are those of a log of power by nvidia-smi."""


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    if options.energy_columns:
        raise UsageError("--energy-column needs a format with counters, such as --format wattmeter")
    table = read_table(path, lines, has_columns(TIME), options.columns)
    names = table.names
    powers = [name for name in POWER_COLUMNS if has_column(names, name)] or [POWER_COLUMNS[0]]
    power, *others = powers
    device = next((name for name in GPU_COLUMNS if has_column(names, name)), None)
    columns = columns_by_options(
        table, options, [TIME], [power], devices=[device] if device else []
    )
    limit = next((name for name in LIMIT_COLUMNS if has_column(names, name)), None)
    # The other columns hold UUIDs, bus ids or serial numbers, which are too long for a name.
    by_index = columns.devices and columns.devices[0].casefold() == "index"
    return Source(
        table,
        replace(
            columns,
            limits=(find_column(names, limit),) if limit else (),
            # nvidia-smi itself writes points; a spreadsheet may have made commas of them.
            decimal=columns.decimal or ("." if table.separator == "," else None),
            unit_is_known=True,
        ),
        label=lambda device, place: f"gpu{device if by_index else place}",
        gpus=True,
        may_mix=not columns.devices,
        remarks=() if options.power_columns else _not_read(power, others),
    )


def _not_read(power: str, others: Sequence[str]) -> tuple[str, ...]:
    """A remark if the log has several powers of a device, of which one is read."""
    if not others:
        return ()
    return (
        f"{power} is read, not {' or '.join(others)}, which the log has as well;"
        f" --power-column {others[-1]} reads that one",
    )


FORMAT: Final = Format(
    "nvidia-smi", "nvidia-smi --query-gpu=… --format=csv", recognizer(HAS_POWER), _read
)
