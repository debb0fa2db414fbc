"""What a format makes of a file: a table, the columns to read, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Literal

from pytest_energy.errors import UsageError
from pytest_energy.logs.table import Table, find_column
from pytest_energy.logs.times import Order
from pytest_energy.logs.units import ENERGY, POWER, Quantity

Kind = Literal["power", "counter", "per-row"]
"""A column of watts, of a counter's joules, or of the joules of each row."""


@dataclass(frozen=True)
class Options:
    """What the user says about a log."""

    columns: tuple[str, ...] | None = None
    """The names of the columns of a log without a header."""
    time_columns: tuple[str, ...] = ()
    power_columns: tuple[str, ...] = ()
    energy_columns: tuple[str, ...] = ()
    device_columns: tuple[str, ...] = ()
    one_device: bool = False
    """Whether all rows are of one device, whatever they look like."""
    per_row: bool = False
    counter: bool = False
    """Whether the column of energy is a counter, whatever it looks like."""
    duration_column: str | None = None
    row_start: bool = False
    """Whether the time of a row is the start of its joules, not the end."""
    power_unit: str | None = None
    energy_unit: str | None = None
    time_unit: str | None = None
    time_format: str | None = None
    period_s: float | None = None
    """The time between the rows of a log without times."""
    decimal: str | None = None
    """The decimal sign."""
    zone: tzinfo | None = None
    """The zone of times that name none; ``None`` is this machine's."""

    @property
    def names_columns(self) -> bool:
        """Whether columns of a table are named."""
        return bool(self.time_columns or self.power_columns or self.energy_columns)


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read, and what is known of them."""

    times: tuple[str, ...]
    """Joined by a space: a date and a time may be two columns. None if rows are counted."""
    values: tuple[str, ...]
    devices: tuple[str, ...] = ()
    """The columns that tell devices apart."""
    kind: Kind = "power"
    unit: str | None = None
    """The unit of the values by option or format; the log may name no other."""
    unit_is_known: bool = False
    """Whether values without a unit are in watts by the format."""
    time_unit: str | None = None
    times_are_seconds: bool = False
    """Whether numbers among the times are seconds by the format."""
    time_format: str | None = None
    order: Order | None = None
    duration: str | None = None
    """The column of seconds that a row's joules took."""
    row_start: bool = False
    limits: tuple[str, ...] = ()
    """Columns of the device's power limit, the best one first."""
    decimal: str | None = None
    zone: tzinfo | None = None

    @property
    def quantity(self) -> Quantity:
        """The content of the values."""
        return POWER if self.kind == "power" else ENERGY


@dataclass(frozen=True)
class Source:
    """A log as its format understands it."""

    table: Table
    columns: Columns
    label: Callable[[str, int], str] = lambda device, _: device
    """The channel's name of a device and its place among them."""
    gpus: bool = False
    """Whether the devices are GPUs, each of which draws less than 5 kW."""
    remarks: tuple[str, ...] = field(default=())
    estimated: bool = False
    """Whether the program computed the values from a model of the hardware."""
    may_mix: bool = False
    """Whether rows may be of several GPUs although no column tells them apart."""
    unnamed: bool = False
    """Whether no column names the device, and the format may hold several."""


@dataclass(frozen=True)
class Format:
    """A kind of log."""

    name: str
    title: str
    """What it is, in words for users."""
    recognizes: Callable[[Sequence[str]], bool]
    """Whether lines are such a log."""
    read: Callable[[Path, Sequence[str], Options], Source]
    """The table and its columns; raises EnergyError if it cannot be read."""


def columns_by_options(
    table: Table,
    options: Options,
    times: Sequence[str] = (),
    powers: Sequence[str] = (),
    energies: Sequence[str] = (),
    devices: Sequence[str] = (),
    kind: Kind | None = None,
) -> Columns:
    """The columns that the options name, else those of the format.

    Raises:
        UsageError: The table lacks one, or one is named twice.
    """
    names = table.names
    if options.power_columns:
        powers, energies = options.power_columns, ()
    elif options.energy_columns:
        powers, energies = (), options.energy_columns
    named_times = options.time_columns or times
    time_columns = tuple(find_column(names, name, "--time-column") for name in named_times)
    value_names = energies or powers
    if options.per_row:
        kind = "per-row"
    value_option = "--energy-column" if energies else "--power-column"
    values = tuple(find_column(names, name, value_option) for name in value_names)
    if repeated := next((name for name in values if values.count(name) > 1), None):
        raise UsageError(f"{value_option}: column {repeated!r} is named twice; name it once")
    duration = options.duration_column
    return Columns(
        times=time_columns,
        values=values,
        devices=tuple(
            find_column(names, name, "--device-column")
            for name in options.device_columns or devices
        ),
        kind=(kind or "counter") if energies else "power",
        unit=options.energy_unit if energies else options.power_unit,
        time_unit=options.time_unit,
        time_format=options.time_format,
        duration=find_column(names, duration, "--duration-column") if duration else None,
        row_start=options.row_start,
        decimal=options.decimal,
        zone=options.zone,
    )
