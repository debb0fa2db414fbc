"""Readable numbers: rounded to the digits that the uncertainty supports, with SI prefixes.

The page, Markdown, the terminal and failure messages share this module, so that a number looks the
same everywhere. A missing value is shown as :data:`MISSING`, never as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.model.measurement import Quantity, Scalar
from pytest_energy.model.result import MetricVerdict

MISSING: Final = "–"
MINUS: Final = "−"

_PREFIXES: Final = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
_PREFIXABLE: Final = frozenset({"J", "W", "Wh", "Hz", "g", "s", "B", "FLOP", "MAC"})
_UNITLESS: Final = frozenset({"", "1", "parameters"})
"""Units that repeat the metric's name."""
SMALL_COUNT: Final = 1_000_000
"""Counts below it are shown in full."""
_DIGITS_UNKNOWN: Final = 4
"""Significant digits of a value without uncertainty."""
_DIGITS_MOST: Final = 6


def quantity(value: Quantity | None) -> str:
    """``0.980 ± 0.004 J/pass``; exact values as counts: ``25.6 M``."""
    if value is None:
        return MISSING
    if value.exact:
        return count(value.value, value.unit)
    return measured(value.value, value.uncertainty, value.unit)


@lru_cache(maxsize=8192)
def measured(value: float, uncertainty: float | None, unit: str) -> str:
    """``value`` with its 95 % half-width, both in ``unit`` with a common prefix.

    The texts are cached, because a page shows many numbers several times.
    """
    largest = max(abs(value), uncertainty or 0.0)
    exponent = _exponent(largest, unit)
    scale = 10.0**exponent
    text = _with_uncertainty(value / scale, uncertainty and uncertainty / scale)
    return _join(text, _PREFIXES[exponent], unit)


def energy(joules: float | None, unit: str = "J", digits: int = 3) -> str:
    """Joules without uncertainty: ``12.3 kJ``."""
    return MISSING if joules is None else _rounded(joules, unit, digits=digits)


def supported(value: Quantity) -> float:
    """The value, rounded to the digits that its uncertainty supports: two of the uncertainty.

    Counts stay whole. Without an uncertainty six digits stay.
    """
    if value.exact or value.value.is_integer():
        return value.value
    if not value.uncertainty:
        return significant(value.value, 6)
    return round(value.value, 1 - math.floor(math.log10(value.uncertainty)))


def relative_half(value: Quantity | None) -> float:
    """Half-width of the 95 % interval as a share of the value; 0 if it was not assessed."""
    return (value.uncertainty or 0.0) / value.value if value and value.value > 0 else 0.0


def significant(value: float, digits: int) -> float:
    """The value, rounded to so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def watt_hours(joules: float | None) -> str:
    """Joules as on an electricity bill: ``1.42 kWh``."""
    return MISSING if joules is None else energy(joules / (JOULES_PER_KWH / 1000), "Wh")


def mass(grams: float | None) -> str:
    """Grams of CO₂: ``610 g``, ``1.32 kg``."""
    return MISSING if grams is None else _rounded(grams, "g", digits=3)


def seconds(duration_s: float | None) -> str:
    """A duration: ``1.23 ms``, ``12.3 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if duration_s is None:
        return MISSING
    if duration_s < 99.95:  # three digits of more would read 100 s or longer
        return _rounded(duration_s, "s", digits=3)
    minutes, rest = divmod(round(duration_s), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(duration_s / 60), 60)
    return f"{hours} h {minutes:02d} min"


