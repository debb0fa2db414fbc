"""What a device draws, and what its counter still shows, after a load has ended.

Two things happen after a load. The power of the device falls over a time, its *tail*: these joules
are not part of the window. And the counter may show joules late: these are part of it. Both count
in the ticks that follow a window, so each is known only by something else: a counter that is late
is late at the beginning of a load, too, and a tail is not.

Times of a tail or of late joules are given as seconds of the load's *step*, its power above that of
the device at rest: a load that rises by 300 W and leaves 3 J behind leaves 10 ms.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_energy.uncertainty.gum import bounded, combine, t_quantile, uniform, variance
from pytest_energy.uncertainty.rounds import mean_of

KNOTS_S = (0.002, 0.004, 0.007, 0.01, 0.014, 0.02, 0.03, 0.045, 0.065, 0.1, 0.15, 0.25)
"""A tail is a staircase of power that steps down at some of these times."""
MOST_POINTS = 200
"""Later points replace the first ones, since the tail may depend on the load."""
MOST_LOADS = 30
"""By so many loads of a program the scale of its tail is known as well as the tail is."""
MOST_PROGRAMS = 16
"""Of so many programs in turn the loads are remembered."""
CLEAR_NOISE = 3.0
"""A tail is seen if more is left than this multiple of the noise."""
ENOUGH_POINTS = 6
"""So many loads show the noise themselves."""
FINEST_LEFT_S = 1e-6
"""What the millijoules of a counter show of a load of 300 W is no finer."""
NEAREST_KNOT = 1.5
"""A knot is this much later than the first point, at least: a step that begins to show nowhere but
there may have any height, and noise of 0.2 ms would make it a tail of 150 ms."""
UNKNOWN_SCALE = bounded(2.0)
"""Standard uncertainty of the scale of a program's tail before one of its windows has shown it: a
load ends at any power, from none to twice its mean (GUM 4.3.7)."""
UNREAD_SCALE = UNKNOWN_SCALE
"""Standard uncertainty of the scale of a window whose own tail was not read: it may end at another
moment of its program than the earlier ones."""
DIFFERENT = 2.0
"""Scales further apart than this many standard uncertainties belong to different programs."""
SAME_JOULES = 0.02
"""Relative difference of the joules of two loads at which one says nothing of the other.

Of the joules, not of the power: a program that ran for another time may have ended elsewhere in its
cycle."""
ANOTHER = 3.0
"""A window whose joules differ by more than this multiple of that ends all windows of a program:
later windows of equal joules may be those of another one by chance."""
SHAPE = 0.08
"""The shape of the tail may change by this share in the time in which it falls to 1/e."""
SHORTEST_LATE_S = 0.001
"""Ticks are timed to some tenths of a millisecond: joules that come less late are not seen to."""
CLEARLY_LATE_S = 0.01
"""Power takes some milliseconds to rise, and as many to fall: a sensor is taken for late only if it
is later than this."""
LEAST_SHOWN = 0.25
"""The share of a load that its ticks show at least."""
LATEST_S = 0.32
"""The meter's own load is too short to tell how late a sensor is that is later than this."""
LATEST_FAST_S = 0.1
"""A power that falls with 30 ms has fallen by 96 % then."""
DRIFT = 0.5
"""Relative standard uncertainty of the slow part of a load's tail."""
FIT_LIMIT = 0.1
"""A counter is late only if one delay and one lag explain rise and fall to this share of them."""
RISE_LIMIT = 0.03
"""A rise is that of a late counter if one delay and one lag explain it to this share of them. Power
that an RTX 3090 takes 50 ms to reach differs by more (as an external meter recorded it)."""
SHORTEST_IF_DOUBTFUL = 10.0
"""A window is at least so many times as long as a sensor may be late, if that may be a tail."""
TIMED_S = 3e-4
"""So exactly the ticks of a load are timed: a rise that differs by less from that of a late counter
may be one."""
CLEAR_STEP_J = 1.0
"""A load of the meter's own that shows less has not run."""
EARLY_S = 1e-3
"""Loads and ticks are timed to some tenths of a millisecond only. So much a delay may seem to be
below 0; taken off the lag instead, it would make that fall too fast."""
DIVISIONS = 20
"""So many divisions of a counter's lateness into delay and lag are tried."""
AS_GOOD = 2.0
"""Divisions whose misfit is at most this multiple of the smallest explain the ticks as well."""
LATE_LAGS = 5.0
"""After so many time constants of its lag, a sensor has shown 99 % of what is late."""
LATE_SHARE = 0.1
"""The meter waits until no more than this share of what is late is still to come."""
LITTLE_LEFT = 1e-4
"""Less than this share of what is late does not matter: of 100 ms, 10 µs of the load's power, which
is a part in a million of the shortest window that is not read until then."""
LATE_UNCERTAINTY = 0.05
"""What is still to come may differ by this share before it is taken for work of the program: the
bound of an even distribution."""
SHORT_WAIT_S = 0.1
"""So long a wait costs 1 % of a window of 10 s."""
LONGEST_WAIT_S = 0.25
"""The meter waits no longer; then the model says what is still to come."""


