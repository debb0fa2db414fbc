"""When a counter moves: its period is measured once, and its ticks are found with few reads.

A counter of joules stands still between its ticks. A reading is exact only at a tick, so a window
needs the moments of the ticks around it. Reading all the time would find them, but it keeps the
processor busy and makes the counters of some boards count too little. A search therefore sleeps
until shortly before the tick that the period predicts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.uncertainty.gum import combine, uniform

STUCK_S = 2.0
"""A counter that has not moved for this long is broken: no slower counter is known."""
FIRST_TICKS = 4
"""The shortest time between these is the period, even if the process is delayed meanwhile."""
CALIBRATION_TICKS = 8
CALIBRATION_S = 0.5
SURE = 8
"""The number of elapsed ticks is certain while twice the drift is below 1/8 of a tick."""
FINEST_READ_S = 0.0005
"""The shortest pause between two reads."""


@dataclass(frozen=True)
class Tick:
    """A moment at which a counter moved."""

    time_s: float
    """By ``time.perf_counter``: the middle of the two reads between which it moved."""
    width_s: float
    """The time between these reads."""
    energy_j: float
    """The counter's value from then on."""
    sought_s: float = math.nan
    """When the search for it began."""
    sought_j: float = math.nan
    """The counter's value then."""


class Ticker:
    """One counter, and what is known of its ticks."""

    def __init__(self, name: str, read_j: Callable[[], float]) -> None:
        self.name = name
        self.read_j = read_j
        self.period_s: float | None = None
        """``None`` until it has been measured."""
        self.drift = 0.0
        """Standard uncertainty of the period, as a share of it."""
        self.jitter_s = 0.0
        """The largest observed distance of a tick from its regular moment, beyond its width."""
        self.last: Tick | None = None
        self._first: Tick | None = None
        """The earliest tick since which the number of ticks is known."""
        self.due_s = 0.0
        """When the next read is due, during a search."""
        self._before_s = self._value_j = self._expected_s = self._guard_s = self._deadline_s = 0.0
        self._sought = (0.0, 0.0)
        self._dither = random.Random()
        """Random: reads at the same moment of each tick have the same error in all windows."""

    def arm(self) -> None:
        """Begin the search for the next tick."""
        self._look()
        self._sought = (self._before_s, self._value_j)
        self._deadline_s = self._before_s + max(STUCK_S, 3 * (self.period_s or 0.0))
        self._predict()
        early_s = self._guard_s + self._dither.random() * self._pause_s()
        self.due_s = max(self._expected_s - early_s, self._before_s)

    def poll(self) -> Tick | None:
        """Read once; return the tick if the counter has moved since the previous read.

        Raises:
            SensorError: The counter does not answer, or has not moved for :data:`STUCK_S`.
        """
        before_s, value_j = self._before_s, self._value_j
        after_s = self._look()
        if self._value_j == value_j:
            self._wait_on(after_s)
            return None
        width_s = after_s - before_s
        if width_s > self._widest_s() and after_s < self._deadline_s - STUCK_S / 2:
            # It came early, or this process was delayed: wait for a tick that is known better.
            self._guard_s = math.inf
            self.due_s = self._before_s + self._pause_s()
            return None
        self.last = Tick((before_s + after_s) / 2, width_s, self._value_j, *self._sought)
        self._sharpen(self.last)
        return self.last

    def time_by(self, first: Tick, last: Tick, period_s: float) -> None:
        """Set the period, as measured between two ticks."""
        self._first, self.period_s, self.drift = first, period_s, _drift(first, last)

    def _sharpen(self, tick: Tick) -> None:
        """Measure the period over the whole session: its error is common to all windows."""
        if self._first is None or self.period_s is None:
            return
        span_s = tick.time_s - self._first.time_s
        if 2 * self.drift * span_s > self.period_s / SURE:
            self._first = tick
        elif span_s > self.period_s / 2 and _drift(self._first, tick) < self.drift:
            self.time_by(self._first, tick, span_s / round(span_s / self.period_s))

    def _look(self) -> float:
        """Read; store the value and the time just before, and return the time just after."""
        self._before_s = CLOCK.perf_counter()
        self._value_j = self.read_j()
        return CLOCK.perf_counter()

    def _predict(self) -> None:
        """Set when the next tick is expected, and how far off that may be."""
        self._expected_s, self._guard_s = self._before_s, math.inf
        if self.period_s is None or self.last is None:
            return
        ahead = math.ceil((self._before_s - self.last.time_s) / self.period_s)
        drift_s = self.drift * ahead * self.period_s
        guard_s = 2 * drift_s + self.last.width_s + 2 * FINEST_READ_S + 2 * self.jitter_s
        if guard_s < self.period_s / 4:
            self._guard_s = guard_s
            self._expected_s = self.last.time_s + ahead * self.period_s
            # too near: the counter may move before the first read
            if self._expected_s - guard_s < self._before_s:
                self._expected_s += self.period_s

    def _wait_on(self, now_s: float) -> None:
        if now_s > self._deadline_s:
            raise SensorError(
                ReasonCode.METER_FAILED,
                f"{self.name}: the energy counter has not moved for {STUCK_S:g} s; check the card"
                " with nvidia-smi, or choose another meter with --energy-meter",
            )
        self.due_s = now_s + self._pause_s()

    def _widest_s(self) -> float:
        """If a tick is known less exactly than this, it is better to wait for the next one."""
        return math.inf if self.period_s is None else max(2e-3, self.period_s / 20)

    def _pause_s(self) -> float:
        """Time between reads: 1/8 of the guard, or 1/100 of a period that cannot be predicted."""
        if math.isinf(self._guard_s):
            return max(FINEST_READ_S, (self.period_s or 0.1) / 100)
        return max(FINEST_READ_S, self._guard_s / 8)


