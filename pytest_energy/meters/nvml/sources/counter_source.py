"""Joules from energy counters: the difference between two ticks, less the gaps beside the window.

The device is synchronised before each edge, so it is idle there. A window begins after one tick and
ends before another, and the counter counts idle energy in the two gaps. That energy is subtracted
at the power of one whole tick before the window and one after it, because there the device has the
temperature and the clocks of the gaps. Edges under a running load would save these waits, but then
the joules of a pass are known only by assuming that all passes are alike. A window with idle edges
measures exactly what it contains, ten thousand passes or one epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.coverage import Coverage, last_tick
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, calibrate, next_ticks
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import UNSEEN, Quantity, ReasonCode
from pytest_energy.uncertainty.gum import combine, expand, standard_error, uniform

RESOLUTION_J = 1e-3
"""Counters count whole millijoules."""
LONG_WINDOW_TICKS = 50
"""In longer windows the gaps weigh so little that the power of earlier gaps is exact enough."""


@dataclass(frozen=True)
class Joules:
    """The joules that one channel used in a window."""

    energy_j: float
    budget: Mapping[str, float] = field(default_factory=dict)
    """Standard uncertainties by cause, in joules."""
    rest_w: float = 0.0
    """Power of the idle device around the window, while the edges were searched."""


def with_unseen(joules: Joules, unseen_j: float) -> Joules:
    """Return ``joules`` with the standard uncertainty of what a part-time sensor did not sample."""
    return replace(joules, budget={**joules.budget, UNSEEN: unseen_j})


@dataclass(frozen=True)
class Power:
    """The power in a gap beside a window, with its standard uncertainty."""

    value_w: float
    uncertainty_w: float


@dataclass(frozen=True)
class OpeningTick:
    """The tick before a window, and the power in the gap between the two."""

    tick: Tick
    power: Power


class CounterSource:
    """The energy counters of one or several devices."""

    name = "counter"

    def __init__(self, readers: Mapping[str, Callable[[], float]]) -> None:
        """Measure the counters' periods and the idle power.

        Args:
            readers: For each channel, a function that reads its counter in joules.

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
        """Whether the power after a window is known: it differs from that before the first one."""
        self._coverage = {channel: Coverage() for channel in readers}

    @property
    def tickers(self) -> tuple[Ticker, ...]:
        """The counters, with their periods."""
        return tuple(self._tickers)

    @property
    def shortest_window_s(self) -> float:
        """One tick: in a shorter window a counter may not move at all."""
        return self.period_s

    def spent_j(self) -> float:
        """The joules that the counters have counted since they were opened.

        Raises:
            SensorError: A counter does not answer, or was reset.
        """
        spent_j = {t.name: t.read_j() - self._opened_j[t.name] for t in self._tickers}
        if reset := [channel for channel, joules in spent_j.items() if joules < 0]:
            raise SensorError(ReasonCode.COUNTER_RESET, f"{reset[0]}: the energy counter was reset")
        return sum(spent_j.values())

    def begin(self) -> dict[str, OpeningTick | SensorError]:
        """Wait for two ticks of each counter: the power before the window lies between them.

        After a long window, one tick is enough: the next window is probably long as well.
        """
        earlier = {} if self._long else next_ticks(self._tickers)
        ticks = next_ticks(self._tickers)
        powers = self._rest(earlier, ticks)
        return {
            channel: OpeningTick(tick, powers[channel]) if isinstance(tick, Tick) else tick
            for channel, tick in ticks.items()
        }

    def end(
        self, opening: Mapping[str, OpeningTick | SensorError], window: Span
    ) -> dict[str, Joules | SensorError]:
        """Wait for the ticks that close the window; return the joules of each channel within it.

        Args:
            opening: What :meth:`begin` returned.
            window: The window by ``time.perf_counter``.
        """
        closing = next_ticks(self._tickers)
        self._long = window.duration_s >= LONG_WINDOW_TICKS * self.period_s
        known = self._long and self._rested
        powers = self._rest(closing, {} if known else next_ticks(self._tickers))
        self._rested = True
        counted = {c: _joules(opening[c], closing[c], window, powers[c]) for c in powers}
        for ticker in self._tickers:
            tick, joules = closing[ticker.name], counted[ticker.name]
            if isinstance(tick, Tick) and isinstance(joules, Joules) and ticker.period_s:
                power_w = joules.energy_j / window.duration_s
                self._coverage[ticker.name].learn(
                    last_tick(tick, ticker.period_s, window.end_s, power_w, joules.rest_w)
                )
        return counted

    def full_time(self, channel: str) -> bool | None:
        """Whether a counter covers the full time; ``None`` before enough windows have shown it."""
        return self._coverage[channel].full_time

    def _rest(
        self,
        earlier: Mapping[str, Tick | SensorError],
        later: Mapping[str, Tick | SensorError],
    ) -> dict[str, Power]:
        """The power of each channel between two ticks; without ticks, the power as last seen."""
        powers = {channel: self._remembered(channel) for channel in self.channels}
        for ticker in self._tickers:
            first, second = earlier.get(ticker.name), later.get(ticker.name)
            if isinstance(first, Tick) and isinstance(second, Tick):
                power = mean_power(first, second, ticker.period_s, ticker.drift)
                if power.value_w >= 0:  # negative: the counter was reset between the ticks
                    powers[ticker.name] = self._rest_power[ticker.name] = power
        return powers

    def _remembered(self, channel: str) -> Power:
        """The last power at rest; the more it differs from idle power, the less certain it is."""
        idle = self.idle_power_w[channel]
        last = self._rest_power.get(channel, Power(idle.value, 0.0))
        apart_w = uniform(2 * abs(last.value_w - idle.value))
        return Power(last.value_w, combine((last.uncertainty_w, *idle.budget.values(), apart_w)))


def _joules(
    opening: OpeningTick | SensorError,
    closing: Tick | SensorError,
    window: Span,
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
    return window_joules(opening, closing, window, after)


def window_joules(opening: OpeningTick, closing: Tick, window: Span, after: Power) -> Joules:
    """The joules of a window that lies between two ticks.

    The budget has two terms: ``resolution`` of both readings, and ``edges``, the uncertainty of the
    gaps: of the moments of the ticks, and of the power in the gaps. If the power before the window
    differs from that after it, it changes while the device is idle, and the difference counts as
    uncertainty.

    Args:
        opening: The tick before the window, with the power in the gap after it.
        closing: The tick after the window.
        window: The window by ``time.perf_counter``.
        after: The power from the window's end to ``closing``.
    """
    before = opening.power
    before_s, after_s = window.start_s - opening.tick.time_s, closing.time_s - window.end_s
    apart_w = abs(after.value_w - before.value_w)
    # Twice the standard uncertainty: a smaller difference may be chance, not a change.
    chance_w = 2 * combine((before.uncertainty_w, after.uncertainty_w))
    changes_w = uniform(2 * max(apart_w - chance_w, 0.0))
    edges_j = combine(
        (
            before.value_w * uniform(opening.tick.width_s),
            after.value_w * uniform(closing.width_s),
            # added linearly: both powers come from one counter and its period
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
        earlier: The first tick.
        later: The second tick.
        period_s: The counter's period. If both ticks fit it, the time between them is taken from
            the period, which is more exact than the reads around the ticks.
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
    """The mean power over all ticks; its uncertainty includes the scatter from tick to tick."""
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