@dataclass(frozen=True)
class Response:
    """How late a counter shows joules: a delay, then a first-order low-pass."""

    delay_s: float = 0.0
    lag_s: float = 0.0
    uncertainty_s: float = 0.0
    """Standard uncertainty of what is still to come when a window is read."""

    @property
    def late(self) -> bool:
        """Whether the counter is late at all."""
        return self.mean_s > 0

    @property
    def mean_s(self) -> float:
        """By how much a joule is late on average."""
        return self.delay_s + self.lag_s

    @property
    def wait_s(self) -> float:
        """For how long to wait after a window."""
        if not self.late:
            return 0.0
        most_s = LATE_SHARE * self.mean_s
        wait_s = self.delay_s + (self.lag_s * math.log(self.lag_s / most_s) if self.lag_s else 0.0)
        # Ticks 100 ms apart may mistake a delay for a lag in part: wait for either of them.
        either_s = max(2 * self.mean_s, min(5 * self.mean_s, SHORT_WAIT_S))
        return min(max(wait_s, either_s), LONGEST_WAIT_S)

    @property
    def over_s(self) -> float:
        """After this time 99 % of what is late has been shown."""
        return self.delay_s + LATE_LAGS * self.lag_s

    @property
    def settled_s(self) -> float:
        """After this time so little is still to come that it does not matter how a load ended."""
        little_s = LITTLE_LEFT * self.mean_s
        lags = math.log(self.lag_s / little_s) if self.lag_s > little_s else 0.0
        return self.delay_s + self.lag_s * lags

    def left_s(self, after_s: float) -> float:
        """What of a long load is still to come after its end, in seconds of its step."""
        if after_s <= self.delay_s:
            return self.mean_s - max(after_s, 0.0)
        if self.lag_s == 0:
            return 0.0
        return self.lag_s * math.exp((self.delay_s - after_s) / self.lag_s)

    def unsure_s(self, after_s: float) -> float:
        """Standard uncertainty of what is still to come, which becomes less as this does.

        Before the wait is over it is more, but not beyond all that is still to come: of a delay
        with hardly a lag, what is left changes by many powers of ten in a millisecond.
        """
        at_wait_s, left_s = self.left_s(self.wait_s), self.left_s(after_s)
        if not at_wait_s:
            return 0.0
        return min(self.uncertainty_s * left_s / at_wait_s, self.uncertainty_s + left_s)

    def left_of_s(self, length_s: float, after_s: float) -> float:
        """What of a load of ``length_s`` is still to come ``after_s`` after its end.

        This is less than the load itself, however late the counter is.
        """
        return self.left_s(after_s) - self.left_s(after_s + length_s)

    def shown_s(self, after_s: float) -> float:
        """What of a load that began ``after_s`` ago has been shown, in seconds of its step."""
        return max(after_s, 0.0) - self.mean_s + self.left_s(after_s)


