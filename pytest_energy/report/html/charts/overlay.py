"""The power of all rounds of a benchmark that was measured several times, laid over each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pytest_energy.model.measurement import Round, Trace
from pytest_energy.model.result import Result
from pytest_energy.model.traces import decode_columns
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import SIDES
from pytest_energy.report.numbers import ticks_of

if TYPE_CHECKING:
    from pytest_energy.model.traces import Floats

POINTS: Final = 40
"""Means of a round's curve, at equal distances."""


@dataclass(frozen=True)
class Overlay:
    """One curve a round, from the round's beginning."""

    channel: str
    time: Axis
    power: Axis
    curves: tuple[str, ...]
    """SVG path data."""
    traces: int


def build_overlay(result: Result) -> Overlay | None:
    """The curves of the first channel with several traces; ``None`` if there is none."""
    channels = [trace.channel for trace in result.trace or ()]
    channel = next((name for name in channels if channels.count(name) > 1), None)
    if channel is None:
        return None
    traces = [trace for trace in result.trace or () if trace.channel == channel]
    curves = [curve for trace in traces for curve in _curves(trace, result.rounds)]
    if not curves:
        return None
    longest_s = max(float(times_s[-1]) for times_s, _ in curves)
    time = Axis(0.0, longest_s or 1.0, SIDES.left, SIDES.right, write=ticks_of("s"))
    highest_w = [0.0, *(float(powers_w.max()) for _, powers_w in curves)]
    power = fit(highest_w, SIDES.bottom, SIDES.top, zero=True, about=4, write=ticks_of("W"))
    paths = tuple(
        path([(time.at(x), power.at(y)) for x, y in zip(times_s, powers_w, strict=True)])
        for times_s, powers_w in curves
    )
    return Overlay(channel, time, power, paths, len(traces))


def _curves(trace: Trace, rounds: list[Round]) -> Iterator[tuple[Floats, Floats]]:
    """Seconds since the round's beginning and watts, for each round within the trace."""
    try:
        columns = decode_columns(trace)
    except ValueError:
        return  # the chart of this trace says why it cannot be drawn
    edges_s = np.concatenate(([0.0], np.cumsum(columns.duration_s)))
    spent_j = np.concatenate(([0.0], np.cumsum(columns.energy_j)))
    for measured in rounds:
        begin = measured.start - trace.start
        if begin < 0 or begin + measured.duration_s > edges_s[-1] or measured.duration_s <= 0:
            continue
        parts_s = np.linspace(0.0, measured.duration_s, POINTS + 1)
        # Buckets hold exact joules, so each mean is exact up to the ends of its part.
        joules = np.diff(np.interp(begin + parts_s, edges_s, spent_j))
        yield (parts_s[:-1] + parts_s[1:]) / 2, joules / np.diff(parts_s)
