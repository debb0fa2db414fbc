"""Units of power, of energy and of time, as logs write them.

A number is in the unit that it names itself, else in that of its column's header, else in the one
that the user told, else in the default of its quantity.
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
    """Power or energy: what a column of a log holds."""

    name: str
    option: str
    """What reads a column of it."""
    default: str
    """The unit of numbers for which nothing names one."""
    factors: Mapping[str, float]
    """Watts or joules in each unit that is known."""

    def find(self, named: str) -> str | None:
        """The unit meant; upper and lower case may be mixed up where that leaves one only."""
        name = WORDS.get(named.casefold(), named)
        if name in self.factors:
            return name
        alike = [unit for unit in self.factors if unit.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else None


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
"""Seconds in the units of times that count from the beginning of a log."""


@dataclass(frozen=True)
class Scale:
    """What turns the numbers of a column into watts or joules."""

    quantity: Quantity = POWER
    header: str | None = None
    """The unit that the column's header names."""
    told: str | None = None
    """The unit by ``--energy-unit``; the log may name no other."""

    def factor(self, named: str | None = None) -> float:
        """Watts or joules in a unit; in that of numbers that name none, unless one is named.

        Raises:
            ValueError: The unit is not known, is of another quantity, or is not the one told.
        """
        named = named or self.header
        if not named:
            return self.quantity.factors[self.told or self.quantity.default]
        unit = self.quantity.find(named)
        if unit is None:
            raise ValueError(self._refusal(named))
        if self.told not in (None, unit):
            raise ValueError(
                f"the unit {named!r} contradicts --energy-unit {self.told}: leave out the option,"
                " or correct the log"
            )
        return self.quantity.factors[unit]

    def _refusal(self, named: str) -> str:
        expected = f"of {self.quantity.name}, one of {', '.join(self.quantity.factors)} is expected"
        for other in (POWER, ENERGY):
            if other.find(named):
                return (
                    f"{named!r} is a unit of {other.name}, which {other.option} reads; {expected}"
                )
        return f"{named!r} is no unit that is known; {expected}: correct the log"


def unit_of_header(name: str) -> str | None:
    """What a column's name has in brackets or parentheses at its end: ``power.draw [W]``: ``W``."""
    found = IN_BRACKETS.search(name)
    return (found.group(1) or found.group(2) or "").strip() or None if found else None


def without_unit(name: str) -> str:
    """A column's name without its unit: ``power.draw [W]`` is ``power.draw``."""
    return IN_BRACKETS.sub("", name).strip()
