"""What reading does to a counter, and in which steps it counts: both measured at opening.

Some counters fall short the more often they are read: that of an RTX 4090 by 95 % if it is read
every half millisecond (reported, not confirmed). The power that such a counter shows is less by the
loss of a read times the reads per second: a straight line through stretches of few and of many
reads gives the loss, the true power at rest, and how well a loss that is the same for each read
explains them. The meter reads only while the device is idle, at the edges of windows, so the loss
at idle is what its windows lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, linear_regression

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.joules import Joules, mean_power
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, next_ticks
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import SETTLING, Quantity
from pytest_energy.uncertainty.gum import COVERAGE, combine, expand, t_quantile, uniform

STRETCH_TICKS = 5
"""Ticks with few reads, and ticks with many, at least."""
STRETCH_S = 0.5
DENSE_PAUSE_S = 1e-3
LEAST_LOSS = 0.02
"""A smaller difference of the two powers, as a share, is no loss: idle power varies so much."""
FURTHER_PAUSES_S = (None, 2 * DENSE_PAUSE_S, None)
"""If there is one, so many stretches more: with few reads, with half as many, with few again."""
SEARCH_READS = 20
"""So many reads search the tick that closes a window, about."""
ALIKE = (1 - (1 - COVERAGE) ** (1 / 4)) / t_quantile(math.inf)
"""Standard uncertainty, in steps, of what three rounds may be rounded by alike.

A window of n + f steps reads as n with a probability of 1 - f. Three windows all read so with a
one of (1 - f)³, so that f lies below 1 - 0.05^(1/4) in 95 % of the cases in which they do.
"""
MILLIJOULE = 1e-3
BY_CHANCE = 1e-6


class CounterReads:
    """Reads a counter, adds what its reads have lost, and remembers the steps that it makes."""

    def __init__(self, read_j: Callable[[], float]) -> None:
        self._read_j = read_j
        self.reads = 0
        """How often the counter was read; others who read it add theirs."""
        self.loss_j = 0.0
        """Lost with each read; 0 until it has been measured."""
        self.unsure_j = 0.0
        """Standard uncertainty of that."""
        self._last_mj: int | None = None
        self._lost_j = 0.0
        self._step_mj = self._moves = 0

    @property
    def step_j(self) -> float:
        """The counter's resolution: the largest step of which all its values are multiples.

        The values, not their changes: at constant power all changes are alike. Of a counter of
        millijoules, a share of one in g values is a multiple of g by chance. A step is believed if
        that chance is below :data:`BY_CHANCE` for all its values together.
        """
        believed = self._step_mj > 1 and self._step_mj**-self._moves < BY_CHANCE
        return (self._step_mj if believed else 1) * MILLIJOULE

    def __call__(self) -> float:
        """Read; the lost joules are added when the counter moves, so that it moves only then.

        Raises:
            SensorError: The counter does not answer.
        """
        value_j = self._read_j()
        value_mj = round(value_j / MILLIJOULE)
        if self._last_mj is not None and value_mj != self._last_mj:
            self._lost_j = self.reads * self.loss_j
            self._moves += 1
        self._step_mj = math.gcd(self._step_mj, value_mj)
        self._last_mj = value_mj
        self.reads += 1
        return value_j + self._lost_j


def with_reading(joules: Joules, reader: CounterReads) -> Joules:
    """Return ``joules`` with the uncertainty of large steps and of what reading has lost.

    Six readings go into a window: those of its two ticks, and two for the power of each gap, which
    is at most one tick long. The two of the ticks may be rounded alike in rounds of equal joules:
    such rounds agree, and are wrong by the same (GUM F.2.2.1, see :data:`ALIKE`). What reading has
    lost is added by the loss of a read, whose error all windows share. Rounds share both parts,
    which is why they are in ``settling``.
    """
    if reader.step_j <= MILLIJOULE and not reader.loss_j:
        return joules
    rounding_j = uniform(reader.step_j)
    lost_j = SEARCH_READS * reader.unsure_j
    alike_j = ALIKE * reader.step_j
    shared_j = combine((joules.budget.get(SETTLING, 0.0), lost_j, alike_j))
    resolution_j = math.sqrt(6 * rounding_j**2 - alike_j**2)
    budget = {**joules.budget, "resolution": resolution_j, SETTLING: shared_j}
    return replace(joules, budget=budget)


@dataclass(frozen=True)
class AtRest:
    """The power of a device at rest by a counter that loses joules by reading."""

    power: Quantity
    span: Span
    """When it was measured, by ``time.perf_counter``."""


@dataclass(frozen=True)
class _Stretch:
    """What a counter showed at rest between two ticks, while it was read so often."""

    first: Tick
    last: Tick
    reads: int

    @property
    def duration_s(self) -> float:
        return self.last.time_s - self.first.time_s

    @property
    def power_w(self) -> float:
        return mean_power(self.first, self.last).value_w

    @property
    def reads_a_s(self) -> float:
        return self.reads / self.duration_s


def measure_losses(
    tickers: Sequence[Ticker], readers: Mapping[str, CounterReads]
) -> dict[str, AtRest]:
    """Set the loss of each counter's reads; return the idle power of those that lose any.

    Args:
        tickers: The counters, with known periods.
        readers: Their readers by name; nothing else reads the counters meanwhile.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    seen = [_look(tickers, readers)]
    for pause_s in (None, DENSE_PAUSE_S):
        _read_for(tickers, readers.values(), pause_s)
        seen.append(_look(tickers, readers))
    losing = [name for name in readers if _loses(_stretches(seen, name))]
    if losing:
        for pause_s in FURTHER_PAUSES_S:
            _read_for(tickers, readers.values(), pause_s)
            seen.append(_look(tickers, readers))
    return {name: _set_loss(readers[name], _stretches(seen, name)) for name in losing}


