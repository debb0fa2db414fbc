"""Axes: from values to pixels, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pytest_energy.report.numbers import MINUS, tick

if TYPE_CHECKING:
    from pytest_energy.model.traces import Floats

_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    value: float
    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis from pixel ``begin`` to pixel ``end``."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False
    name: str = ""
    write: Callable[[float], str] = tick
    about: int = 6
    """The approximate number of ticks."""

    def at(self, value: float) -> float:
        """The pixel of ``value``, which may lie outside."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)

    def clipped(self, value: float) -> float:
        """The pixel of ``value``, or the nearer end of the axis if it lies outside."""
        return self.at(min(max(value, self.low), self.high))

    @cached_property
    def ticks(self) -> list[Tick]:
        """Ticks at round numbers; on a logarithmic axis mostly powers of ten."""
        if self.log:
            values = _log_ticks(self.low, self.high)
        else:
            values = _ticks(self.low, self.high, self.about)
        return [Tick(value, self.at(value), self.write(value)) for value in values]


def percent_tick(fraction: float) -> str:
    """A change at an axis: ``+5 %``. Zero has no sign."""
    return f"{fraction * 100:+.3g} %".replace("-", MINUS) if fraction else "0"


def fit(
    values: Iterable[float],
    begin: float,
    end: float,
    *,
    log: bool = False,
    zero: bool = False,
    name: str = "",
    about: int = 6,
    write: Callable[[float], str] = tick,
) -> Axis:
    """An axis that holds all ``values`` with a margin.

    Args:
        values: The values; they must be positive for a logarithmic axis.
        begin: Pixel of its low end.
        end: Pixel of its high end.
        log: Whether it is logarithmic.
        zero: Whether a linear axis begins at zero, as lengths and areas need for comparison.
        name: Its title.
        about: The approximate number of ticks.
        write: Writes the number at a tick.
    """
    known = list(values) or [1.0]
    low, high = min(known), max(known)
    if log:
        # At least 15 %: a single value would leave an axis without length.
        room = max((high / low) ** 0.06, 1.15)
        return Axis(low / room, high * room, begin, end, log, name, write, about)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    floor = 0.0 if zero and low >= 0 else low - room
    return Axis(floor, high + room, begin, end, log, name, write, about)


def _ticks(low: float, high: float, about: int = 6) -> list[float]:
    rough = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(rough))
    # The margins of 0.1 % and 1e-9 absorb rounding errors: an axis from 0 to 0.6 has a tick at 0.6.
    step = next(step * magnitude for step in _STEPS if step * magnitude >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with numbers between them if that gives too few ticks."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
        if len(ticks) >= 4:
            return ticks[:: 1 + len(ticks) // 9]  # more than about nine labels would overlap
    # On less than half a decade, ticks at equal distances are the only round numbers.
    return ticks if len(ticks) >= 2 else _ticks(low, high)


def path(
    points: Sequence[tuple[float, float]] | Floats, *, closed: bool = False, places: int = 1
) -> str:
    """SVG path data through ``points``, to ``places`` decimals of a pixel.

    The first point is absolute. The others are steps, which take half the characters; each step
    joins rounded points, so that rounding errors do not add up.
    """
    unit = 10**places
    whole = np.rint(np.asarray(points) * unit).astype(int)
    steps = np.diff(whole, axis=0, prepend=0).ravel().tolist()
    texts = [f"{step / unit:g}" for step in steps] if places else [str(step) for step in steps]
    return f"m{' '.join(texts).replace(' -', '-')}{'z' if closed else ''}"


def steps(levels: Iterable[tuple[float, float, float]]) -> str:
    """SVG path data of horizontal lines: begin, end and height of each, in whole pixels."""
    return "".join(f"M{begin:.0f} {at:.0f}H{end:.0f}" for begin, end, at in levels)
