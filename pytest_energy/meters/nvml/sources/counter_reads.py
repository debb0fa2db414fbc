"""What reading does to a counter, and in which steps it counts: both measured at opening.

Some counters fall short the more often they are read: that of an RTX 4090 by 95 % if it is read
every half millisecond (reported, not confirmed). The loss of a read is the difference between the
power over some ticks with few reads and over as many with many. The meter reads only while the
device is idle, at the edges of windows, so the loss at idle is what its windows lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.joules import Joules, idle_power, mean_power
from pytest_energy.meters.nvml.sources.ticks import Tick, Ticker, next_ticks
from pytest_energy.model.measurement import SETTLING, Quantity
from pytest_energy.uncertainty.gum import combine, uniform

STRETCH_TICKS = 5
"""Ticks with few reads, and ticks with many, at least."""
STRETCH_S = 0.5
DENSE_PAUSE_S = 1e-3
LEAST_LOSS = 0.02
"""A smaller difference of the two powers, as a share, is no loss: idle power varies so much."""
SEARCH_READS = 20
"""So many reads search the tick that closes a window, about."""
MILLIJOULE = 1e-3
BY_CHANCE = 1e-6


class CounterReads:
    """Reads a counter, adds what its reads have lost, and remembers the steps that it makes."""

    def __init__(self, read_j: Callable[[], float]) -> None:
        self._read_j = read_j
        self.reads = 0
        self.loss_j = 0.0
        """Lost with each read; 0 until it has been measured."""
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
    is at most one tick long. The two of the ticks are rounded alike in rounds of equal joules: such
    rounds agree, and are wrong by the same (GUM F.2.2.1). The loss of a read is known to half of it
    (uniform, GUM 4.3.7), and so is what it takes from a window. Rounds share both parts, which is
    why they are in ``settling``.
    """
    if reader.step_j <= MILLIJOULE and not reader.loss_j:
        return joules
    rounding_j = uniform(reader.step_j)
    lost_j = uniform(SEARCH_READS * reader.loss_j)
    shared_j = combine((joules.budget.get(SETTLING, 0.0), lost_j, math.sqrt(2) * rounding_j))
    budget = {**joules.budget, "resolution": 2 * rounding_j, SETTLING: shared_j}
    return replace(joules, budget=budget)


def measure_losses(
    tickers: Sequence[Ticker], readers: Mapping[str, CounterReads]
) -> dict[str, Quantity]:
    """Set the loss of each counter's reads; return the idle power of those that lose any.

    Args:
        tickers: The counters, with known periods.
        readers: Their readers by name; nothing else reads the counters meanwhile.

    Raises:
        SensorError: A counter does not answer or does not move.
    """
    period_s = max(ticker.period_s or 0.0 for ticker in tickers)
    stretch_s = max(STRETCH_S, STRETCH_TICKS * period_s)
    few = [_ticks(tickers)]
    for _ in range(2):  # few reads: the search sleeps until shortly before a tick
        CLOCK.sleep(stretch_s / 2 - period_s / 2)
        few.append(_ticks(tickers))
    before = {name: reader.reads for name, reader in readers.items()}
    _read_densely(readers.values(), stretch_s)
    many = _ticks(tickers)
    idle = {}
    for name, reader in readers.items():
        first, last, end = few[0][name], few[-1][name], many[name]
        power_w = mean_power(first, last).value_w
        lost_w = power_w - mean_power(last, end).value_w
        if lost_w > LEAST_LOSS * power_w:
            lost_j = lost_w * (end.time_s - last.time_s)
            reader.loss_j = lost_j / (reader.reads - before[name])
            idle[name] = idle_power([ticks[name] for ticks in few])
    return idle


def _ticks(tickers: Sequence[Ticker]) -> dict[str, Tick]:
    ticks = {}
    for name, tick in next_ticks(tickers).items():
        if isinstance(tick, SensorError):
            raise tick
        ticks[name] = tick
    return ticks


def _read_densely(readers: Collection[CounterReads], duration_s: float) -> None:
    until_s = CLOCK.perf_counter() + duration_s
    while CLOCK.perf_counter() < until_s:
        for reader in readers:
            reader()
        CLOCK.sleep(DENSE_PAUSE_S)
