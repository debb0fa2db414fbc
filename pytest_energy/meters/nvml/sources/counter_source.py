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
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.coverage import CLEAR_J, Coverage, last_tick
from pytest_energy.meters.nvml.sources.fall import (
    LONGEST_LATE_S,
    EndedLoad,
    Fall,
    KnownEnd,
    LateJoules,
    TailJoules,
    Unproven,
    changes_s,
    with_late,
)
from pytest_energy.meters.nvml.sources.joules import (
    RESOLUTION_J,
    Joules,
    OpeningTick,
    Power,
    between_s,
    idle_power,
    mean_power,
    window_joules,
    with_term,
)
from pytest_energy.meters.nvml.sources.late_tail import (
    SPACED_S,
    LateTail,
    Moments,
    classify,
    late_tail_joules,
)
from pytest_energy.meters.nvml.sources.probing import (
    SHARES,
    Counted,
    Ended,
    OwnLoad,
    Ticks,
    Tried,
    check_seen,
    counted_loads,
    short_loads,
    step_response,
)
from pytest_energy.meters.nvml.sources.settling import (
    ANY_SCALE,
    CLEAR_STEP_J,
    LATE_UNCERTAINTY,
    LITTLE_LEFT,
    NOT_SEEN,
    Response,
    Scale,
    Step,
    Tail,
    clearly_late,
    shortest_if_doubtful_s,
    weighted_mean,
)
from pytest_energy.meters.nvml.sources.ticks import (
    Tick,
    Ticker,
    calibrate,
    next_ticks,
    pause_until,
)
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import END, SETTLING, ReasonCode, Scalar
from pytest_energy.uncertainty.gum import (
    COVERAGE,
    bounded,
    combine,
    significant,
    standard_error,
    t_quantile,
    uniform,
)

SETTLED_S = 0.1
"""The power after a window is compared over stretches of one tick, and of no less than this."""
MOST_RIPPLES = 50
"""From so many windows the noise of the power at rest is taken."""
REST_VARIES = 0.1
"""The power at rest may change by this share between two windows."""
ROUNDS = 40
"""Each round leaves the share of a load that is still to come: at most 0.78 for a lag of 1 s."""
SHOWS_LATE = 0.02
"""A late counter that shows so much more than the power at rest shows work that has just ended."""
RECENT_S = 1.0
"""The last tick after a window begins the power before the next one if it is no older than this."""
LONG_WINDOW_TICKS = 40
"""In longer windows the gaps weigh so little that the power of earlier gaps is exact enough."""
LONG_IF_LATE_TICKS = 60
"""The same if the counter is late: what is late at the end weighs more, and is not read then."""
LONG_WAIT = 0.02
"""After such a long window a late counter is waited for no longer than this share of it."""
EITHER = 2 * COVERAGE - 1
"""What follows a load is a tail or comes late, one as likely as the other. If what comes late lies
evenly between none and the most, 95 % of windows miss no more than this share of the most."""

Following = tuple[Tick | SensorError, Tick | SensorError | None, Tick | SensorError | None]
"""The tick that closes a window, and later ones, if they were read."""