def _drift(first: Tick, last: Tick) -> float:
    """Relative standard uncertainty of the time between two ticks."""
    moments_s = combine((uniform(first.width_s), uniform(last.width_s)))
    return moments_s / (last.time_s - first.time_s)


def next_ticks(tickers: Sequence[Ticker]) -> dict[str, Tick | SensorError]:
    """Wait until each counter has moved once; return its tick, or why there is none, by name."""
    ticks: dict[str, Tick | SensorError] = {}
    for ticker in tickers:
        try:
            ticker.arm()
        except SensorError as error:
            ticks[ticker.name] = error
    pending = [ticker for ticker in tickers if ticker.name not in ticks]
    while pending:
        first = min(pending, key=lambda ticker: ticker.due_s)
        pause_until(first.due_s)
        try:
            tick: Tick | SensorError | None = first.poll()
        except SensorError as error:
            tick = error
        if tick is not None:
            ticks[first.name] = tick
            pending.remove(first)
    return ticks


def pause_until(moment_s: float) -> None:
    """Sleep until a moment of ``time.perf_counter``; return at once if it has passed."""
    left_s = moment_s - CLOCK.perf_counter()
    if left_s > 0:
        CLOCK.sleep(left_s)


def calibrate(tickers: Sequence[Ticker]) -> dict[str, list[Tick]]:
    """Measure each counter's period; return the ticks seen, by name.

    This takes at least :data:`CALIBRATION_TICKS` periods and :data:`CALIBRATION_S`.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    seen: dict[str, list[Tick]] = {ticker.name: [] for ticker in tickers}
    for ticker in tickers:  # one by one at first: a slow read of one could hide another's tick
        first = [_sure(next_ticks([ticker])[ticker.name]) for _ in range(FIRST_TICKS)]
        seen[ticker.name] += first
        _refine(ticker, first)
    began_s, rounds = CLOCK.perf_counter(), FIRST_TICKS
    while rounds < CALIBRATION_TICKS or CLOCK.perf_counter() - began_s < CALIBRATION_S:
        _observe(tickers, seen)
        rounds += 1
    return seen


def _sure(tick: Tick | SensorError) -> Tick:
    if isinstance(tick, SensorError):
        raise tick
    return tick


def _observe(tickers: Sequence[Ticker], seen: Mapping[str, list[Tick]]) -> None:
    ticks = next_ticks(tickers)
    for ticker in tickers:
        seen[ticker.name].append(_sure(ticks[ticker.name]))
        _refine(ticker, seen[ticker.name])


def _refine(ticker: Ticker, ticks: Sequence[Tick]) -> None:
    """Set the mean period over all ticks seen; it also gives the number of missed ticks."""
    intervals_s = [later.time_s - earlier.time_s for earlier, later in pairwise(ticks)]
    period_s, total_s = min(intervals_s), math.fsum(intervals_s)
    # The shortest interval is the period to within two reads; each pass counts missed ticks better.
    for _ in range(3):
        period_s = total_s / sum(max(1, round(length_s / period_s)) for length_s in intervals_s)
    ticker.time_by(ticks[0], ticks[-1], period_s)
    ticker.jitter_s = max(
        abs(length_s - max(1, round(length_s / period_s)) * period_s) - (a.width_s + b.width_s) / 2
        for length_s, (a, b) in zip(intervals_s, pairwise(ticks), strict=True)
    )
    ticker.jitter_s = max(0.0, ticker.jitter_s)