@dataclass(frozen=True)
class Step:
    """A known load, and the joules above rest that a counter showed at its ticks since."""

    ended_s: float
    """All times are seconds after the load began."""
    ticks: Sequence[tuple[float, float]]
    """Moments of the ticks, and joules above those of the device at rest."""

    def step_w(self, response: Response) -> float:
        """The load's power above rest, by least squares."""
        return self._step_w(self._shown(response))

    @functools.cached_property
    def fitted(self) -> Response:
        """The delay and lag that explain the ticks best."""
        return _fitted(self)

    @functools.cached_property
    def rise(self) -> Step:
        """What was shown while the load ran."""
        return Step(self.ended_s, [tick for tick in self.ticks if tick[0] <= self.ended_s])

    @property
    def seen(self) -> bool:
        """Whether the counter shows the load clearly."""
        return max((joules for _, joules in self.ticks), default=0.0) > CLEAR_STEP_J

    def _shown(self, response: Response) -> list[float]:
        return [response.shown_s(t) - response.shown_s(t - self.ended_s) for t, _ in self.ticks]

    def misfit(self, response: Response) -> float:
        """By how much ``response`` fails to explain the ticks, in seconds of the step.

        Infinite if it leaves most of the load to come after the last tick: the load that
        it would have been is as large as one likes then, and fits any ticks.
        """
        shown = self._shown(response)
        if not shown or shown[-1] < LEAST_SHOWN * self.ended_s:
            return math.inf
        return math.sqrt(statistics.fmean(off_s**2 for off_s in self._off_s(shown)))

    def misfit_later(self, response: Response) -> float:
        """The same of the ticks that come so late as those of windows; at all ticks if none do.

        What all of these ticks are off by is the load's length or the power at rest, and comes no
        later: it is no part of what is still to come.
        """
        late_s = self._off_later_s(response)
        if len(late_s) > 1:
            return math.sqrt(variance(late_s))
        off_s = late_s or self._off_s(self._shown(response))
        return math.sqrt(statistics.fmean(off**2 for off in off_s))

    def still_to_come_s(self, response: Response) -> float:
        """The range of what ``response`` fails to explain at these ticks; 0 if there are none.

        The tick before counts as well: the first of them may come a tick after a window's.
        """
        off_s = self._off_s(self._shown(response)) if response.late else []
        late = len(self._off_later_s(response)) if off_s else 0
        late_s = off_s[-late - 1 :] if late else []
        return max(late_s) - min(late_s) if late_s else 0.0

    def worst_s(self, response: Response) -> float:
        """The most that ``response`` fails to explain at a tick, in seconds of the step."""
        return max(abs(off_s) for off_s in self._off_s(self._shown(response)))

    def _step_w(self, shown: Sequence[float]) -> float:
        joint = math.fsum(s * j for s, (_, j) in zip(shown, self.ticks, strict=True))
        return joint / math.fsum(s * s for s in shown)

    def _off_later_s(self, response: Response) -> list[float]:
        """What ``response`` fails to explain at each tick as late as those of windows."""
        later_s = self.ended_s + response.wait_s
        off_s = self._off_s(self._shown(response))
        return [off for off, (t, _) in zip(off_s, self.ticks, strict=True) if t >= later_s]

    def _off_s(self, shown: Sequence[float]) -> list[float]:
        step_w = self._step_w(shown)
        return [
            joules / step_w - shown_s
            for shown_s, (_, joules) in zip(shown, self.ticks, strict=True)
        ]


def response_of(step: Step) -> Response:
    """How late a counter is; not at all unless both the rise and the fall of a load show it.

    Power may rise slowly, as clocks rise, and it may fall slowly. A counter that is late shows both
    late, by the same time and in the same form.
    """
    found = step.fitted
    if not clearly_late(found) or step.worst_s(found) > FIT_LIMIT * found.mean_s:
        return Response()
    return _split(step, found)


def doubtful_response(step: Step, both: Response) -> Response:
    """How late a counter may be, if rise and fall of a load contradict each other; else not at all.

    The power may have a tail as well, so that the fall has another form. Or the power rises in just
    the form in which a late counter would show it: the rise does not tell which. Or it rises in
    another form, and falls as slowly.

    Args:
        step: What the counter has shown of the load.
        both: How late it is by rise and fall.
    """
    rise = rises_late(step)
    agree = abs(both.mean_s - rise.mean_s) <= RISE_LIMIT * rise.mean_s
    return Response() if agree else rise if rise.late else both


def clearly_late(response: Response) -> bool:
    """Whether a sensor that may be so late is later than power takes to rise."""
    return response.mean_s >= CLEARLY_LATE_S