_Look = Mapping[str, tuple[Tick, int]]
"""A tick of each counter, and how often it had been read before."""


def _look(tickers: Sequence[Ticker], readers: Mapping[str, CounterReads]) -> _Look:
    looked = {}
    for name, tick in next_ticks(tickers).items():
        if isinstance(tick, SensorError):
            raise tick
        looked[name] = (tick, readers[name].reads - 1)  # the read that shows it costs the next one
    return looked


def _stretches(seen: Sequence[_Look], name: str) -> list[_Stretch]:
    return [
        _Stretch(first, last, reads - reads_before)
        for (first, reads_before), (last, reads) in pairwise(looked[name] for looked in seen)
    ]


def _loses(stretches: Sequence[_Stretch]) -> bool:
    few, many = stretches
    return few.power_w - many.power_w > LEAST_LOSS * few.power_w


def _set_loss(reader: CounterReads, stretches: Sequence[_Stretch]) -> AtRest:
    """Set a reader's loss by a straight line through its stretches (GUM H.3)."""
    rates, powers_w = [s.reads_a_s for s in stretches], [s.power_w for s in stretches]
    slope, power_w = linear_regression(rates, powers_w)
    off_w = [w - power_w - slope * rate for rate, w in zip(rates, powers_w, strict=True)]
    freedom = len(stretches) - 2
    residual_w = combine(off_w) / math.sqrt(freedom)
    spread = combine(rate - fmean(rates) for rate in rates)
    expanded = expand(residual_w / spread, freedom)
    reader.loss_j, reader.unsure_j = max(0.0, -slope), expanded / t_quantile(math.inf)
    scatter_w = residual_w * math.hypot(1 / math.sqrt(len(rates)), fmean(rates) / spread)
    first, last = stretches[0].first, stretches[-1].last
    power = Quantity(
        value=power_w,
        unit="W",
        uncertainty=expand(scatter_w, freedom),
        degrees_of_freedom=freedom,
        budget={"scatter": scatter_w},
    )
    return AtRest(power, Span(first.time_s, last.time_s - first.time_s))


def _read_for(
    tickers: Sequence[Ticker], readers: Collection[CounterReads], pause_s: float | None
) -> None:
    """Read for a stretch with such pauses; ``None``: do not read."""
    period_s = max(ticker.period_s or 0.0 for ticker in tickers)
    stretch_s = max(STRETCH_S, STRETCH_TICKS * period_s)
    if pause_s is None:  # the search for a tick sleeps until shortly before it
        CLOCK.sleep(stretch_s - period_s / 2)
        return
    until_s = CLOCK.perf_counter() + stretch_s
    while CLOCK.perf_counter() < until_s:
        for reader in readers:
            reader()
        CLOCK.sleep(pause_s)
