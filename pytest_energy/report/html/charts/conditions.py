"""Temperature and clocks of a device: a lane each, below its power and on the same time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Round
from pytest_energy.model.result import Result
from pytest_energy.report.html.charts.axes import Axis, steps

LANE, TITLE = 46, 20
"""Pixels that a lane is high, and how many of them its title takes."""
_SHOWN: Final = {"temperature_c": ("Temperature", "°C"), "clock_mhz": ("Clock", "MHz")}

Span = tuple[float, float]
"""Beginning and end of a round in seconds along the time axis."""


@dataclass(frozen=True)
class Lane:
    """A condition, a level step a round: what is known is its value at the round's end."""

    title: str
    """With the range, for a lane has no axis."""
    title_at: float
    line: str
    levels: tuple[float | None, ...]
    """The pixel of each round's value, for the script; ``None`` where it is not known."""


def devices(result: Result) -> list[str]:
    """The channels of which temperature or clock are known."""
    names = (name.rpartition(".") for one in result.rounds for name in one.conditions)
    return list(dict.fromkeys(device for device, _, what in names if what in _SHOWN))


def build_lanes(
    channel: str, rounds: Sequence[Round], spans_s: Sequence[Span], time: Axis, top: float
) -> tuple[Lane, ...]:
    """The lanes of ``channel``, one below the other from pixel ``top`` on."""
    seen = {what: [r.conditions.get(f"{channel}.{what}") for r in rounds] for what in _SHOWN}
    known = [what for what in _SHOWN if any(value is not None for value in seen[what])]
    return tuple(
        _lane(what, seen[what], spans_s, time, top + LANE * index)
        for index, what in enumerate(known)
    )


def _lane(
    what: str, values: Sequence[float | None], spans_s: Sequence[Span], time: Axis, top: float
) -> Lane:
    name, unit = _SHOWN[what]
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    y = Axis(low, high if high > low else low + 1, top + LANE - 6, top + TITLE)
    levels = tuple(None if value is None else round(y.at(value), 1) for value in values)
    line = steps(
        (time.clipped(begin), time.clipped(end), at)
        for (begin, end), at in zip(spans_s, levels, strict=True)
        if at is not None
    )
    told = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    title = f"{name} at the end of each round: {told} {unit}"
    return Lane(title, top + TITLE - 7, line, levels)