def shortest_if_doubtful_s(doubtful: Collection[Response]) -> float:
    """The shortest window of sensors that may be late, or see a tail; 0 without any."""
    return SHORTEST_IF_DOUBTFUL * max((response.mean_s for response in doubtful), default=0.0)


def too_late(step: Step) -> bool:
    """Whether a sensor is later than the load can tell: so much of it came after its end."""
    rise = step.rise
    if not rise.seen:
        return False
    found = rise.fitted
    after_s = (step.ticks[-1][1] - rise.ticks[-1][1]) / rise.step_w(found)
    return found.mean_s > LATEST_S and after_s > LATEST_S / 2


def rises_late(step: Step) -> Response:
    """How late a counter is by the rise of a load alone, if its joules came after the load."""
    rise = step.rise
    if not rise.seen:
        return Response()
    found = rise.fitted
    exact = rise.misfit(found) <= max(RISE_LIMIT * found.mean_s, TIMED_S)
    came_s = step.ticks[-1][1] / rise.step_w(found)
    came = came_s >= step.ended_s - FIT_LIMIT * found.mean_s
    return found if found.mean_s >= SHORTEST_LATE_S and exact and came else Response()


def _fitted(step: Step) -> Response:
    """The delay and lag that explain the ticks best."""
    import numpy as np
    from scipy.optimize import minimize

    def response(times: Any) -> Response:
        return Response(abs(float(times[0])) - EARLY_S, abs(float(times[1])))

    def misfit(times: Any) -> float:
        return step.misfit(response(times))

    starts = [(0.0, 0.05), (0.05, 0.0), (0.0, 0.2), (0.15, 0.0), (0.05, 0.05)]
    fits = [
        minimize(
            misfit, np.add(start, (EARLY_S, 0.0)), method="Nelder-Mead", options={"xatol": 1e-5}
        )
        for start in starts
    ]
    return response(min(fits, key=lambda fit: float(fit.fun)).x)


def _split(step: Step, fitted: Response) -> Response:
    """The response, uncertain by all divisions into delay and lag that explain the ticks as well.

    All ticks show the mean; only those shortly after the load's ends show the division. A window is
    read later than that: what matters there is how well the response explains the later ticks.
    """
    shares = [number / DIVISIONS for number in range(DIVISIONS + 1)]
    mean_s = fitted.mean_s
    others = [fitted, *(Response(s * mean_s, (1 - s) * mean_s) for s in shares)]
    misfits = {response: step.misfit(response) for response in others}
    best = min(misfits, key=misfits.__getitem__)
    off_s = misfits[best]
    left_s = [r.left_s(best.wait_s) for r, misfit in misfits.items() if misfit <= AS_GOOD * off_s]
    unsure_s = uniform(max(left_s) - min(left_s))
    return replace(best, uncertainty_s=combine((step.misfit_later(best), unsure_s)))


@dataclass(frozen=True)
class TailCurve:
    """What is still to come of a tail, by the time since the load ended."""

    drops: Sequence[tuple[float, float]]
    """When the power steps down, and by which share of the load's step."""
    scatter_s: float
    """Standard uncertainty of the length by the scatter of the loads about the curve."""
    unseen_s: float
    """Standard uncertainty of what the earliest tick hides."""
    noise_s: float = 0.0
    """Standard deviation of what single loads left from the curve."""
    drift_s: float = 0.0
    """What a tick counts above the next one long after the load: the slow part of the tail."""

    first_s: float = 0.0
    """The time of the earliest tick that shows the curve; before it, the fit goes on."""

    @property
    def uncertainty_s(self) -> float:
        """Standard uncertainty of the length."""
        return combine((self.scatter_s, self.unseen_s))

    @property
    def length_s(self) -> float:
        """The fast part of the tail, in seconds of the step."""
        return self.left_s(0.0)

    def with_counted(self, beyond_s: Sequence[float], changes_s: float) -> TailCurve:
        """The curve with another length, if loads of known power show that more exactly.

        A tick counts a load up to its end, and its tail. Of a load whose power is known the tail is
        the rest, also if it is over long before the tick. So what the first tick hides is measured,
        not bounded. The length is that of these loads then: where it replaces a fit of noise, what
        the fit was off by shows in them, and its scatter does not count.

        Args:
            beyond_s: What each load's tick counted beyond the curve, in seconds of the step.
            changes_s: Standard uncertainty common to all loads, of their power at the end.
        """
        if len(beyond_s) < ENOUGH_POINTS:
            return self
        mean = mean_of(beyond_s, "s")
        assert mean.uncertainty is not None  # there is more than one
        unseen_s = combine((mean.uncertainty / t_quantile(math.inf), changes_s))
        if unseen_s >= self.uncertainty_s:
            return self
        # It may be below 0 by chance. Without these, the mean of many sessions would be too long.
        drops = [(self.first_s, mean.value / self.first_s), *self.drops]
        return replace(self, drops=drops, scatter_s=0.0, unseen_s=unseen_s)

    def left_s(self, after_s: float) -> float:
        """What of the fast part is still to come ``after_s`` after the load's end."""
        return math.fsum(share * max(0.0, knot_s - after_s) for knot_s, share in self.drops)

    def slow_s(self, after_s: float) -> float:
        """What is still to come then of drops so late that the slow part may have made them."""
        late = [drop for drop in self.drops if drop[0] > LATEST_FAST_S]
        late_s = [share * max(0.0, knot_s - after_s) for knot_s, share in late]
        return self.drift_s + math.fsum(late_s)


