"""Learn from a load of the meter's own how its counters see a load begin and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.coverage import LastTick
from pytest_energy.meters.nvml.sources.joules import between_s
from pytest_energy.meters.nvml.sources.settling import Step
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, next_ticks, pause_until
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import ReasonCode

OwnLoad = Callable[[], AbstractContextManager[object]]
"""Loads all measured devices as long as the block runs; its exit returns when they have ended."""
STEP_S = 0.8
"""Length of the load whose rise and fall are read at every tick."""
SOON_S = 0.01
"""It ends so long before a tick: power has fallen by a part then, but a late counter shows it as
before."""
FALL_S = 2.0
"""For how long its fall is read."""
AFTER_S = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.035)
"""How long before a tick short loads end, to see the tail."""
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7)
"""The shares of a tick that other short loads use, to see whether the counter counts all of it."""
REST_S = 0.3
"""The pause between two loads."""

Ticks = Mapping[str, Tick | SensorError]


@dataclass(frozen=True)
class Ended:
    """A short load that has ended: its ticks while it ran, and when it ended."""

    running: tuple[Ticks, Ticks, Ticks]
    ended_s: float


@dataclass(frozen=True)
class Tried:
    """What a counter has shown of a load of the meter's own, from rest to rest."""

    step: Step
    """The joules above rest at each tick since the load began."""
    span: Span
    """From a tick at rest to another one, by ``time.perf_counter``."""
    counted_j: float
    """All joules of that span."""


def step_response(
    tickers: Sequence[Ticker], load: OwnLoad, watch: Callable[[], None] = lambda: None
) -> dict[str, Tried]:
    """What each counter shows of a load and of the fall after it, by channel.

    Args:
        tickers: The counters.
        load: The meter's own load.
        watch: Called so often that no power sample is missed.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    before = _ticks_at_rest(tickers)
    with load():
        began_s = CLOCK.perf_counter()
        seen = list(_ticks_until(tickers, began_s + STEP_S))
        if seen:
            pause_until(_shortly_before_next(tickers[0], seen[-1][tickers[0].name]))
        else:  # a tick takes as long as the load
            pause_until(began_s + STEP_S)
    ended_s = CLOCK.perf_counter()
    watch()
    for part in (0.5, 1.0):  # the shortest ring holds 2 s
        seen += _until(tickers, ended_s + part * FALL_S)
        watch()
    return {
        ticker.name: _tried(
            ticker,
            [ticks[ticker.name] for ticks in before],
            [ticks[ticker.name] for ticks in seen],
            began_s,
            ended_s,
        )
        for ticker in tickers
    }


def _tried(
    ticker: Ticker, before: Sequence[Tick], seen: Sequence[Tick], began_s: float, ended_s: float
) -> Tried:
    first, last = before[0], seen[-1]
    return Tried(
        _step(ticker, before, seen, began_s, ended_s),
        Span(first.time_s, last.time_s - first.time_s),
        last.energy_j - first.energy_j,
    )


def check_seen(steps: Mapping[str, Step]) -> None:
    """Make sure that the sensors show the load.

    Raises:
        SensorError: One does not: the load did not run, or ran elsewhere.
    """
    for channel, step in steps.items():
        if not step.seen:
            raise SensorError(
                ReasonCode.METER_FAILED, f"{channel}: its sensor does not show the load"
            )


def _step(
    ticker: Ticker, before: Sequence[Tick], seen: Sequence[Tick], began_s: float, ended_s: float
) -> Step:
    """The step by its ticks, which come at multiples of the period where they fit these.

    The reads around a tick tell its moment to some tenths of a millisecond. Times the power at
    rest, that would look like joules which a delay and a lag do not explain.
    """
    first, opening = before
    period_s = None if ticker.jitter_s else ticker.period_s
    rest_w = (opening.energy_j - first.energy_j) / between_s(first, opening, period_s)
    above = []
    for tick in seen:
        since_s = between_s(opening, tick, period_s)
        above_j = tick.energy_j - opening.energy_j - rest_w * since_s
        above.append((opening.time_s + since_s - began_s, above_j))
    return Step(ended_s - began_s, above)


def short_loads(tickers: Sequence[Ticker], load: OwnLoad) -> Iterator[Ended]:
    """Loads of two to three ticks that end at chosen moments of the first counter's tick.

    The caller must read the ticks that follow before it asks for the next one.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    lead = tickers[0]
    assert lead.period_s is not None
    period_s = lead.period_s
    moments_s = [after_s for after_s in AFTER_S if after_s < 0.9 * period_s]
    for after_s in [*moments_s, *((1 - share) * period_s for share in SHARES)]:
        CLOCK.sleep(REST_S)
        with load():
            # the load begins before the first of them
            running = (_ticks(tickers), _ticks(tickers), _ticks(tickers))
            pause_until(running[-1][lead.name].time_s + period_s - after_s)
        yield Ended(running, CLOCK.perf_counter())


