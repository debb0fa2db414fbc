"""Power against time of one benchmark: band and mean, rounds shaded, idle and limit as lines."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_energy.measurement import Result, Round, Run, Trace
from pytest_energy.report.charts.axes import Axis, fit, path
from pytest_energy.traces import Columns, Floats, decode_columns

WIDTH, HEIGHT = 720, 230
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 40
DRAWN = 64
"""Points that a page without script shows; the script draws all buckets from the packed data."""
NEAR_LIMIT = 0.5
"""The axis reaches to the power limit where the peak is at least this share of it."""


@dataclass(frozen=True)
class Span:
    """A stretch along the time axis, in pixels."""

    begin: float
    end: float


@dataclass(frozen=True)
class Level:
    """A horizontal line."""

    at: float
    text: str


@dataclass(frozen=True)
class Power:
    """One channel's trace."""

    trace: Trace
    time: Axis
    power: Axis
    band: str
    mean: str
    rounds: tuple[Span, ...]
    spans_s: tuple[tuple[float, float], ...]
    """Rounds in seconds from the trace's beginning, for the script."""
    levels: tuple[Level, ...]
    energy_j: float
    agreement: float | None
    """Joules of the trace in the rounds over those of the counter, minus 1."""


@dataclass(frozen=True)
class Unreadable:
    """A trace that is not what it should be."""

    trace: Trace
    message: str


def build_power(result: Result, run: Run) -> list[Power | Unreadable]:
    """Every trace of ``result``."""
    return [_power(trace, result, run) for trace in result.trace or ()]


def _power(trace: Trace, result: Result, run: Run) -> Power | Unreadable:
    try:
        columns = decode_columns(trace)
    except ValueError as error:
        return Unreadable(trace, str(error))
    if not len(columns.duration_s):
        return Unreadable(trace, "the trace is empty")
    edges_s = np.concatenate(([0.0], np.cumsum(columns.duration_s)))
    limit_w = _limit(trace.channel, run)
    highest = float(columns.highest_w.max())
    reach = [highest, limit_w] if limit_w and highest > NEAR_LIMIT * limit_w else [highest]
    time = Axis(0.0, float(edges_s[-1]) or 1.0, LEFT, WIDTH - RIGHT, name="seconds")
    power = fit([0.0, *reach], HEIGHT - BOTTOM, TOP, zero=True, name="power (W)", about=4)
    band, mean = _curves(columns, edges_s, time, power)
    spans_s = tuple(_span(one, trace) for one in result.rounds)
    return Power(
        trace=trace,
        time=time,
        power=power,
        band=band,
        mean=mean,
        rounds=tuple(Span(time.clipped(a), time.clipped(b)) for a, b in spans_s),
        spans_s=spans_s,
        levels=tuple(_levels(run.run.idle_power_w.get(trace.channel), limit_w, power)),
        energy_j=float(columns.energy_j.sum()),
        agreement=_agreement(trace.channel, result.rounds, spans_s, edges_s, columns),
    )


def _limit(channel: str, run: Run) -> float | None:
    """The power limit of a channel: of all devices, or of the one that its number names."""
    found = run.environment.identity.get("power_limit_w")
    index = re.search(r"\d+$", channel)
    if isinstance(found, list) and index and int(index[0]) < len(found):
        found = found[int(index[0])]
    return float(found) if isinstance(found, int | float) and channel.startswith("gpu") else None


def _span(done: Round, trace: Trace) -> tuple[float, float]:
    begin = done.start - trace.start
    return round(begin, 6), round(begin + done.duration_s, 6)


def _curves(columns: Columns, edges_s: Floats, time: Axis, power: Axis) -> tuple[str, str]:
    """Band and mean through few points, each of as many buckets."""
    size = math.ceil(len(columns.duration_s) / DRAWN)
    starts = np.arange(0, len(columns.duration_s), size)
    duration_s = np.add.reduceat(columns.duration_s, starts)
    mean_w = np.add.reduceat(columns.energy_j, starts) / np.maximum(duration_s, 1e-9)
    low_w = np.minimum.reduceat(columns.lowest_w, starts)
    high_w = np.maximum.reduceat(columns.highest_w, starts)
    at = _pixels(edges_s[starts] + duration_s / 2, time)
    upper = list(zip(at, _pixels(high_w, power), strict=True))
    lower = list(zip(at, _pixels(low_w, power), strict=True))
    middle = list(zip(at, _pixels(mean_w, power), strict=True))
    return path(upper + lower[::-1], closed=True, places=0), path(middle, places=0)


def _pixels(values: Floats, axis: Axis) -> list[float]:
    share = (values - axis.low) / (axis.high - axis.low)
    pixels: list[float] = (axis.begin + share * (axis.end - axis.begin)).tolist()
    return pixels


def _levels(idle_w: float | None, limit_w: float | None, power: Axis) -> list[Level]:
    known = (("idle", idle_w), ("limit", limit_w))
    return [
        Level(power.at(level), f"{name} {level:.4g} W")
        for name, level in known
        if level is not None and power.low <= level <= power.high
    ]


def _agreement(
    channel: str,
    rounds: Sequence[Round],
    spans_s: Sequence[tuple[float, float]],
    edges_s: Floats,
    columns: Columns,
) -> float | None:
    """Trace against counter over the rounds that lie inside the trace."""
    spent = np.concatenate(([0.0], np.cumsum(columns.energy_j)))
    traced = counted = 0.0
    for done, (begin, end) in zip(rounds, spans_s, strict=True):
        if channel in done.channels and begin >= 0 and end <= edges_s[-1]:
            first, last = np.interp([begin, end], edges_s, spent)
            traced += float(last - first)
            counted += done.channels[channel]
    return traced / counted - 1 if counted > 0 else None