@dataclass(frozen=True)
class Scale:
    """The ratio of one load's tail to the known curve, with its standard uncertainty."""

    value: float = 1.0
    seen: float = 0.0
    """Standard uncertainty of what windows have shown of it."""
    unknown: float = 0.0
    """That by what they have not shown: at which power the load ended."""
    shape: float = 0.0
    """The part of ``seen`` by the form of the program's tail, which all its windows share."""

    @property
    def uncertainty(self) -> float:
        """The combined standard uncertainty."""
        return combine((self.seen, self.unknown))


NOT_SEEN = Scale(unknown=UNKNOWN_SCALE)
"""The scale of a program of which no window has shown how it ends."""
ANY_SCALE = Scale(unknown=uniform(2.0))
"""What is known of a scale beside what a window has shown: its standard uncertainty counts then,
since the interval is that of a sum (GUM G.2.1), not of a uniform distribution."""


@dataclass(frozen=True, eq=False)
class ProgramEnd:
    """How one load of a program ended, and where to find the other loads of that program."""

    energy_j: float
    """The joules of the load."""
    own: Scale | None
    """What the load alone showed of the scale of its tail."""
    read: bool
    """Whether its tail was read."""
    program: list[ProgramEnd]
    """The program's last loads, in their order."""

    def scale(self) -> Scale:
        """The scale of this load's tail, by itself and by the program's other loads so far."""
        shown = [ANY_SCALE, self.own] if self.own else [ANY_SCALE]
        mean = weighted_mean(shown)
        at = self.program.index(self) if self in self.program else -1
        for others in (self.program[at + 1 :], reversed(self.program[: max(at, 0)])):
            for other in others:
                if other.own is None:
                    continue
                seen = _widened(other.own, other.energy_j / self.energy_j - 1)
                apart = abs(seen.value - mean.value)
                if apart > DIFFERENT * combine((seen.uncertainty, mean.uncertainty)):
                    break  # another program, and all beyond it as well
                shown.append(seen)
                mean = weighted_mean(shown)
        known = mean if len(shown) > 1 else NOT_SEEN
        if self.read:
            return known
        return replace(known, unknown=combine((known.unknown, UNREAD_SCALE)))


