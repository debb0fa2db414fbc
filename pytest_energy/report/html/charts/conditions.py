"""Temperature and clock of a device, each in a lane below its power, on the same time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Round
from pytest_energy.model.result import Result
from pytest_energy.report.html.charts.axes import Axis, steps

LANE, TITLE = 46, 20
"""The height of a lane in pixels, and how much of it the title takes."""
_SHOWN: Final = {"temperature_c": ("Temperature", "°C"), "clock_mhz": ("Clock", "MHz")}

Span = tuple[float, float]
"""Begin and end of a round in seconds along the time axis."""


@dataclass(frozen=True)
class Lane:
    """A condition as one horizontal step a round, at its value when the round ended."""

    title: str
    """It contains the range, because a lane has no axis."""
    title_at: float
    line: str
    levels: tuple[float | None, ...]
    """The pixel of each round's value, for the script; ``None`` if it is unknown."""


def devices(result: Result) -> list[str]:
    """The channels with a known temperature or clock."""
    names = (name.rpartition(".") for done in result.rounds for name in done.conditions)
    return list(dict.fromkeys(device for device, _, what in names if what in _SHOWN))


def build_lanes(
    channel: str, rounds: Sequence[Round], spans_s: Sequence[Span], time: Axis, top: float
) -> tuple[Lane, ...]:
    """The lanes of ``channel``, one below the other, starting at pixel ``top``."""
    lanes: list[Lane] = []
    for what, (name, unit) in _SHOWN.items():
        values = [done.conditions.get(f"{channel}.{what}") for done in rounds]
        known = [value for value in values if value is not None]
        if not known:
            continue
        low, high = min(known), max(known)
        # An axis needs a length, also for a constant value.
        y = Axis(low, high if high > low else low + 1, top + LANE - 6, top + TITLE)
        levels = tuple(None if value is None else round(y.at(value), 1) for value in values)
        line = steps(
            (time.clipped(begin), time.clipped(end), at)
            for (begin, end), at in zip(spans_s, levels, strict=True)
            if at is not None
        )
        extent = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        title = f"{name} at the end of each round: {extent} {unit}"
        lanes.append(Lane(title, top + TITLE - 7, line, levels))
        top += LANE
    return tuple(lanes)