class CounterSource:
    """The energy counters of one or several devices."""

    name = "counter"

    def __init__(
        self,
        readers: Mapping[str, Callable[[], float]],
        step_j: Callable[[str], float] = lambda _: RESOLUTION_J,
    ) -> None:
        """Measure the counters' periods and the idle power.

        Until :meth:`probe` has shown how the counters see a load begin and end, they are taken as
        prompt, and the windows show how power falls.

        Args:
            readers: For each channel, a function that reads its counter in joules.
            step_j: Returns the resolution of a channel's counter, as far as it is known by then.

        Raises:
            SensorError: A counter does not answer or does not move.
        """
        self._step_j = step_j
        self._opened_j = {channel: read_j() for channel, read_j in readers.items()}
        self._tickers = [Ticker(channel, read_j) for channel, read_j in readers.items()]
        seen = calibrate(self._tickers)
        self.channels = tuple(readers)
        self.period_s = max(ticker.period_s or 0.0 for ticker in self._tickers)
        self.idle_power_w = {channel: idle_power(ticks) for channel, ticks in seen.items()}
        self.idle_spans = {
            channel: Span(ticks[0].time_s, ticks[-1].time_s - ticks[0].time_s)
            for channel, ticks in seen.items()
        }
        """When the idle power was measured, by ``time.perf_counter``."""
        self._noise_j = {
            ticker.name: self._noise(ticker, seen[ticker.name]) for ticker in self._tickers
        }
        """Standard uncertainty of the difference between the joules of two ticks at rest."""
        self._ripples_j: dict[str, list[float]] = {channel: [] for channel in readers}
        self._rest_power: dict[str, Power] = {}
        self._long = False
        self._latest: Ticks = {}
        """The last ticks that were read after a window."""
        self._seen: list[Ticks] = []
        """All ticks that were read after the last window."""
        self._last: dict[str, EndedLoad] = {}
        self._unproven: dict[str, Unproven] = {}
        """What may come late of the last window, of a counter that was not tried."""
        self._closed: dict[str, Tick] = {}
        """The closing tick of the last window, for counters that are late."""
        self._coverage = {channel: Coverage() for channel in readers}
        self._tails = {channel: Tail() for channel in readers}
        self._responses = dict.fromkeys(readers, Response())
        self._program = ""
        self._probed = False
        self._doubtful: Mapping[str, Response] = {}
        """How late a counter may be, if it may also be that it sees a tail."""
        self._late_tails: Mapping[str, LateTail] = {}
        """The counters that are late and see a tail."""
        self._too_late: Mapping[str, SensorError] = {}

    def _noise(self, ticker: Ticker, ticks: Sequence[Tick]) -> float:
        powers = [self._power_between(ticker, *pair) for pair in pairwise(ticks)]
        powers_w = [power.value_w for power in powers if power is not None]
        return math.sqrt(2 * len(powers_w)) * standard_error(powers_w) * self.period_s

    def next_program(self, name: str) -> None:
        """Take the next windows for those of a program; other programs show nothing of it."""
        self._program = name
        for tail in self._tails.values():
            tail.next_program(name)

    @property
    def tickers(self) -> tuple[Ticker, ...]:
        """The counters, with their periods."""
        return tuple(self._tickers)

    @property
    def shortest_window_s(self) -> float:
        """One tick: in a shorter window a counter may not move at all.

        If a counter is late and sees a tail, or may be late or see one, what is not known of these
        is too large a part of a short window.
        """
        tail_s = SPACED_S if self._late_tails else 0.0
        return max(self.period_s, tail_s, shortest_if_doubtful_s(self._doubtful.values()))

    def spent_j(self) -> float:
        """The joules that the counters have counted since they were opened.

        Raises:
            SensorError: A counter does not answer, or was reset.
        """
        spent_j = {t.name: t.read_j() - self._opened_j[t.name] for t in self._tickers}
        if reset := [channel for channel, joules in spent_j.items() if joules < 0]:
            raise SensorError(ReasonCode.COUNTER_RESET, f"{reset[0]}: the energy counter was reset")
        return sum(spent_j.values())

    def begin(self, at_once: bool = False) -> dict[str, OpeningTick | SensorError]:
        """Wait for three ticks of each counter: they show the power, and whether it still changes.

        After a long window, two ticks are enough: the next window is probably long as well. If the
        device has rested since the last window, the last tick read then is one of them. If the
        program has worked since, what is late of that work is waited for.

        Args:
            at_once: Whether the window follows another one so soon that nothing worked in between.
        """
        began_s = CLOCK.perf_counter()
        late_s = max(self._unknown_late_s(ticker) for ticker in self._tickers)
        if not at_once:
            late_s = max([late_s, *(tail.wait_s for tail in self._late_tails.values())])
        CLOCK.sleep(late_s)
        before = dict(self._rest_power)
        if not at_once and not late_s:
            pause_until(began_s + max(r.delay_s for r in self._responses.values()))
        first, second, ticks = self._opening_ticks(at_once)
        if not at_once and not late_s and self._show_late(second, ticks):
            CLOCK.sleep(max(response.over_s for response in self._responses.values()))
            first, second, ticks = self._opening_ticks(at_once)
        earlier = self._rest(first, second)
        if second is self._latest:
            earlier |= before
        powers = self._rest(second, ticks)
        return {
            channel: OpeningTick(
                tick,
                _opening_power(earlier[channel], powers[channel]),
                _known(first.get(channel), second.get(channel)),
            )
            if isinstance(tick, Tick)
            else tick
            for channel, tick in ticks.items()
        }

    def _opening_ticks(self, at_once: bool) -> tuple[Ticks, Ticks, Ticks]:
        """Up to three ticks of each counter; the last one opens the window."""
        if at_once and self._long and self._just_seen(self._seen[-1]):
            seen: list[Ticks] = [{}, {}, *self._seen]
            return seen[-3], seen[-2], seen[-1]
        ticks: list[Ticks] = [next_ticks(self._tickers)]
        if (at_once or not self._any_late()) and self._rested(ticks[0]):
            ticks.insert(0, self._latest)
        needed = 2 if self._long and not self._late_tails else 3
        while len(ticks) < needed:
            ticks.append(
                self._later_ticks(ticks[-1]) if self._late_tails else next_ticks(self._tickers)
            )
        return (ticks[0] if len(ticks) > 2 else {}), ticks[-2], ticks[-1]

    def _just_seen(self, ticks: Ticks) -> bool:
        """Whether the ticks after the last window are so new that the next one can begin there."""
        oldest_s = CLOCK.perf_counter() - self.period_s
        return all(isinstance(tick, Tick) and tick.time_s >= oldest_s for tick in ticks.values())

    def _rested(self, ticks: Ticks) -> bool:
        """Whether the devices have been at rest from the last window's end to these ticks."""
        return all(self._rested_until(ticker, ticks[ticker.name]) for ticker in self._tickers)

    def _rested_until(self, ticker: Ticker, tick: Tick | SensorError) -> bool:
        latest, rest = self._latest.get(ticker.name), self._rest_power.get(ticker.name)
        power = self._rest_between(ticker, latest, tick)
        if power is None or rest is None:
            return False
        assert isinstance(latest, Tick)  # else there is no power
        assert isinstance(tick, Tick)
        if tick.time_s - latest.time_s > RECENT_S:
            return False
        apart_w = power.value_w - rest.value_w
        # a power that still falls weighs little beside a long window
        return (apart_w if self._long else abs(apart_w)) <= REST_VARIES * rest.value_w

    def _unknown_late_s(self, ticker: Ticker) -> float:
        """For how long joules may come late of work that was not in a window."""
        response, closed = self._responses[ticker.name], self._closed.get(ticker.name)
        if not response.late:
            return 0.0
        if closed is not None and not self._worked_since(closed, ticker):
            return 0.0
        return response.over_s

    def _show_late(self, first: Ticks, second: Ticks) -> bool:
        """Whether two ticks show more than what is known of late counters, and the rest."""
        return any(
            self._shows_late(ticker, first.get(ticker.name), second.get(ticker.name))
            for ticker in self._tickers
            if self._responses[ticker.name].late
        )

    def _shows_late(
        self, ticker: Ticker, first: Tick | SensorError | None, second: Tick | SensorError | None
    ) -> bool:
        power, rest = self._rest_between(ticker, first, second), self._remembered(ticker.name)
        if power is None:
            return False
        chance_w = 2 * combine((power.uncertainty_w, self._noise_j[ticker.name] / self.period_s))
        return power.value_w - rest.value_w > SHOWS_LATE * rest.value_w + chance_w

    def _worked_since(self, closed: Tick, ticker: Ticker) -> bool:
        """Whether a late counter has counted more than a device at rest uses, since a tick."""
        try:
            counted_j = ticker.read_j() - closed.energy_j
        except SensorError:
            return False  # the search for a tick will say so
        response, load = self._responses[ticker.name], self._last[ticker.name]
        now_s = CLOCK.perf_counter()
        rest_j = self._remembered(ticker.name).value_w * (now_s - closed.time_s)
        late_j = load.shown_j(response, closed.time_s, now_s)
        allowed_j = max(CLEAR_STEP_J, REST_VARIES * rest_j, 2 * LATE_UNCERTAINTY * late_j)
        return counted_j - rest_j - late_j > allowed_j

    def end(
        self, opening: Mapping[str, OpeningTick | SensorError], window: Span
    ) -> dict[str, Joules | SensorError]:
        """Wait for the ticks that close the window; return the joules of each channel within it.

        Args:
            opening: What :meth:`begin` returned.
            window: The window by ``time.perf_counter``.
        """
        long_ticks = LONG_IF_LATE_TICKS if self._all_late() else LONG_WINDOW_TICKS
        self._long = window.duration_s >= long_ticks * self.period_s
        if self._long and self._all_late():
            return self._end_soon(opening, window)
        waits_s = [response.wait_s for response in self._responses.values()]
        waits_s += [tail.wait_s for tail in self._late_tails.values()]
        pause_until(window.end_s + max(waits_s))
        closing = next_ticks(self._tickers)
        first = self._later_ticks(closing)
        second = self._later_ticks(first)
        self._latest = second
        self._seen = [closing, first, second]
        return {
            t.name: self._joules(
                t, opening[t.name], (closing[t.name], first[t.name], second[t.name]), window
            )
            for t in self._tickers
        }

    def _end_soon(
        self, opening: Mapping[str, OpeningTick | SensorError], window: Span
    ) -> dict[str, Joules | SensorError]:
        """Close a long window of late counters, with no more wait than such a window allows.

        Its last tick opens a window that follows at once. If there is time for another one, that
        closes this window: windows that shared a tick would share its error, with opposite signs,
        so that their scatter would say too much of the error of their mean. If much is still to
        come at the closing tick, a third tick before it shows how the load ended.
        """
        responses = self._responses.values()
        step_s = self._periods() * self.period_s
        longest_s = LONG_WAIT * window.duration_s
        wait_s = min(max(response.wait_s for response in responses), longest_s)
        settled_s = max(response.settled_s for response in responses)
        much_left = any(r.left_s(wait_s) > LITTLE_LEFT * r.mean_s for r in responses)
        much_left &= all(r.delay_s <= wait_s - step_s for r in responses)
        before: Ticks | None = None
        closing: Ticks
        last: Ticks
        if settled_s + step_s <= longest_s:
            pause_until(window.end_s + settled_s)
            closing = next_ticks(self._tickers)
            last = self._later_ticks(closing)
        elif much_left and 2 * step_s <= longest_s + step_s / 4:
            pause_until(window.end_s + wait_s - 2 * step_s)
            before = next_ticks(self._tickers)
            closing = self._later_ticks(before)
            last = self._later_ticks(closing)
        else:
            pause_until(window.end_s + wait_s)
            closing = last = next_ticks(self._tickers)
        self._latest, self._seen = {}, [last]
        return {
            t.name: self._joules(
                t,
                opening[t.name],
                (closing[t.name], last[t.name] if last is not closing else None, None),
                window,
                before[t.name] if before else None,
            )
            for t in self._tickers
        }

    def _any_late(self) -> bool:
        return any(response.late for response in self._responses.values())

    def _all_late(self) -> bool:
        """Whether the wait after a window leaves no time for further ticks."""
        return all(response.late for response in self._responses.values())

    def _later_ticks(
        self, ticks: Mapping[str, Tick | SensorError], tickers: Sequence[Ticker] | None = None
    ) -> Ticks:
        """The ticks of counters that come :data:`SETTLED_S` or one tick after others."""
        known = [tick.time_s for tick in ticks.values() if isinstance(tick, Tick)]
        read = tickers or self._tickers
        period_s = max(ticker.period_s or 0.0 for ticker in read)
        periods = max(1, round(SETTLED_S / period_s))
        if known and periods > 1:
            pause_until(min(known) + (periods - 0.6) * period_s)
        return next_ticks(read)

    def _periods(self) -> int:
        return max(1, round(SETTLED_S / self.period_s))

    def _joules(
        self,
        ticker: Ticker,
        opening: OpeningTick | SensorError,
        ticks: Following,
        window: Span,
        before: Tick | SensorError | None = None,
    ) -> Joules | SensorError:
        closing, channel = ticks[0], ticker.name
        if isinstance(opening, SensorError):
            return opening
        if isinstance(closing, SensorError):
            return closing
        if closing.energy_j < opening.tick.energy_j:
            return _went_back(opening.tick, closing)
        if channel in self._too_late:
            return self._too_late[channel]
        if channel in self._late_tails:
            return self._late_tail_joules(ticker, opening, ticks, window)
        fall = self._fall(ticker, ticks, window.end_s)
        if self._responses[channel].late:
            fall = self._soon(ticker, fall, before, ticks[1])
            return self._late_joules(channel, opening, fall, window)
        return self._prompt_joules(channel, opening, fall, window)

    def _fall(
        self,
        ticker: Ticker,
        ticks: Following,
        ended_s: float,
    ) -> Fall:
        """What the ticks after a load show."""
        closing, first, second = ticks
        assert isinstance(closing, Tick)
        powers = [self._power_between(ticker, closing, first)]
        if second is not None:
            powers.append(self._power_between(ticker, first, second))
        known = [power for power in powers if power is not None]
        after = known[0] if known else self._remembered(ticker.name)
        if known:
            self._rest_power[ticker.name] = known[-1]
        assert ticker.period_s is not None
        periods = self._periods()
        if isinstance(first, Tick):  # other counters may tick more slowly
            periods = max(1, round((first.time_s - closing.time_s) / ticker.period_s))
        return Fall(
            closing=closing,
            ended_s=ended_s,
            period_s=ticker.period_s,
            spacing_s=periods * ticker.period_s,
            after=after,
            later=known[1] if len(known) == 2 else None,
        )

    def _soon(
        self,
        ticker: Ticker,
        fall: Fall,
        before: Tick | SensorError | None,
        first: Tick | SensorError | None,
    ) -> Fall:
        """The fall after a long window, whose three ticks follow each other at once."""
        if not self._long or not isinstance(first, Tick):
            return fall
        # The times of the reads are off by some tenths of a millisecond. Times the power that comes
        # late, that is more than what windows of 10 s are exact to.
        spacing_s = between_s(fall.closing, first, fall.period_s)
        fall = replace(fall, spacing_s=spacing_s)
        power = self._power_between(ticker, before, fall.closing)
        if power is None:
            return fall
        assert isinstance(before, Tick)  # else there is no power
        missed_s = between_s(before, fall.closing, fall.period_s) - spacing_s
        return fall if abs(missed_s) > fall.period_s / 2 else replace(fall, before=power)

    def _prompt_joules(
        self, channel: str, opening: OpeningTick, fall: Fall, window: Span
    ) -> Joules:
        """Joules by a counter that is not late, less those of the tail before the closing tick."""
        tail = self._tails[channel]
        joules = window_joules(opening, fall.closing, window, fall.after)
        power_w = joules.energy_j / window.duration_s
        step_w = power_w - (fall.later or fall.after).value_w
        # over less than a tick, noise would be the power of any load
        clear = window.duration_s >= self.period_s and step_w * fall.spacing_s > CLEAR_J
        noise_s = combine((self._noise_j[channel], RESOLUTION_J)) / step_w
        if clear and fall.later and not self._probed:
            tail.learn(fall.after_s, fall.excess_j / step_w, noise_s)
        if not clear and not self._probed:
            late_j = LONGEST_LATE_S * _unfallen_w(self._before_w(channel, opening), power_w, fall)
            self._unproven[channel] = Unproven(fall.closing.time_s, late_j)
            return with_term(joules, SETTLING, bounded(2 * late_j)) if late_j else joules
        if not clear or not tail.points:
            return joules
        left_s = fall.excess_j / step_w if fall.later else None
        end = tail.ended(joules.energy_j, fall.after_s, left_s, noise_s)
        scale = end.scale()
        lost = fall.tail(tail.curve(), scale, step_w)
        self._coverage[channel].learn(
            last_tick(
                fall.closing, fall.period_s, fall.ended_s, power_w, fall.after.value_w, lost.fast_j
            )
        )
        joules = self._with_noise(channel, joules, opening, fall, window, lost)
        late = None if self._probed else self._may_be_late(channel, opening, fall, window)
        doubtful = self._doubtful.get(channel)

        def without_tail(scale: Scale) -> Joules:
            used = _without_tail(joules, fall.tail(tail.curve(), scale, step_w), late)
            return with_late(used, doubtful, scale.value * step_w) if doubtful else used

        return replace(without_tail(scale), revised=lambda: without_tail(end.scale()))

    def _before_w(self, channel: str, opening: OpeningTick) -> float:
        """The power before a window, less what it may have shown late of the window before."""
        opened_s, idle_w = opening.tick.time_s, self.idle_power_w[channel].value
        shown_w = self._earlier(channel, opened_s).above_w(opened_s - self.period_s, opened_s)
        return max(idle_w, opening.power.value_w - shown_w)

    def _earlier(self, channel: str, opened_s: float) -> Unproven:
        """What may come late of the window before one that opened then; nothing of the first."""
        return self._unproven.get(channel, Unproven(opened_s, 0.0))

    def _may_be_late(
        self, channel: str, opening: OpeningTick, fall: Fall, window: Span
    ) -> LateJoules:
        """What a window used beyond its joules if its counter shows late what looks like a tail.

        The power after the window is lower than it seems then, and what is still to come belongs to
        the window. What is late of the window before has come in this one, and made the power
        before it seem higher. A delay is over by then, and leaves no more than the next tick shows.
        """
        late, period_s = fall.unproven, fall.spacing_s
        closed_s, opened_s = fall.closing.time_s, opening.tick.time_s
        gap_j = late.above_w(closed_s, closed_s + period_s) * fall.after_s
        earlier = self._earlier(channel, opened_s)
        self._unproven[channel] = late
        before_j = earlier.above_w(opened_s - period_s, opened_s) * (window.start_s - opened_s)
        lag_j = gap_j + late.late_j - earlier.left_j(opened_s) + before_j
        delay_j = max(0.0, fall.excess_j) * (1 + fall.after_s / period_s) if fall.later else 0.0
        return LateJoules(lag_j, delay_j)

    def _with_noise(
        self,
        channel: str,
        joules: Joules,
        opening: OpeningTick,
        fall: Fall,
        window: Span,
        lost: TailJoules,
    ) -> Joules:
        """Add the noise of the power at rest, as the ticks after the windows show it.

        What they differ by because they are read to a step of the counter and of the search is in
        the budget already (GUM 4.3.10). Of a counter of large steps, few ripples may be larger than
        that by chance: by two standard deviations of their variance. White noise of a standard
        deviation σ joules in each tick T adds σ·√(t/T) to the joules of a gap t, and σ·t/T by the
        tick from which the power of the gap was taken.
        """
        ripples_j = self._ripples_j[channel]
        if fall.later:
            ripples_j.append(abs(fall.excess_j - lost.left_j))
            del ripples_j[:-MOST_RIPPLES]
        if not ripples_j:
            return joules
        step_j = self._step_j(channel)
        read_j = [p.uncertainty_w * fall.spacing_s for p in (fall.after, fall.later) if p]
        chance = 1 + 2 * math.sqrt(2 / len(ripples_j)) if step_j > RESOLUTION_J else 1.0
        read_j.append(math.sqrt(6 * chance) * uniform(step_j))  # of E₀ - 2 E₁ + E₂
        apart_j = _apart_j(ripples_j, step_j)  # each is a difference of two ticks
        tick_j = math.sqrt(max(0.0, apart_j**2 - combine(read_j) ** 2) / 2)
        gaps_s = (window.start_s - opening.tick.time_s, fall.after_s)
        shares = [max(0.0, gap_s) / fall.spacing_s for gap_s in gaps_s]
        noise_j = tick_j * combine(math.sqrt(share + share * share) for share in shares)
        edges_j = combine((joules.budget["edges"], noise_j))
        return with_term(joules, "edges", edges_j)

    def _late_joules(self, channel: str, opening: OpeningTick, fall: Fall, window: Span) -> Joules:
        """Joules by a counter that is late, with those that are still to come."""
        response = self._responses[channel]
        earlier = self._last.get(channel, EndedLoad(window.start_s, 0.0, 0.0))
        stays_j = [earlier.left_j(response, at_s) for at_s in fall.three_s]
        excess_j = fall.shown_j
        if excess_j is not None:
            excess_j -= stays_j[0] - 2 * stays_j[1] + stays_j[2]
        expected = [
            response.left_of_s(window.duration_s, at_s - window.end_s) for at_s in fall.three_s
        ]
        at = 1 if fall.before else 0  # the closing one of the three
        left_s, next_s = expected[at : at + 2]
        early_j = earlier.left_j(response, opening.tick.time_s) - stays_j[at]
        # Three ticks are compared, the middle one twice. The meter's own load has shown how well a
        # delay and a lag explain each of them.
        unexplained_s = combine(
            times * response.unsure_s(at_s - window.end_s)
            for times, at_s in zip((1, 2, 1), fall.three_s, strict=True)
        )
        # Not from the power after the window: what comes late of a load that ended at twice its
        # mean would make the load less than that, and the rounds would not find the way back.
        counted_j = fall.closing.energy_j - opening.tick.energy_j
        mean_w = counted_j / window.duration_s - opening.power.value_w
        joules, scale = Joules(0.0), NOT_SEEN
        for _ in range(ROUNDS):  # what is still to come depends on the step, this on the joules
            scale = self._late_scale(channel, excess_j, mean_w, expected, unexplained_s)
            after = opening.power
            if fall.after.recent:
                shown_j = scale.value * mean_w * (left_s - next_s) + stays_j[at] - stays_j[at + 1]
                after = replace(fall.after, value_w=fall.after.value_w - shown_j / fall.spacing_s)
            joules = window_joules(opening, fall.closing, window, after)
            late_j = scale.value * mean_w * left_s
            joules = replace(joules, energy_j=joules.energy_j + late_j - early_j)
            mean_w = joules.energy_j / window.duration_s - after.value_w
        self._last[channel] = EndedLoad(
            window.end_s,
            window.duration_s,
            scale.value * mean_w,
            scale.uncertainty * mean_w,
            earlier.if_left(response, fall.closing.time_s),
            joules.energy_j if excess_j is None else None,
            self._program,
        )
        self._closed[channel] = fall.closing
        if fall.after.recent:  # else it is what was remembered already, with that uncertainty
            self._rest_power[channel] = after
        width_s = fall.closing.width_s
        moved_s = left_s - response.left_of_s(window.duration_s, fall.after_s + width_s)
        edges_j = combine((joules.budget["edges"], uniform(scale.value * mean_w * moved_s)))
        joules = with_term(joules, "edges", edges_j)
        end_s = left_s
        if fall.before:  # what the scale is off by is missing in the gap's power as well
            end_s += (left_s - next_s) * fall.after_s / fall.spacing_s
        end_j = scale.uncertainty * mean_w * end_s
        alike = excess_j is None and earlier.may_end_as(joules.energy_j, self._program)
        settling_j = (
            max(response.uncertainty_s, response.unsure_s(fall.after_s)) * mean_w,
            0.0 if alike else end_j,
            earlier.unsure_j(response, opening.tick.time_s, end_j if alike else 0.0),
        )
        return with_term(joules, SETTLING, combine(settling_j))

    def _late_tail_joules(
        self, ticker: Ticker, opening: OpeningTick, ticks: Following, window: Span
    ) -> Joules | SensorError:
        """Joules by a counter that is late and sees a tail."""
        before, after = (*opening.earlier, opening.tick), _known(*ticks)
        if len(before) < 3 or len(after) < 3:
            failed = [tick for tick in ticks if isinstance(tick, SensorError)]
            return failed[0] if failed else _no_three_ticks(ticker.name)
        for earlier_tick, tick in pairwise((*before, *after)):
            if tick.energy_j < earlier_tick.energy_j:
                return _went_back(earlier_tick, tick)
        earlier = self._last.get(ticker.name, EndedLoad(window.start_s, 0.0, 0.0))
        joules, self._last[ticker.name] = late_tail_joules(
            self._late_tails[ticker.name],
            self._moments(ticker, before),
            self._moments(ticker, after),
            window,
            earlier,
            self.idle_power_w[ticker.name].value,
        )
        return joules

    def _moments(self, ticker: Ticker, ticks: Sequence[Tick]) -> Moments:
        """Three ticks beside a window, timed by the period where they fit it."""
        first = ticks[0]
        period_s = None if ticker.jitter_s else ticker.period_s
        moments_s = [first.time_s + between_s(first, tick, period_s) for tick in ticks]
        shown = [(m, tick.energy_j) for m, tick in zip(moments_s, ticks, strict=True)]
        power_w = max(mean_power(*pair).value_w for pair in pairwise(ticks))
        noise_j = self._noise_j[ticker.name] / math.sqrt(2)
        read_j = [noise_j, uniform(self._step_j(ticker.name))]
        if ticker.jitter_s:
            read_j.append(uniform(max(tick.width_s for tick in ticks)) * power_w)
        return Moments(shown, combine(read_j), uniform(first.width_s))

    def _late_scale(
        self,
        channel: str,
        excess_j: float | None,
        mean_w: float,
        expected: Sequence[float],
        unexplained_s: float,
    ) -> Scale:
        """The power at a load's end, as a share of its mean, by what came late of it."""
        first_s, second_s, third_s = expected
        expected_j = mean_w * (first_s - 2 * second_s + third_s)
        noise_j = combine((self._noise_j[channel], RESOLUTION_J))
        if excess_j is None or expected_j <= noise_j:
            return NOT_SEEN
        value = excess_j / expected_j
        shown = Scale(value, combine((noise_j, unexplained_s * mean_w)) / expected_j)
        return weighted_mean([ANY_SCALE, shown])

    def probe(self, load: OwnLoad, watch: Callable[[], None] = lambda: None) -> Mapping[str, Tried]:
        """Learn by loads of the meter's own how late each counter is, and how power falls.

        Args:
            load: The meter's own load.
            watch: Called so often during the first load that no power sample is missed.

        Returns:
            What each counter has shown of that load.

        Raises:
            SensorError: A counter does not answer or does not move, or does not show the load.
        """
        tried = step_response(self._tickers, load, watch)
        steps = {channel: shown.step for channel, shown in tried.items()}
        check_seen(steps)
        self._tails = {channel: Tail() for channel in steps}
        self.next_program(self._program)
        found = classify(steps)
        for ticker in self._tickers[1:]:  # the load ended shortly before a tick of the first one
            if ticker.name in found.doubtful and clearly_late(found.doubtful[ticker.name]):
                steps[ticker.name] = step_response([ticker], load)[ticker.name].step
                found = classify(steps)
        self._responses, self._doubtful = dict(found.responses), found.doubtful
        self._late_tails, self._too_late = found.late_tails, found.too_late
        self._probed = True
        if self._late_tails:
            self._cover_late_tails(load, steps)
        late = [ticker for ticker in self._tickers if self._responses[ticker.name].late]
        if late:
            wait_s = max(self._responses[ticker.name].over_s for ticker in late)
            for counted in counted_loads(late, load, wait_s):
                for channel, evidence in counted.items():
                    step_w = steps[channel].step_w(self._responses[channel])
                    self._coverage[channel].learn(evidence.last_tick(step_w))
        known = {*self._late_tails, *self._too_late, *(ticker.name for ticker in late)}
        prompt = [ticker for ticker in self._tickers if ticker.name not in known]
        for group in _of_one_period(prompt):
            self._try_short_loads(group, load)
        return tried

    def _try_short_loads(self, tickers: Sequence[Ticker], load: OwnLoad) -> None:
        """Learn how power falls from loads that end at chosen moments, by prompt counters."""
        ends: dict[str, list[KnownEnd]] = {ticker.name: [] for ticker in tickers}
        for ended in short_loads(tickers, load):
            closing = next_ticks(tickers)
            first = self._later_ticks(closing, tickers)
            second = self._later_ticks(first, tickers)
            for ticker in tickers:
                name = ticker.name
                ticks = (closing[name], first[name], second[name])
                end = self._known_end(ticker, ended, ticks)
                ends[name] += [end] if end else []
        for channel, known in ends.items():
            self._learn(channel, known)

    def _cover_late_tails(self, load: OwnLoad, steps: Mapping[str, Step]) -> None:
        """Learn whether counters that are late and see a tail cover the full time."""
        lead = next(ticker for ticker in self._tickers if ticker.name in self._late_tails)
        assert lead.period_s is not None
        whole = max(2, round(2 * SPACED_S / lead.period_s))
        for share in SHARES:
            opening = self.begin(at_once=True)
            leading = opening[lead.name]
            if isinstance(leading, SensorError):
                raise leading
            with load():
                began_s = CLOCK.perf_counter()
                pause_until(leading.tick.time_s + (whole + share) * lead.period_s)
            window = Span(began_s, CLOCK.perf_counter() - began_s)
            ended = self.end(opening, window)
            for ticker in self._tickers:
                channel, opened, joules = ticker.name, opening[ticker.name], ended[ticker.name]
                if channel not in self._late_tails or isinstance(opened, SensorError):
                    continue
                if isinstance(joules, SensorError):
                    raise joules
                assert ticker.period_s is not None
                above_j = joules.energy_j - joules.rest_w * window.duration_s
                seen = Counted(opened.tick, ticker.period_s, began_s, window.end_s, above_j)
                step_w = steps[channel].rise.step_w(self._late_tails[channel].response)
                self._coverage[channel].learn(seen.last_tick(step_w))

    def _known_end(self, ticker: Ticker, ended: Ended, ticks: Following) -> KnownEnd | None:
        """The end of a short load; ``None`` if its ticks do not show it."""
        before, earlier, last = (seen[ticker.name] for seen in ended.running)
        power = self._power_between(ticker, earlier, last)
        power_before = self._power_between(ticker, before, earlier)
        if isinstance(ticks[0], SensorError) or power is None or power_before is None:
            return None
        fall = self._fall(ticker, ticks, ended.ended_s)
        if not fall.later:
            return None
        assert isinstance(last, Tick)  # else there is no power
        end = KnownEnd(fall, last, power.value_w, power.value_w - power_before.value_w)
        return end if end.step_w * fall.spacing_s > CLEAR_J else None

    def _learn(self, channel: str, ends: Sequence[KnownEnd]) -> None:
        """Learn from short loads the tail, and whether the counter covers the full time."""
        tail = self._tails[channel]
        for end in ends:
            noise_s = combine((self._noise_j[channel], RESOLUTION_J)) / end.step_w
            tail.learn(end.fall.after_s, end.fall.excess_j / end.step_w, noise_s)
        if ends:
            curve = tail.curve()
            tail.learn_counted([end.beyond_s(curve) for end in ends], changes_s(ends))
        for end in ends:
            self._coverage[channel].learn(end.last_tick(tail.curve()))

    def details(self) -> dict[str, Scalar]:
        """What the meter's own load has shown of each counter; empty without such a load."""
        facts: dict[str, Scalar] = {}
        if not self._probed:
            return facts
        for channel, prompt in self._responses.items():
            late_tail = self._late_tails.get(channel)
            response = late_tail.response if late_tail else prompt
            facts[f"{channel}.delay_s"] = significant(max(0.0, response.delay_s), 3)
            facts[f"{channel}.lag_s"] = significant(response.lag_s, 3)
            if channel in self._doubtful:
                facts[f"{channel}.may_be_late_s"] = significant(self._doubtful[channel].mean_s, 3)
            tail = self._tails[channel]
            if late_tail:
                facts[f"{channel}.tail_s"] = significant(late_tail.fast_s, 3)
            elif tail.points:
                facts[f"{channel}.tail_s"] = significant(max(0.0, tail.curve().length_s), 3)
        return facts

    def full_time(self, channel: str) -> bool | None:
        """Whether a counter covers the full time; ``None`` before enough windows have shown it."""
        return self._coverage[channel].full_time

    def _rest(self, earlier: Ticks, later: Ticks) -> dict[str, Power]:
        """The power of each channel between two ticks; without ticks, the power as last seen."""
        powers = {channel: self._remembered(channel) for channel in self.channels}
        for ticker in self._tickers:
            first, second = earlier.get(ticker.name), later.get(ticker.name)
            power = self._rest_between(ticker, first, second)
            if power is not None:
                powers[ticker.name] = self._rest_power[ticker.name] = power
        return powers

    def _rest_between(
        self, ticker: Ticker, first: Tick | SensorError | None, second: Tick | SensorError | None
    ) -> Power | None:
        """The power between two ticks, without what is late of an earlier load."""
        power, load = self._power_between(ticker, first, second), self._last.get(ticker.name)
        if power is None or load is None:
            return power
        assert isinstance(first, Tick)  # else there is no power
        assert isinstance(second, Tick)
        response = self._responses[ticker.name]
        late_j = load.shown_j(response, first.time_s, second.time_s)
        return replace(power, value_w=power.value_w - late_j / (second.time_s - first.time_s))

    def _power_between(
        self,
        ticker: Ticker,
        first: Tick | SensorError | None,
        second: Tick | SensorError | None,
    ) -> Power | None:
        """The power between two ticks; ``None`` without both, or if the counter was reset."""
        if not isinstance(first, Tick) or not isinstance(second, Tick):
            return None
        # the ticks of a counter that is not regular are timed by the reads around them
        period_s = None if ticker.jitter_s else ticker.period_s
        power = mean_power(first, second, period_s, ticker.drift)
        return power if power.value_w >= 0 else None

    def _remembered(self, channel: str) -> Power:
        """The last power at rest; the more it differs from idle power, the less certain it is."""
        idle, last = self.idle_power_w[channel], self._rest_power.get(channel)
        if last is None:
            return Power(idle.value, combine(idle.budget.values()), recent=False)
        apart_w = uniform(2 * abs(last.value_w - idle.value))
        return Power(last.value_w, combine((last.uncertainty_w, apart_w)), recent=False)


