"""Units of power, energy and time in logs.

A number has the unit in its cell. If there is none, it has the unit in its column's header: in
brackets (``power [W]``), or as a word of the name (``power_mw``, ``totalJoules``). If there is none
either, it has the unit of an option. A unit that is not known is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

IN_BRACKETS: Final = re.compile(r"\s*(?:\[([^]]*)\]|\(([^)]*)\)|\{([^}=]*)\})\s*$")
"""A unit behind a name. Labels of Prometheus are none: ``power_watts{instance="a"}``."""
LABELS: Final = re.compile(r"\s*\{[^}]*=[^}]*\}\s*$")
WORD: Final = re.compile(r"[^\W\d_]+|%")
CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
SPELLED_PREFIX: Final = {
    "giga": "G", "mega": "M", "kilo": "k", "milli": "m", "micro": "u", "nano": "n",
}  # fmt: skip
SPELLED_UNIT: Final = {
    "watthours": "Wh", "watthour": "Wh", "whr": "Wh", "whrs": "Wh",
    "wattseconds": "Ws", "wattsecond": "Ws", "watts": "W", "watt": "W",
    "joules": "J", "joule": "J",
}  # fmt: skip
PREFIXES: Final = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
OTHER_QUANTITIES: Final = frozenset({
    "va", "kva", "mva", "var", "kvar", "hp", "bhp", "btu", "cal", "kcal", "ev", "dbm", "dbw",
    "a", "ma", "amp", "amps", "ampere", "amperes", "v", "mv", "volt", "volts", "pct", "%",
    "percent", "c", "celsius", "hz", "mhz", "ghz", "kwp",
})  # fmt: skip
"""Units of what is neither power nor energy; a column of them is refused."""
FACTOR: Final = re.compile(
    r"(?:^|[^a-z])(?:tenths?|hundredths?|thousandths?|dbm|dbw"
    r"|(?:deci|centi|deca|hecto|tera|pico|femto)[ _-]?(?:watt|joule|second))s?"
    r"|(?:^|[^a-z])[x×]?10+x?(?:$|[^a-z\d])|(?<![a-z\d.])\d+(?:\.\d+)?[nuµmkmg]?(?:wh?|j|s|sec)(?![a-z])"
    r"|(?<![a-z])(?-i:(?:da|[cdhTp])(?:Wh?|J))(?![a-z])",
    re.IGNORECASE,
)
"""Signs in a name that its unit has a factor: ``power_cW``, ``power_W_x10``, ``t_10ms``."""
COUNTS: Final = frozenset({
    "tick", "ticks", "jiffy", "jiffies", "cycle", "cycles", "frame", "frames", "sample", "samples",
    "index", "idx", "row", "rows", "step", "steps", "iteration", "iterations",
})  # fmt: skip
"""Words in the names of columns that count something else than time."""


def _scaled(unit: str, factor: float) -> dict[str, float]:
    return {prefix + unit: scale * factor for prefix, scale in PREFIXES.items()}


@dataclass(frozen=True)
class Quantity:
    """Power or energy: the content of a column."""

    name: str
    option: str
    """The option that names a column of it."""
    unit_option: str
    """The option that names its unit."""
    factors: Mapping[str, float]
    """Watts or joules in each known unit."""

    def find(self, named: str) -> str | None:
        """The unit of this name; ``None`` if there is none.

        Upper and lower case may differ if only one unit fits: ``kwh`` does, but ``mw`` may be
        milliwatts or megawatts.
        """
        name = _plain(named)
        if name in self.factors:
            return name
        units = [unit for unit in self.factors if unit.casefold() == name.casefold()]
        return units[0] if len(units) == 1 else None

    def find_in_name(self, word: str) -> str | None:
        """The unit that a word in a column's name means; names in lower case are in milli."""
        unit = self.find(word)
        if unit is None and word == word.lower() and word.startswith("m"):
            return self.find("m" + word[1:].upper().replace("WH", "Wh").replace("WS", "Ws"))
        if unit is None and word[1:2].islower() and word.startswith("M"):
            return self.find_in_name(word.lower())  # camel case: powerMw
        return unit


