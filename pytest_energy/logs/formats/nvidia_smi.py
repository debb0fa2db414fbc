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
"""Columns of watts; the first one in a log is read.

``power.draw`` comes first, as every card fills it. From Ampere on it is ``power.draw.average``, the
mean of the last second, which covers what happens between polls; ``power.draw.instant`` does not.
Source: nvidia-smi --help-query-gpu.
"""
LIMIT_COLUMNS: Final = ("power.max_limit", "enforced.power.limit", "power.limit")
TIME: Final = "timestamp"
HAS_POWER: Final = has_columns(TIME, one_of=POWER_COLUMNS)
"""Whether columns are those of a log of power by nvidia-smi."""


def _read(path: Path, lines: Sequence[str], options: Options) -> Source:
    if options.energy_columns:
        raise UsageError("--energy-column needs a format with counters, such as --format wattmeter")
    table = read_table(path, lines, has_columns(TIME), options.columns)
    names = table.names
    power = next((name for name in POWER_COLUMNS if has_column(names, name)), POWER_COLUMNS[0])
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
        remarks=_unread(names, columns.values[0]) if not options.power_columns else (),
    )


def _unread(names: Sequence[str], read: str) -> tuple[str, ...]:
    """The remark on further columns of the same power."""
    columns = [find_column(names, name) for name in POWER_COLUMNS if has_column(names, name)]
    if not (others := [name for name in columns if name != read]):
        return ()
    listed = " and ".join(f"{name!r}" for name in others)
    return (f"read {read!r}, not {listed}; choose another with --power-column",)


FORMAT: Final = Format(
    "nvidia-smi", "nvidia-smi --query-gpu=… --format=csv", recognizer(HAS_POWER), _read
)