def rough(duration_s: float) -> str:
    """A duration that is only an estimate: ``50 s``, ``4 min``, ``2.5 h``."""
    if duration_s < 100:
        return f"{duration_s:.0f} s"
    minutes = duration_s / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def counted(number: int, noun: str) -> str:
    """``1 test``, ``3 tests``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def rounded_up(number: float) -> str:
    """Two significant digits of a number above zero, for the value of an option: ``700``."""
    place = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / place * (1 - 1e-9)) * place:.12g}"


def count(number: float | None, unit: str = "") -> str:
    """A count: in full below 100,000, then three digits and a prefix: ``4.09 GFLOP``."""
    if number is None:
        return MISSING
    if abs(number) < 100_000:
        text = f"{number:,.0f}" if float(number).is_integer() else f"{number:,.3g}"
        return _join(text.replace("-", MINUS), "", unit)
    exponent = min(max(_PREFIXES), 3 * math.floor(math.log10(float(f"{abs(number):.2e}")) / 3))
    return _join(_significant(number / 10.0**exponent, 3), _PREFIXES[exponent], unit)


def change(verdict: MetricVerdict) -> str:
    """The relative change with its 95 % interval: ``+9.1 % [+7.0, +11.2]``."""
    if verdict.change is None:
        return MISSING
    if verdict.low is None or verdict.high is None or verdict.low == verdict.high:
        return percent(verdict.change)
    return interval(verdict.change, verdict.low, verdict.high)


@lru_cache(maxsize=8192)
def interval(fraction: float, low: float, high: float, sign: bool = True) -> str:
    """A fraction with its interval, in per cent: ``+9.1 % [+7.0, +11.2]``."""
    places = max(0, min(3, _places((high - low) / 2 * 100)))
    texts = [_signed(value * 100, places) for value in (fraction, low, high)]
    value, lower, upper = texts if sign else [text.lstrip("+") for text in texts]
    return f"{value} % [{lower}, {upper}]"


def percent(fraction: float | None, places: int = 1, sign: bool = True) -> str:
    """A fraction in per cent: ``+9.1 %``."""
    if fraction is None:
        return MISSING
    text = _signed(fraction * 100, places)
    return f"{text if sign else text.lstrip('+')} %"


def tick(value: float, unit: str = "") -> str:
    """A round number at an axis: ``5 ms``, ``0.5 J``, and ``25M`` where there is no unit."""
    exponent = _exponent(value, unit or "J")
    number = f"{value / 10.0**exponent:.10g}".replace("-", MINUS)  # all digits: few where round
    return f"{number}{' ' if unit else ''}{_PREFIXES[exponent]}{unit}"


def ticks_of(unit: str) -> Callable[[float], str]:
    """How numbers are written at an axis: with the unit if it takes a prefix, ``5 ms``.

    What follows a slash stays in the name of the axis: ``5 mJ`` for J/pass. Shares (``1``) take no
    prefix.
    """
    base = unit.split("/", maxsplit=1)[0]
    if base == "1":
        return "{:.10g}".format
    return partial(tick, unit=base) if takes_prefix(unit) else tick


def takes_prefix(unit: str) -> bool:
    """Whether a unit is written with a prefix: ``mJ/pass``, but no thousands of parameters."""
    return unit.split("/", maxsplit=1)[0] in _PREFIXABLE


def ticks_have(unit: str) -> bool:
    """Whether an axis with these ticks shows the whole unit, so that its name needs none."""
    return takes_prefix(unit) and "/" not in unit


def tolerance(fraction: float | None) -> str:
    """A tolerance without needless digits: ``5 %``, ``2.5 %``."""
    return MISSING if fraction is None else f"{fraction * 100:.4g} %"


def before_after(verdict: MetricVerdict, uncertainty: float | None = None) -> str:
    """``0.900 → 0.980 ± 0.004 J/pass``: both numbers with the same prefix."""
    if verdict.value is None:
        return MISSING
    if verdict.baseline is None:
        return measured(verdict.value, uncertainty, verdict.unit)
    sizes = (abs(verdict.value), abs(verdict.baseline), uncertainty or 0.0)
    exponent = _exponent(max(sizes), verdict.unit)
    scale = 10.0**exponent
    known = uncertainty and uncertainty / scale
    before = _with_uncertainty(verdict.baseline / scale, known).split(" ")[0]
    after = _with_uncertainty(verdict.value / scale, known)
    # Counts that are small, or whose difference would be rounded away, are shown in full.
    is_count = not uncertainty and verdict.value.is_integer() and verdict.baseline.is_integer()
    if is_count and (max(sizes) < SMALL_COUNT or before == after):
        return _join(f"{verdict.baseline:,.0f} → {verdict.value:,.0f}", "", verdict.unit)
    return _join(f"{before} → {after}", _PREFIXES[exponent], verdict.unit)


def pair(verdict: MetricVerdict, uncertainty: float | None = None) -> str:
    """``0.900 ± 0.003 → 0.980 ± 0.004 J/pass``: both sides with their uncertainties."""
    if verdict.value is None or verdict.baseline is None:
        return before_after(verdict, uncertainty)
    sides = ((verdict.baseline, verdict.baseline_uncertainty), (verdict.value, uncertainty))
    exponent = _exponent(max(abs(value) + (half or 0.0) for value, half in sides), verdict.unit)
    scale = 10.0**exponent
    before, after = (
        _with_uncertainty(value / scale, half and half / scale) for value, half in sides
    )
    return _join(f"{before} → {after}", _PREFIXES[exponent], verdict.unit)


def several(values: Sequence[float], unit: str) -> str:
    """``1.002, 1.001, 0.998 J``: values of one kind with a common prefix."""
    if not values:
        return MISSING
    exponent = _exponent(max(map(abs, values)), unit)
    texts = ", ".join(_significant(value / 10.0**exponent, _DIGITS_UNKNOWN) for value in values)
    return _join(texts, _PREFIXES[exponent], unit)


def log_change(difference: float | None) -> str:
    """A difference of logarithms as a relative change: ``+1.2 %``."""
    return MISSING if difference is None else percent(math.expm1(difference), places=2)


def fact(value: Scalar | Sequence[Scalar]) -> str:
    """A fact of a workload: ``3 × 224 × 224``, ``yes``, ``float16``."""
    if isinstance(value, list | tuple):
        is_shape = all(isinstance(part, int) and not isinstance(part, bool) for part in value)
        return (" × " if is_shape else ", ").join(fact(part) for part in value) or MISSING
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def machine_fact(value: Scalar | Sequence[Scalar]) -> str:
    """A fact of a machine: ``NVIDIA H200``; of several GPUs a list, ``1980, 3105``."""
    if isinstance(value, list | tuple):
        return ", ".join(map(fact, value)) or MISSING
    return fact(value)


def _rounded(value: float, unit: str, digits: int) -> str:
    # Rounded before the prefix is chosen: 999.9 J are 1.00 kJ, not 1000 J.
    exponent = _exponent(float(f"{value:.{digits - 1}e}"), unit)
    return _join(_significant(value / 10.0**exponent, digits), _PREFIXES[exponent], unit)


def _exponent(size: float, unit: str) -> int:
    """The power of ten, a multiple of three, behind which ``size`` reads best.

    Tenths of a unit stay (0.98 J, not 980 mJ); seconds never become kiloseconds, and numbers
    without a unit that takes prefixes never become thousandths.
    """
    if size == 0 or 0.1 <= abs(size) < 1:
        return 0
    lowest, highest = _exponents(unit)
    return max(lowest, min(highest, 3 * math.floor(math.log10(abs(size)) / 3)))


@lru_cache(maxsize=64)
def _exponents(unit: str) -> tuple[int, int]:
    """The lowest and the highest power of ten that a unit takes."""
    base = unit.split("/", maxsplit=1)[0]
    return min(_PREFIXES) if base in _PREFIXABLE else 0, 0 if base == "s" else max(_PREFIXES)


@lru_cache(maxsize=8192)
def _with_uncertainty(value: float, uncertainty: float | None) -> str:
    if not uncertainty:
        return _significant(value, _DIGITS_UNKNOWN)
    size = max(abs(value), uncertainty)
    most = _DIGITS_MOST - 1 - math.floor(math.log10(size))
    places = min(_places(uncertainty), most)
    rounded = round(uncertainty, places)
    if rounded == 0:  # all shown digits are larger than the uncertainty
        return _fixed(value, places)
    return f"{_fixed(value, places)} ± {_fixed(rounded, places)}"


def _places(uncertainty: float) -> int:
    """The decimals for two digits of an uncertainty that begins with 1 or 2, otherwise for one.

    Rounding an uncertainty near 1 to one digit could change it by half.
    """
    if uncertainty <= 0:
        return 1
    mantissa, exponent = f"{uncertainty:.1e}".split("e")
    return (1 if mantissa < "3" else 0) - int(exponent)


def _fixed(value: float, places: int) -> str:
    text = f"{value:.{places}f}" if places >= 0 else f"{round(value, places):.0f}"
    return _sign_of_zero(text).replace("-", MINUS) if text.startswith("-") else text


def _significant(value: float, digits: int) -> str:
    """``digits`` significant digits with trailing zeros; plain notation if it is short."""
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(float(f"{abs(value):.{digits - 1}e}")))
    if -4 <= magnitude < 9:
        return _fixed(value, digits - 1 - magnitude)
    return f"{value:.{digits - 1}e}".replace("-", MINUS)


def _signed(value: float, places: int) -> str:
    text = _sign_of_zero(f"{value:+.{places}f}")
    return text.replace("-", MINUS)


def _sign_of_zero(text: str) -> str:
    return text.lstrip("+-") if float(text) == 0 else text


def _join(number: str, prefix: str, unit: str) -> str:
    return f"{number} {prefix}{'' if unit in _UNITLESS else unit.removeprefix('1')}".rstrip()
