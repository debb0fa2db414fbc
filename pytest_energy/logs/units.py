"""Units of power, energy and time in logs.

A number has the unit in its cell. If there is none, it has the unit in its column's header, then
the unit of ``--energy-unit``, then the default of its quantity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

IN_BRACKETS: Final = re.compile(r"\s*(?:\[([^]]*)\]|\(([^)]*)\))\s*$")
WORDS: Final = {"watt": "W", "watts": "W", "joule": "J", "joules": "J"}


@dataclass(frozen=True)
class Quantity:
    """Power or energy: the content of a column."""

    name: str
    option: str
    """The option that names a column of it."""
    default: str
    """The unit of numbers if nothing names another."""
    factors: Mapping[str, float]
    """Watts or joules in each known unit."""

    def find(self, named: str) -> str | None:
        """The unit of this name; ``None`` if there is none.

        Upper and lower case may differ if only one unit fits: ``kwh`` does, but ``mw`` may be
        milliwatts or megawatts.
        """
        name = WORDS.get(named.casefold(), named)
        if name in self.factors:
            return name
        units = [unit for unit in self.factors if unit.casefold() == name.casefold()]
        return units[0] if len(units) == 1 else None


POWER: Final = Quantity(
    "power", "--power-column", "W", {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6}
)
ENERGY: Final = Quantity(
    "energy",
    "--energy-column",
    "kWh",
    {
        "mJ": 1e-3,
        "J": 1.0,
        "kJ": 1e3,
        "MJ": 1e6,
        "mWh": 3.6,
        "Wh": 3.6e3,
        "kWh": 3.6e6,
        "MWh": 3.6e9,
    },
)

SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3.6e3}
"""Seconds in the units of times that count from the start of a log."""


@dataclass(frozen=True)
class Scale:
    """The conversion of a column's numbers to watts or joules."""

    quantity: Quantity = POWER
    header: str | None = None
    """The unit in the column's header."""
    option: str | None = None
    """The unit of ``--energy-unit``; the log may name no other."""

    def factor(self, named: str | None = None) -> float:
        """Watts or joules in the unit ``named`` in a cell, or in that of cells without a unit.

        Raises:
            ValueError: The unit is unknown, belongs to another quantity, or contradicts the option.
        """
        named = named or self.header
        if not named:
            return self.quantity.factors[self.option or self.quantity.default]
        unit = self.quantity.find(named)
        if unit is None:
            raise ValueError(self._refusal(named))
        if self.option not in (None, unit):
            raise ValueError(
                f"the unit {named!r} contradicts --energy-unit {self.option}; omit the option, or"
                " correct the log"
            )
        return self.quantity.factors[unit]

    def _refusal(self, named: str) -> str:
        units = f"expected a unit of {self.quantity.name}: {', '.join(self.quantity.factors)}"
        for other in (POWER, ENERGY):
            if other.find(named):
                return f"{named!r} is a unit of {other.name}, for {other.option}; {units}"
        return f"{named!r} is not a known unit; {units}"


def unit_of_header(name: str) -> str | None:
    """The unit at the end of a column's name, in brackets: ``W`` of ``power.draw [W]``."""
    brackets = IN_BRACKETS.search(name)
    if brackets is None:
        return None
    return (brackets.group(1) or brackets.group(2) or "").strip() or None


def without_unit(name: str) -> str:
    """A column's name without its unit: ``power.draw`` for ``power.draw [W]``."""
    return IN_BRACKETS.sub("", name).strip()
