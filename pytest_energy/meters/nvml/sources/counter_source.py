"""Joules by energy counters: differences between ticks, less what lies outside the window.

The device is idle at both edges, since it is synchronised before each: a window begins after a tick
and ends before one, and what the counter counted in the gaps between is idle energy. It is taken
off at the power that the counter shows over one whole tick before the window and one after it,
where the device is as warm and its clocks as high as in the gaps. Edges under a running load would
save these waits, but know the joules of a pass only by assuming that all passes are alike; a window
with idle edges measures what it holds, be it ten thousand passes or an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.coverage import Coverage, last_tick
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, calibrate, next_ticks
from pytest_energy.model.measurement import UNSEEN, Quantity, ReasonCode
from pytest_energy.uncertainty.gum import combine, expand, standard_error, uniform

RESOLUTION_J = 1e-3
"""Counters count whole millijoules."""
LONG_WINDOW_TICKS = 50
"""From this length on the gaps weigh so little that the power known from before does for them."""


@dataclass(frozen=True)
class Joules:
    """What one channel used in a window."""

    energy_j: float
    budget: Mapping[str, float] = field(default_factory=dict)
    """Standard uncertainties by cause, in joules."""
    rest_w: float = 0.0
    """Power around the window, where the edges were looked for."""


def with_unseen(joules: Joules, unseen_j: float) -> Joules:
    """``joules`` with the standard uncertainty of what happened while the sensor looked away."""
    return replace(joules, budget={**joules.budget, UNSEEN: unseen_j})


@dataclass(frozen=True)
class Power:
    """The power in a gap beside a window, with its standard uncertainty."""

    value_w: float
    uncertainty_w: float


@dataclass(frozen=True)
class OpeningTick:
    """The tick before a window, and the power in the gap between."""

    tick: Tick
    power: Power


class CounterSource:
    """The energy counters of some devices."""

    name = "counter"

    def __init__(self, readers: Mapping[str, Callable[[], float]]) -> None:
        """Time the counters and measure the idle power, by channel.

        Raises:
            SensorError: A counter does not answer or does not move.
        """
        self._opened_j = {channel: read_j() for channel, read_j in readers.items()}
        self._tickers = [Ticker(channel, read_j) for channel, read_j in readers.items()]
        seen = calibrate(self._tickers)
        self.channels = tuple(readers)
        self.period_s = max(ticker.period_s or 0.0 for ticker in self._tickers)
        self.idle_power_w = {channel: idle_power(ticks) for channel, ticks in seen.items()}
        self._rest_power: dict[str, Power] = {}
        self._long = False
        self._rested = False
        """Whether the power after a window has been seen: it is not that before the first one."""
        self._coverage = {channel: Coverage() for channel in readers}

    @property
    def shortest_window_s(self) -> float:
        """One tick: in a shorter window a counter may not move at all."""
        return self.period_s

    def spent_j(self) -> float:
        """What the counters have counted since they were opened.

        Raises:
            SensorError: One does not answer, or was reset.
        """
        spent_j = {t.name: t.read_j() - self._opened_j[t.name] for t in self._tickers}
        if reset := [channel for channel, joules in spent_j.items() if joules < 0]:
            raise SensorError(ReasonCode.COUNTER_RESET, f"{reset[0]}: the counter was reset")
        return sum(spent_j.values())

    def begin(self) -> dict[str, OpeningTick | SensorError]:
        """Wait for a tick of each counter, and for one more before it, which tells the power.

        The latter not where the window before was long: such a one is likely to follow.
        """
        earlier = {} if self._long else next_ticks(self._tickers)
        ticks = next_ticks(self._tickers)
        powers = self._rest(earlier, ticks)
        return {
            channel: OpeningTick(tick, powers[channel]) if isinstance(tick, Tick) else tick
            for channel, tick in ticks.items()
        }

    def end(
        self, opening: Mapping[str, OpeningTick | SensorError], started_s: float, ended_s: float
    ) -> dict[str, Joules | SensorError]:
        """Wait for the ticks that close the window; the joules of each channel within it.

        Args:
            opening: What :meth:`begin` returned.
            started_s: When the window began, by ``time.perf_counter``.
            ended_s: When it ended.
        """
        closing = next_ticks(self._tickers)
        self._long = ended_s - started_s >= LONG_WINDOW_TICKS * self.period_s
        known = self._long and self._rested
        powers = self._rest(closing, {} if known else next_ticks(self._tickers))
        self._rested = True
        counted = {
            c: _joules(opening[c], closing[c], started_s, ended_s, powers[c]) for c in powers
        }
        for ticker in self._tickers:
            tick, joules = closing[ticker.name], counted[ticker.name]
            if isinstance(tick, Tick) and isinstance(joules, Joules) and ticker.period_s:
                power_w = joules.energy_j / (ended_s - started_s)
                self._coverage[ticker.name].learn(
                    last_tick(tick, ticker.period_s, ended_s, power_w, joules.rest_w)
                )
        return counted

    def full_time(self, channel: str) -> bool | None:
        """Whether a counter sees all of the time; ``None`` where too few windows have told."""
        return self._coverage[channel].full_time

    def _rest(
        self,
        earlier: Mapping[str, Tick | SensorError],
        later: Mapping[str, Tick | SensorError],
    ) -> dict[str, Power]:
        """The power of each channel between two ticks; where they were not seen, what is known."""
        powers = {channel: self._remembered(channel) for channel in self.channels}
        for ticker in self._tickers:
            first, second = earlier.get(ticker.name), later.get(ticker.name)
            if isinstance(first, Tick) and isinstance(second, Tick):
                power = mean_power(first, second, ticker.period_s, ticker.drift)
                if power.value_w >= 0:  # else the counter was reset between them
                    powers[ticker.name] = self._rest_power[ticker.name] = power
        return powers

    def _remembered(self, channel: str) -> Power:
        """The power at rest as last seen, which is less certain the more it differs from idle."""
        idle = self.idle_power_w[channel]
        last = self._rest_power.get(channel, Power(idle.value, 0.0))
        apart_w = uniform(2 * abs(last.value_w - idle.value))
        known_w = (last.uncertainty_w, *idle.budget.values(), apart_w)
        return Power(last.value_w, combine(known_w))


def _joules(
    opening: OpeningTick | SensorError,
    closing: Tick | SensorError,
    started_s: float,
    ended_s: float,
    after: Power,
) -> Joules | SensorError:
    if isinstance(opening, SensorError):
        return opening
    if isinstance(closing, SensorError):
        return closing
    if closing.energy_j < opening.tick.energy_j:
        return SensorError(
            ReasonCode.COUNTER_RESET,
            f"the energy counter went back from {opening.tick.energy_j:.3f} J to "
            f"{closing.energy_j:.3f} J during the window; was the driver reloaded?",
        )
    return window_joules(opening, closing, started_s, ended_s, after)


def window_joules(
    opening: OpeningTick, closing: Tick, started_s: float, ended_s: float, after: Power
) -> Joules:
    """The joules between two moments that lie between two ticks.

    The budget has the resolution of both readings, and as ``edges`` what is not known of the gaps:
    when exactly the counter ticked, and the power meanwhile. Where that was another one before the
    window than after it, it changes while the device rests, and is known no better than that.

    Args:
        opening: The tick before the window, with the power until it began.
        closing: The tick after it.
        started_s: When the window began, by ``time.perf_counter``.
        ended_s: When it ended.
        after: The power from then to ``closing``.
    """
    before = opening.power
    before_s, after_s = started_s - opening.tick.time_s, closing.time_s - ended_s
    apart_w = abs(after.value_w - before.value_w)
    chance_w = 2 * combine((before.uncertainty_w, after.uncertainty_w))
    changes_w = uniform(2 * max(apart_w - chance_w, 0.0))
    edges_j = combine(
        (
            before.value_w * uniform(opening.tick.width_s),
            after.value_w * uniform(closing.width_s),
            before.uncertainty_w * before_s + after.uncertainty_w * after_s,
            changes_w * before_s,
            changes_w * after_s,
        )
    )
    counted_j = closing.energy_j - opening.tick.energy_j
    return Joules(
        energy_j=counted_j - before.value_w * before_s - after.value_w * after_s,
        budget={"resolution": math.sqrt(2) * uniform(RESOLUTION_J), "edges": edges_j},
        rest_w=after.value_w,
    )


def mean_power(
    earlier: Tick, later: Tick, period_s: float | None = None, drift: float = 0.0
) -> Power:
    """The mean power between two ticks.

    Args:
        earlier: A tick.
        later: A later one.
        period_s: The counter's period. Where both ticks may lie on it, it tells the time between
            them better than the reads around them do.
        drift: Standard uncertainty of the period, as a share of it.
    """
    time_s = later.time_s - earlier.time_s
    time_u = combine((uniform(earlier.width_s), uniform(later.width_s)))
    if period_s is not None:
        regular_s = max(1, round(time_s / period_s)) * period_s
        reach_s = (earlier.width_s + later.width_s) / 2
        if abs(regular_s - time_s) <= reach_s < period_s / 2:
            time_s, time_u = regular_s, drift * regular_s
    power_w = (later.energy_j - earlier.energy_j) / time_s
    resolution_w = math.sqrt(2) * uniform(RESOLUTION_J) / time_s
    return Power(power_w, combine((power_w * time_u / time_s, resolution_w)))


def idle_power(ticks: Sequence[Tick]) -> Quantity:
    """The mean power over all ticks, with the scatter from tick to tick."""
    whole = mean_power(ticks[0], ticks[-1])
    each_w = [mean_power(a, b).value_w for a, b in pairwise(ticks)]
    budget = {"resolution": whole.uncertainty_w, "scatter": standard_error(each_w)}
    freedom = len(each_w) - 1
    return Quantity(
        value=whole.value_w,
        unit="W",
        uncertainty=max(expand(whole.uncertainty_w), expand(budget["scatter"], freedom)),
        degrees_of_freedom=freedom,
        budget=budget,
    )
