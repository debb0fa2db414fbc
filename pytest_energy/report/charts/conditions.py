"""Temperature and clocks of a device: a lane each, below its power and on the same time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.measurement import Result, Round
from pytest_energy.report.charts.axes import Axis, steps

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
    levels: tuple[tuple[float, float, float], ...]
    """Beginning and end in seconds, and the pixel of the value, for the script."""


def devices(result: Result) -> list[str]:
    """The channels of which temperature or clock are known."""
    names = (name.rpartition(".") for one in result.rounds for name in one.conditions)
    return list(dict.fromkeys(device for device, _, what in names if what in _SHOWN))


def build_lanes(
    channel: str, rounds: Sequence[Round], spans_s: Sequence[Span], time: Axis, top: float
) -> tuple[Lane, ...]:
    """The lanes of ``channel``, one below the other from pixel ``top`` on."""
    found = ((what, _levels(f"{channel}.{what}", rounds, spans_s)) for what in _SHOWN)
    known = [(what, levels) for what, levels in found if levels]
    return tuple(
        _lane(what, levels, time, top + LANE * index) for index, (what, levels) in enumerate(known)
    )


def _levels(
    key: str, rounds: Sequence[Round], spans_s: Sequence[Span]
) -> list[tuple[float, float, float]]:
    return [
        (begin, end, done.conditions[key])
        for (begin, end), done in zip(spans_s, rounds, strict=True)
        if key in done.conditions
    ]


def _lane(what: str, known: Sequence[tuple[float, float, float]], time: Axis, top: float) -> Lane:
    name, unit = _SHOWN[what]
    values = [value for *_, value in known]
    low, high = min(values), max(values)
    y = Axis(low, high if high > low else low + 1, top + LANE - 6, top + TITLE)
    levels = tuple((begin, end, round(y.at(value), 1)) for begin, end, value in known)
    line = steps((time.clipped(begin), time.clipped(end), at) for begin, end, at in levels)
    told = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    title = f"{name} at the end of each round: {told} {unit}"
    return Lane(title, top + TITLE - 7, line, levels)