def _opening_power(earlier: Power, power: Power) -> Power:
    """The power in the gap before a window, and by how much it has changed."""
    drift_w = abs(power.value_w - earlier.value_w) if earlier.recent else 0.0
    chance_w = 2 * combine((power.uncertainty_w, earlier.uncertainty_w))
    return replace(power, changes_w=max(0.0, drift_w - chance_w))


def _apart_j(ripples_j: Sequence[float], step_j: float) -> float:
    """Standard deviation of ripples, which are not below 0.

    The median of |x| is 0.6745 σ, whatever single windows show. Of a counter of large steps the
    ripples are 0 or 1 step or 2, so that their median is one of these.
    """
    if step_j > RESOLUTION_J:
        return combine(ripples_j) / math.sqrt(len(ripples_j))
    return statistics.median(ripples_j) / 0.6745


def _of_one_period(tickers: Sequence[Ticker]) -> list[list[Ticker]]:
    """Counters of equal cards: a load that ends shortly before a tick of one does so for all."""
    groups: dict[float, list[Ticker]] = {}
    for ticker in tickers:
        assert ticker.period_s is not None
        groups.setdefault(round(ticker.period_s, 3), []).append(ticker)
    return list(groups.values())


def _known(*ticks: Tick | SensorError | None) -> tuple[Tick, ...]:
    return tuple(tick for tick in ticks if isinstance(tick, Tick))