POWER: Final = Quantity("power", "--power-column", "--power-unit", _scaled("W", 1.0))
ENERGY: Final = Quantity(
    "energy",
    "--energy-column",
    "--energy-unit",
    {**_scaled("J", 1.0), **_scaled("Wh", 3600.0), **_scaled("Ws", 1.0), "Wmin": 60.0},
)
QUANTITIES: Final = (POWER, ENERGY)

SECONDS: Final = {
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("us", "usec", "usecs", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}  # fmt: skip
"""Seconds in the units of times."""
NO_TIME_UNIT: Final = frozenset(
    ("utc", "gmt", "z", "local", "localtime", "epoch", "unix", "posix", "iso", "iso8601", "cet")
)
"""Words in brackets behind a time that name a zone or a form, not a unit."""


@dataclass(frozen=True)
class Scale:
    """The conversion of a column's numbers to watts or joules."""

    quantity: Quantity = POWER
    header: str | None = None
    """The unit in the column's header."""
    option: str | None = None
    """The unit of an option; the log may name no other."""

    def factor(self, named: str | None = None) -> float:
        """Watts or joules in the unit ``named`` in a cell, or in that of cells without a unit.

        Raises:
            ValueError: The unit is unknown or missing, belongs to another quantity, or contradicts
                the option.
        """
        named = named or self.header
        if not named:
            if self.option is None and self.quantity is ENERGY:
                raise ValueError(
                    f"no unit of energy is named; name it with {self.quantity.unit_option}"
                )
            return self.quantity.factors[self.option or "W"]
        unit = self.quantity.find(named)
        if unit is None:
            if self.option is not None and not _is_unit(named):
                return self.quantity.factors[self.option]  # brackets that hold no unit: (avg)
            raise ValueError(self._refusal(named))
        if self.option not in (None, unit):
            raise ValueError(
                f"the unit {named!r} contradicts {self.quantity.unit_option} {self.option}; omit"
                " the option, or correct the log"
            )
        return self.quantity.factors[unit]

    def _refusal(self, named: str) -> str:
        units = f"expected a unit of {self.quantity.name}: {', '.join(self.quantity.factors)}"
        for other in QUANTITIES:
            if other.find(named):
                return f"{named!r} is a unit of {other.name}, for {other.option}; {units}"
        return f"{named!r} is not a known unit; {units}. Name it with {self.quantity.unit_option}"


def scale_of(name: str, quantity: Quantity, option: str | None = None) -> Scale:
    """The scale of a column by its name.

    Raises:
        ValueError: The name has a unit of something else, or several units.
    """
    name = LABELS.sub("", name)
    brackets = unit_of_header(name)
    if option is None and FACTOR.search(without_unit(name)):
        raise ValueError(
            f"its name hints at a factor of its unit; convert it, or say {quantity.unit_option}"
        )
    scale = Scale(quantity, brackets or _unit_in_name(name, quantity, option), option)
    if scale.header or option or quantity is POWER:
        scale.factor()
    return scale


def seconds_in(name: str) -> float | None:
    """Seconds in the unit that the name of a column of times has; ``None`` without a unit.

    Raises:
        ValueError: The unit in brackets is not known.
    """
    brackets = unit_of_header(name)
    if brackets:
        word = _plain(brackets).casefold()
        if word in SECONDS:
            return SECONDS[word]
        if re.sub(r"[^a-z0-9]", "", word) in NO_TIME_UNIT or re.match(r"(utc|gmt)\b", word):
            return None
        raise ValueError(
            f"{brackets!r} is not a known unit of time; expected one of ns, us, ms, s, min, h, d."
            " Name it with --time-unit"
        )
    if FACTOR.search(name):
        raise ValueError(f"{name!r} hints at a factor of a unit of time; name it with --time-unit")
    words = [_plain(word) for part in WORD.findall(name) for word in CAMEL.split(part)]
    last = words[-1].casefold() if words else ""
    return SECONDS.get(last)


def counts(name: str) -> bool:
    """Whether the name of a column says that it counts rows or ticks, not time."""
    words = [word.casefold() for part in WORD.findall(name) for word in CAMEL.split(part)]
    return not COUNTS.isdisjoint(words)


def is_unit(text: str) -> bool:
    """Whether a text alone is a unit of power, energy or time, or of another quantity."""
    return _is_unit(text) or _plain(text).casefold() in SECONDS


def unit_of_header(name: str) -> str | None:
    """The unit at the end of a column's name, in brackets: ``W`` of ``power.draw [W]``."""
    brackets = IN_BRACKETS.search(name)
    if brackets is None:
        return None
    unit = next(filter(None, brackets.groups()), "").strip()
    return unit.removeprefix("in ").strip() or None


@lru_cache(4096)  # each format looks for its columns in each of the first lines
def without_unit(name: str) -> str:
    """A column's name without its unit: ``power.draw`` for ``power.draw [W]``."""
    return IN_BRACKETS.sub("", name).strip()


def _unit_in_name(name: str, quantity: Quantity, option: str | None) -> str | None:
    """The unit among the words of a name, of this quantity or of another one."""
    parts = WORD.findall(name)
    units_at_once = {part for part in parts if any(q.find_in_name(part) for q in QUANTITIES)}
    words = [
        word for part in parts for word in ([part] if part in units_at_once else CAMEL.split(part))
    ]
    pairs = [first + second for first, second in pairwise(words)]
    pairs += parts
    # `kW_h` and `watt hours` are one unit, and no power
    joined = [pair for pair in pairs if ENERGY.find(pair) and pair not in words]
    units = {
        unit
        for word in ([*joined] if joined else words)
        for unit in [quantity.find_in_name(word)]
        if unit
    }
    if len(units) > 1 or any(_hides_prefix(part, words) for part in parts):
        if option:
            return None
        raise ValueError(f"its unit is ambiguous; name it with {quantity.unit_option}")
    if units:
        return units.pop()
    return next((word for word in [*joined, *words] if _is_other(word, quantity)), None)


def _hides_prefix(part: str, words: list[str]) -> bool:
    """Whether camel case tore a prefix from its unit, perhaps: ``totalkWh``, ``peakW``."""
    *_, head, tail = ["", *CAMEL.split(part)] if part not in words else ["", ""]
    return bool(head and tail) and any(q.find(head[-1] + tail) for q in QUANTITIES)


def _is_other(word: str, quantity: Quantity) -> bool:
    if any(other.find_in_name(word) for other in QUANTITIES if other is not quantity):
        return True
    return word.casefold() in OTHER_QUANTITIES - {"a", "c", "v", "cal"} or word in {"A", "V"}


def _is_unit(named: str) -> bool:
    word = named.casefold()
    return any(other.find(named) for other in QUANTITIES) or word in OTHER_QUANTITIES


@lru_cache(4096)  # each cell names its unit
def _plain(named: str) -> str:
    """A unit without spaces, dots and the spelling of its prefix: ``mW`` for ``milliwatts``."""
    name = re.sub(r"[\s·⋅*.\-]", "", named).replace("µ", "u").replace("μ", "u")
    folded = name.casefold()
    for spelled, unit in SPELLED_UNIT.items():
        head = folded.removesuffix(spelled)
        if head == folded:
            continue
        if head in SPELLED_PREFIX:
            return SPELLED_PREFIX[head] + unit
        prefix = name[: len(head)]
        if prefix in PREFIXES:
            return prefix + unit
        if prefix == "K":
            return "k" + unit
    return name