@dataclass
class Tail:
    """What loads that ended at several moments of a tick have shown of a device's tail.

    Each load shows what was still to come when its closing tick came, a time after its end. The
    loads together show the whole curve. Its value at the time 0 is the length of the tail. The
    curve is that of a power that only falls: a sum of hinges (max(0, k - t) with weights ≥ 0 that
    add up to 1 at most), fitted by least squares (Lawson, Hanson, *Solving Least Squares Problems*,
    1974, chapter 23).

    A tail begins with the power at the end of its load, which may differ from the load's mean. So
    each load scales the curve. A window that ends shortly before a tick shows its scale. Windows of
    equal joules are taken for the same program, which ends alike each time, unless it is known that
    they are of several.
    """

    points: list[tuple[float, float]] = field(default_factory=list)
    """Seconds from a load's end to the tick, and what was still to come, in seconds of the step."""
    _programs: dict[str, list[ProgramEnd]] = field(default_factory=lambda: {"": []})
    """The last loads of each program by its name."""
    _name: str = ""
    _known: TailCurve | None = None
    _noise_s: float = 0.0

    def learn(self, after_s: float, left_s: float, noise_s: float = 0.0) -> None:
        """Take into account what one more load left, and the standard uncertainty of that."""
        self.points.append((after_s, left_s))
        self._noise_s = noise_s
        del self.points[:-MOST_POINTS]
        self._known = None

    def curve(self) -> TailCurve:
        """The tail by all loads so far, of which there is one at least."""
        if self._known is None:
            self._known = _fit(self.points, self._noise_s)
        return self._known

    def learn_counted(self, beyond_s: Sequence[float], changes_s: float) -> None:
        """Take into account what known loads counted beyond the curve, which is final then.

        See :meth:`TailCurve.with_counted`.
        """
        self._known = self.curve().with_counted(beyond_s, changes_s)

    def ended(
        self, energy_j: float, after_s: float, left_s: float | None, noise_s: float
    ) -> ProgramEnd:
        """Take into account how one more load ended.

        Args:
            energy_j: The load's joules.
            after_s: From its end to the closing tick.
            left_s: What was still to come then, in seconds of the step, if that was read.
            noise_s: Standard uncertainty of ``left_s``.
        """
        program = self._programs[self._name]
        if program and abs(program[-1].energy_j / energy_j - 1) > ANOTHER * SAME_JOULES:
            program = self._programs[self._name] = []  # the loads so far keep theirs
        own = None if left_s is None else self._own_scale(after_s, left_s, noise_s)
        end = ProgramEnd(energy_j, own, left_s is not None, program)
        program.append(end)
        del program[:-MOST_LOADS]
        return end

    def next_program(self, name: str) -> None:
        """Take the next loads for those of a program; other programs show nothing of it."""
        self._programs[name] = self._programs.pop(name, [])
        self._name = name
        if len(self._programs) > MOST_PROGRAMS:
            del self._programs[next(iter(self._programs))]

    def _own_scale(self, after_s: float, left_s: float, noise_s: float) -> Scale | None:
        curve = self.curve()
        noise_s = combine((noise_s, curve.noise_s))
        slow_s = curve.slow_s(after_s)
        expected_s = curve.left_s(after_s) + curve.drift_s
        fast_s = expected_s - slow_s
        if fast_s < 1e-3 * curve.length_s or fast_s < noise_s or curve.length_s <= 0:
            return None
        value = left_s / expected_s
        # What is seen late in a tail says less of its beginning. If exp(-x) is left of an
        # exponential fall, a time constant longer by a share d leaves more by (1 + x) d, and the
        # part before that is more by (1 - x / (exp(x) - 1)) d.
        late = max(math.log(curve.length_s / fast_s), SHAPE)
        left_more = (1 + late) * fast_s / expected_s
        before_more = 1 - late / math.expm1(late)
        shape = SHAPE * max(left_more - before_more, 1.0) * max(value, SHAPE)
        # The slow part depends on more than the load's end. Late in a tail there is little else.
        alike = combine((shape, DRIFT * slow_s / expected_s))
        return Scale(value, combine((noise_s / expected_s, alike)), shape=alike)


def _widened(seen: Scale, apart: float) -> Scale:
    """What another window showed; the more its joules differ, the less it says of this one."""
    return replace(seen, seen=combine((seen.seen, apart / SAME_JOULES)))


def alike(energy_j: float, other_j: float) -> bool:
    """Whether loads of so many joules are taken for runs of one program."""
    return abs(energy_j - other_j) <= SAME_JOULES * abs(other_j)