@dataclass(frozen=True)
class Counted:
    """A load that began at a tick, and all that a late counter has shown of it."""

    opening: Tick
    period_s: float
    began_s: float
    ended_s: float
    above_j: float
    """Joules above those of the device at rest."""

    def last_tick(self, step_w: float) -> LastTick:
        """The load's last tick: how much of it was loaded, and how much was counted."""
        ticks = (self.ended_s - self.opening.time_s) / self.period_s
        early = (self.began_s - self.opening.time_s) / self.period_s
        whole = math.floor(ticks)
        return LastTick(ticks - whole, self.above_j / (step_w * self.period_s) - whole + early)


def counted_loads(
    tickers: Sequence[Ticker], load: OwnLoad, wait_s: float
) -> Iterator[dict[str, Counted]]:
    """Loads from a tick to chosen shares of a later one, read when all that is late has come.

    Only the first counter's tick is met, so that the others show nothing.

    Args:
        tickers: The counters.
        load: The meter's own load.
        wait_s: For how long joules come late.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    lead = tickers[0]
    assert lead.period_s is not None
    for share in SHARES:
        CLOCK.sleep(wait_s)
        first, opening = (ticks[lead.name] for ticks in _ticks_at_rest([lead]))
        with load():
            began_s = CLOCK.perf_counter()
            pause_until(opening.time_s + (2 + share) * lead.period_s)
        ended_s = CLOCK.perf_counter()
        pause_until(ended_s + wait_s)
        closing = _ticks([lead])[lead.name]
        rest_w = (opening.energy_j - first.energy_j) / (opening.time_s - first.time_s)
        above_j = closing.energy_j - opening.energy_j - rest_w * (closing.time_s - opening.time_s)
        yield {lead.name: Counted(opening, lead.period_s, began_s, ended_s, above_j)}


def _shortly_before_next(ticker: Ticker, tick: Tick) -> float:
    assert ticker.period_s is not None
    return tick.time_s + ticker.period_s - soon_s(ticker.period_s)


def soon_s(period_s: float) -> float:
    """How long before a tick a load ends whose fall is to be seen from its beginning."""
    return min(SOON_S, period_s / 4)


def _until(tickers: Sequence[Ticker], moment_s: float) -> Iterator[dict[str, Tick]]:
    yield from _ticks_until(tickers, moment_s)
    pause_until(moment_s)


def _ticks_until(tickers: Sequence[Ticker], moment_s: float) -> Iterator[dict[str, Tick]]:
    period_s = max(ticker.period_s or 0.0 for ticker in tickers)
    while CLOCK.perf_counter() + period_s < moment_s:
        yield _ticks(tickers)


def _ticks_at_rest(tickers: Sequence[Ticker]) -> tuple[dict[str, Tick], dict[str, Tick]]:
    """Two ticks, between which the power at rest is known well.

    Neighbours 10 ms apart, seen to 0.3 ms, would tell it to 3 %. Until a load has been shown
    completely, that adds up to more than a hundredth of its joules.
    """
    first = _ticks(tickers)
    CLOCK.sleep(REST_S)
    return first, _ticks(tickers)


def _ticks(tickers: Sequence[Ticker]) -> dict[str, Tick]:
    ticks = next_ticks(tickers)
    for tick in ticks.values():
        if isinstance(tick, SensorError):
            raise tick
    return {name: tick for name, tick in ticks.items() if isinstance(tick, Tick)}