def _no_three_ticks(channel: str) -> SensorError:
    return SensorError(
        ReasonCode.DATA_GAP,
        f"{channel}: the energy counter did not show three ticks before the window; it shows joules"
        " late and its device has a tail, which takes three",
    )


def _unfallen_w(before_w: float, power_w: float, fall: Fall) -> float:
    """The power above that before a window which the ticks after it still show; else 0.

    Its counter may be late by more than these ticks, which only a load of the meter's own would
    tell: that power may then be missing for as long as a counter is late. A load that ran before
    the window as well is late at both ends, by the same joules.
    """
    after_w = (fall.later or fall.after).value_w
    if after_w - before_w <= max(CLEAR_J / fall.spacing_s, REST_VARIES * before_w):
        return 0.0
    return max(power_w, fall.after.value_w, after_w) - before_w


def _without_tail(joules: Joules, lost: TailJoules, late: LateJoules | None) -> Joules:
    """Joules up to the closing tick without those of the tail, which came after the window.

    Args:
        joules: With the tail.
        lost: The tail.
        late: What they are if the tail is none; ``None`` if it is known to be one.
    """
    tail_j = lost.fast_j + lost.slow_j
    unproven_j = late.beyond_j(tail_j) if late else 0.0
    # Either explanation. The joules are those of a tail: real cards have been recorded to have
    # tails, and half-way between the two no card would be measured rightly.
    settling_j = combine((lost.uncertainty_j, EITHER * unproven_j / t_quantile(math.inf)))
    used = replace(joules, energy_j=joules.energy_j - tail_j)
    return with_term(with_term(used, SETTLING, settling_j), END, lost.unknown_j)


def _went_back(opening: Tick, closing: Tick) -> SensorError:
    return SensorError(
        ReasonCode.COUNTER_RESET,
        f"the energy counter went back from {opening.energy_j:.3f} J to "
        f"{closing.energy_j:.3f} J during the window; was the driver reloaded?",
    )