def weighted_mean(shown: Sequence[Scale]) -> Scale:
    """The mean weighted by uncertainties, which grow if windows contradict each other.

    :data:`ANY_SCALE` contradicts nothing: it is what may be the case, and no observation. What the
    windows share does not become less with their number (GUM 5.2.2).

    Source: R. T. Birge, "The calculation of errors by the method of least squares", Phys. Rev. 40,
    207 (1932).
    """
    weights = [each.uncertainty**-2 for each in shown]
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    mean = math.fsum(share * s.value for share, s in zip(shares, shown, strict=True))
    seen = [(w, s.value) for w, s in zip(weights, shown, strict=True) if not s.unknown]
    shape = math.fsum(share * s.shape for share, s in zip(shares, shown, strict=True))
    own = combine(
        share * math.sqrt(s.seen**2 - s.shape**2) for share, s in zip(shares, shown, strict=True)
    )
    unknown = combine(share * s.unknown for share, s in zip(shares, shown, strict=True))
    wider = math.sqrt(_birge_ratio(seen))
    return Scale(max(mean, 0.0), wider * combine((own, shape)), wider * unknown, shape)


def _birge_ratio(seen: Sequence[tuple[float, float]]) -> float:
    """By how much weighted values vary more than they should, as a variance; 1 at least."""
    if len(seen) < 2:
        return 1.0
    mean = math.fsum(w * value for w, value in seen) / math.fsum(w for w, _ in seen)
    spread = math.fsum(w * (value - mean) ** 2 for w, value in seen)
    return max(1.0, spread / (len(seen) - 1))


def _hidden_s(first_s: float, least_s: float) -> float:
    """Standard uncertainty of a tail that is over when it is first seen.

    A share a of the power that falls with time constant τ leaves a·τ·exp(-g/τ) after a time g. This
    is less than what is seen, ``least_s``, up to τ = g/W(g/least), with Lambert's function W. If τ
    lies evenly between 0 and that, and a between 0 and 1, 95 % of a·τ are below 0.70 of it.
    """
    from scipy.special import lambertw

    longest_s = first_s / float(lambertw(first_s / max(least_s, FINEST_LEFT_S)).real)
    return 0.70 * longest_s / t_quantile(math.inf)


def _fit(points: Sequence[tuple[float, float]], least_noise_s: float = 0.0) -> TailCurve:
    import numpy as np
    from scipy.optimize import nnls

    after_s, left_s = (np.array(column) for column in zip(*points, strict=True))
    nearest_s = NEAREST_KNOT * float(after_s.min())
    knots_s = np.array([k for k in KNOTS_S if k >= nearest_s] or [nearest_s])
    hinges = np.maximum(0.0, knots_s[None, :] - after_s[:, None])
    drift, slack = np.full(len(points), 1e-2), np.zeros(len(points))
    # The slack's row keeps the sum of the drops at 1 at most: power falls no lower than to rest.
    total = np.r_[np.ones(len(knots_s)), 0.0, 1.0]
    known = np.vstack([np.column_stack([hinges, drift, slack]), total])
    weights, _ = nnls(known, np.r_[left_s, 1.0])
    drops, drift_s = weights[:-2], 1e-2 * float(weights[-2])
    off_s = left_s - hinges @ drops - drift_s
    noise_s = float(np.sqrt(np.mean(off_s**2)))
    slope = min(float(drops.sum()), 1.0)
    first_s = float(after_s.min())
    few = len(points) < ENOUGH_POINTS  # they fit any curve, and show no noise
    least_s = CLEAR_NOISE * (max(noise_s, least_noise_s) if few else noise_s)
    seen = float(drops @ np.maximum(0.0, knots_s - first_s)) > max(0.01 * first_s, least_s)
    # All points together show less than one of them; the slow part hides as much as it leaves.
    slow_s = drift_s + float(drops @ np.where(knots_s > LATEST_FAST_S, knots_s - first_s, 0.0))
    hidden_s = _hidden_s(first_s, max(least_s / math.sqrt(len(points)), slow_s))
    unseen_s = (1 - slope) * (first_s * uniform(1.0) if seen else hidden_s)
    # The length is the fit's value at 0: its variance by the drops that are not 0.
    active = hinges[:, drops > 0]
    spread = knots_s[drops > 0] @ np.linalg.pinv(active.T @ active) @ knots_s[drops > 0]
    scatter_s = noise_s * math.sqrt(max(1 / max(1, len(points) - 2), float(spread)))
    steps = [(float(k), float(drop)) for k, drop in zip(knots_s, drops, strict=True) if drop > 0]
    return TailCurve(steps, scatter_s, unseen_s, noise_s, drift_s, first_s)
