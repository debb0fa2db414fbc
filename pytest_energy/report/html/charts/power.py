"""Power, temperature and clocks of one device over the time of one benchmark.

With a trace, power is a band from lowest to highest with the mean in it; without one, the mean of
each round. Below, on the same time axis, are temperature and clock at the end of each round.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pytest_energy.model.measurement import Round, Trace
from pytest_energy.model.result import Result, Run
from pytest_energy.model.traces import Columns, decode_columns
from pytest_energy.report.html.charts.axes import Axis, fit, path, steps
from pytest_energy.report.html.charts.conditions import LANE, Lane, Span, build_lanes, devices
from pytest_energy.report.html.charts.geometry import POWER
from pytest_energy.report.numbers import count, energy, percent, ticks_of

if TYPE_CHECKING:
    from pytest_energy.model.traces import Floats

FOOT = 24
"""Pixels for the time axis, below the last lane."""
DRAWN: Final = 40
"""Points of a page without script; the script draws all buckets from the packed data."""
NEAR_LIMIT: Final = 0.5
"""The axis includes the power limit if the peak is at least this share of it."""


@dataclass(frozen=True)
class Level:
    """A horizontal line, or only its text if it lies outside the axis."""

    at: float
    text: str
    drawn: bool = True


@dataclass(frozen=True)
class Words:
    """Text at a position."""

    x: float
    y: float
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Power:
    """The power of one device over time."""

    channel: str
    about: str
    time: Axis
    power: Axis
    band: str
    """Empty without a trace."""
    mean: str
    rounds: str
    """SVG path data of the shaded rounds."""
    idle: float | None
    """Pixel of the idle power."""
    limit: Level | None
    lanes: tuple[Lane, ...]
    texts: tuple[Words, ...]
    """All text in the drawing except the numbers at the axes."""
    floor: float
    """Pixel of the time axis."""
    data: dict[str, object] | None
    """Values for the script to draw and to zoom; ``None`` without a trace."""
    agreement: float | None
    """Joules of the trace in the rounds divided by those of the counter, minus 1."""

    @property
    def height(self) -> float:
        """The height of the whole drawing."""
        return self.floor + FOOT


@dataclass(frozen=True)
class Unreadable:
    """A trace that cannot be decoded."""

    channel: str
    message: str


@dataclass(frozen=True)
class _Curve:
    """Power as pixels, and in words."""

    band: str
    mean: str
    about: str


def build_power(result: Result, run: Run) -> list[Power | Unreadable]:
    """A chart for each trace, and for each other device with a known temperature or clock."""
    traced = [_traced(trace, result, run) for trace in result.trace or ()]
    drawn = {chart.channel for chart in traced if isinstance(chart, Power)}
    others = [name for name in devices(result) if name not in drawn]
    return [*traced, *(_untraced(name, result, run) for name in others)]


def _traced(trace: Trace, result: Result, run: Run) -> Power | Unreadable:
    try:
        columns = decode_columns(trace)
    except ValueError as error:
        return Unreadable(trace.channel, str(error))
    if not len(columns.duration_s):
        return Unreadable(trace.channel, "the trace is empty")
    edges_s = np.concatenate(([0.0], np.cumsum(columns.duration_s)))
    spans_s = [_span(done, trace.start) for done in result.rounds]
    time = _time_axis(float(edges_s[-1]))
    power = _power_axis(float(columns.highest_w.max()), trace.channel, run)
    band, mean = _curves(columns, edges_s, time, power)
    agreement = _agreement(trace.channel, result.rounds, spans_s, edges_s, columns)
    about = f"{count(trace.samples)} samples, {energy(float(columns.energy_j.sum()))} in total"
    if agreement is not None:
        about += f"; trace against counter {percent(agreement, 2)}"
    curve = _Curve(band, mean, about)
    return _chart(trace.channel, result, run, (time, power), spans_s, curve, trace.data, agreement)


def _untraced(channel: str, result: Result, run: Run) -> Power:
    """A device without a trace: the mean power of each round."""
    spans_s = [_span(done, result.rounds[0].start) for done in result.rounds]
    known = [
        (begin, end, done.channels[channel] / done.duration_s)
        for (begin, end), done in zip(spans_s, result.rounds, strict=True)
        if channel in done.channels and done.duration_s > 0
    ]
    time = _time_axis(max(end for _, end in spans_s))
    power = _power_axis(max((mean_w for *_, mean_w in known), default=1.0), channel, run)
    mean = steps((time.at(begin), time.at(end), power.at(watts)) for begin, end, watts in known)
    curve = _Curve("", mean, "mean of each round; no trace was recorded")
    return _chart(channel, result, run, (time, power), spans_s, curve)


def _chart(
    channel: str,
    result: Result,
    run: Run,
    axes: tuple[Axis, Axis],
    spans_s: Sequence[Span],
    curve: _Curve,
    packed: str | None = None,
    agreement: float | None = None,
) -> Power:
    time, power = axes
    lanes = build_lanes(channel, result.rounds, spans_s, time, POWER.bottom)
    floor = POWER.bottom + LANE * len(lanes)
    rounds = [(time.clipped(begin), time.clipped(end)) for begin, end in spans_s]
    idle_w = run.run.idle_power_w.get(channel)
    idle = None if idle_w is None else power.clipped(idle_w)
    limit = _limit_level(_limit(channel, run), power)
    # The script redraws the mean and the band from the packed buckets when the reader zooms.
    data: dict[str, object] = {
        "data": packed,
        "rounds": [(round(begin, 4), round(end, 4)) for begin, end in spans_s],
        "high": round(power.high, 4),
        "lanes": [lane.levels for lane in lanes],
        "floor": floor,
    }
    return Power(
        channel=channel,
        about=curve.about,
        time=time,
        power=power,
        band=curve.band,
        mean=curve.mean,
        rounds="".join(f"M{a:.0f} {POWER.top}H{b:.0f}V{floor}H{a:.0f}Z" for a, b in rounds),
        idle=idle,
        limit=limit,
        lanes=lanes,
        texts=tuple(_texts(idle_w, idle, limit, lanes, floor)),
        floor=floor,
        data=data if packed else None,
        agreement=agreement,
    )


def _texts(
    idle_w: float | None,
    idle: float | None,
    limit: Level | None,
    lanes: Sequence[Lane],
    floor: float,
) -> Iterator[Words]:
    if idle is not None:
        yield Words(POWER.right - 4, idle - 4, f"idle {idle_w:.4g} W", "end")
    if limit:
        yield Words(POWER.right - 4, limit.at + 12, limit.text, "end")
    for lane in lanes:
        yield Words(POWER.left, lane.title_at, lane.title)


def _time_axis(end_s: float) -> Axis:
    return Axis(0.0, end_s or 1.0, POWER.left, POWER.right, write=ticks_of("s"))


def _power_axis(highest_w: float, channel: str, run: Run) -> Axis:
    """From zero to the highest power, and to the limit if the power comes near it."""
    limit_w = _limit(channel, run)
    reach = [highest_w, limit_w] if limit_w and highest_w > NEAR_LIMIT * limit_w else [highest_w]
    return fit([0.0, *reach], POWER.bottom, POWER.top, zero=True, about=4, write=ticks_of("W"))


def _limit(channel: str, run: Run) -> float | None:
    """The power limit of a channel: the one of all devices, or of the device with its number."""
    limit_w = run.environment.identity.get("power_limit_w")
    index = re.search(r"\d+$", channel)
    if isinstance(limit_w, list) and index and int(index[0]) < len(limit_w):
        limit_w = limit_w[int(index[0])]
    if not isinstance(limit_w, int | float) or not channel.startswith("gpu"):
        return None
    return float(limit_w)


def _limit_level(limit_w: float | None, power: Axis) -> Level | None:
    if limit_w is None:
        return None
    if limit_w > power.high:
        return Level(POWER.top, f"limit {limit_w:.4g} W, above", drawn=False)
    return Level(power.at(limit_w), f"limit {limit_w:.4g} W")


def _span(done: Round, start: float) -> Span:
    begin = done.start - start
    return round(begin, 6), round(begin + done.duration_s, 6)


def _curves(columns: Columns, edges_s: Floats, time: Axis, power: Axis) -> tuple[str, str]:
    """Band and mean through few points; each point summarizes equally many buckets."""
    size = math.ceil(len(columns.duration_s) / DRAWN)
    starts = np.arange(0, len(columns.duration_s), size)
    duration_s = np.add.reduceat(columns.duration_s, starts)
    # Joules over seconds: a mean of the buckets' means would ignore their durations.
    mean_w = np.add.reduceat(columns.energy_j, starts) / np.maximum(duration_s, 1e-9)
    x = _pixels(edges_s[starts] + duration_s / 2, time)
    upper = np.column_stack((x, _pixels(np.maximum.reduceat(columns.highest_w, starts), power)))
    lower = np.column_stack((x, _pixels(np.minimum.reduceat(columns.lowest_w, starts), power)))
    band = path(np.concatenate((upper, lower[::-1])), closed=True, places=0)
    return band, path(np.column_stack((x, _pixels(mean_w, power))), places=0)


def _pixels(values: Floats, axis: Axis) -> Floats:
    share = (values - axis.low) / (axis.high - axis.low)
    pixels: Floats = axis.begin + share * (axis.end - axis.begin)
    return pixels


def _agreement(
    channel: str,
    rounds: Sequence[Round],
    spans_s: Sequence[Span],
    edges_s: Floats,
    columns: Columns,
) -> float | None:
    """Trace against counter, over the rounds within the trace."""
    inside = [
        (span, done.channels[channel])
        for done, span in zip(rounds, spans_s, strict=True)
        if channel in done.channels and span[0] >= 0 and span[1] <= edges_s[-1]
    ]
    counted_j = sum(joules for _, joules in inside)
    if counted_j <= 0:
        return None
    # Buckets hold exact joules, so the cumulative energy is exact at their edges and is
    # interpolated only at the edges of rounds.
    spent_j = np.concatenate(([0.0], np.cumsum(columns.energy_j)))
    edges = np.interp([span for span, _ in inside], edges_s, spent_j)
    return float(np.diff(edges).sum()) / counted_j - 1
