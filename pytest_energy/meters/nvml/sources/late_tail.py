"""Joules by a sensor that shows them late, of a device whose power falls slowly after a load.

What follows a load is a tail and comes late, too. A low-pass of first order keeps a joule back for
its lag on average, whatever the power does: what has been used by a moment is what has been shown
by then, and the lag times the power that is shown. So three moments after a load show the power at
rest, what is still to come, and all joules up to the load's end. The tail is taken off by what the
meter's own load has shown of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.fall import EndedLoad
from pytest_energy.meters.nvml.sources.joules import Joules
from pytest_energy.meters.nvml.sources.settling import (
    DRIFT,
    LATEST_FAST_S,
    LATEST_S,
    RISE_LIMIT,
    SHAPE,
    UNKNOWN_SCALE,
    Response,
    Step,
    clearly_late,
    doubtful_response,
    response_of,
    too_late,
)
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import END, SETTLING, ReasonCode
from pytest_energy.uncertainty.gum import combine, uniform

TIMES_S = (
    0.005,
    0.01,
    0.015,
    0.02,
    0.03,
    0.045,
    0.07,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
    30.0,
)
"""A tail is a sum of exponentials with these time constants."""
SHORTEST_LAG_S = 1e-4
"""A lag below this has passed at any moment that is read after a load."""
WAIT_S = 0.05
"""A power that falls with 20 ms has fallen to less than a tenth then."""
SPACED_S = 0.1
"""Between the three moments beside a window, at least."""
CLEARLY_FAST_S = 0.002
CLEAR_SHARE = 0.15
"""A tail has a fast part of that length, and all of it is this share of the lateness. A shorter one
may be that of a second low-pass, which shows a small part of the joules much later."""
LAG_VARIES = 0.02
"""The lag may lie anywhere in an interval as wide as this share of it."""
ROUNDS = 5
"""Each leaves of an error the share that the tail has of the joules."""

Shown = Sequence[tuple[float, float]]
"""Moments, and the joules that a sensor has shown by then."""


@dataclass(frozen=True)
class Part:
    """A part of a tail: power that falls exponentially."""

    share: float
    """Its power at the load's end, as a share of the load's step."""
    time_s: float

    @property
    def fast(self) -> bool:
        """Whether it is of the first part of a tail, whose form is nearly that of any load."""
        return self.time_s < LATEST_FAST_S

    def used_s(self, after_s: float) -> float:
        """Its joules until ``after_s`` after the load's end, in seconds of the step."""
        return -self.share * self.time_s * math.expm1(-max(after_s, 0.0) / self.time_s)

    def shown_s(self, after_s: float, lag_s: float) -> float:
        """Its joules as a low-pass shows them."""
        if after_s <= 0:
            return 0.0
        with_lag_s = self.kept_s(0.0, lag_s) * math.exp(-after_s / lag_s)
        return self.used_s(after_s) - self.kept_s(after_s, lag_s) + with_lag_s

    def kept_s(self, after_s: float, lag_s: float) -> float:
        """What of them a low-pass has not shown yet, without what ends with the lag."""
        # Of a part as slow as the lag this is 0/0; one a little slower is shown nearly alike.
        time_s = self.time_s if abs(self.time_s / lag_s - 1) > 1e-3 else 1.002 * lag_s
        return self.share * time_s * lag_s / (time_s - lag_s) * math.exp(-after_s / time_s)


@dataclass(frozen=True)
class Sum:
    """All joules up to a moment, late ones included."""

    energy_j: float
    rest_w: float
    """The power at rest around the moments that show them."""


@dataclass(frozen=True)
class LateTail:
    """How late a sensor is, and how the power of its device falls."""

    response: Response
    parts: Sequence[Part]
    misfit_s: float
    """What both do not explain of the meter's own load: a standard deviation."""

    @property
    def lag_s(self) -> float:
        """The lag, at least :data:`SHORTEST_LAG_S`."""
        return max(self.response.lag_s, SHORTEST_LAG_S)

    @property
    def fast_s(self) -> float:
        """The length of the fast part of the tail, in seconds of the step."""
        return math.fsum(part.share * part.time_s for part in self.parts if part.fast)

    @property
    def wait_s(self) -> float:
        """After this time little is left of the fast part of a tail."""
        return max(0.0, self.response.delay_s) + WAIT_S

    def until(self, at_s: float, shown: Shown, load: EndedLoad) -> Sum:
        """All joules up to ``at_s``, which is near the moments of ``shown``.

        Args:
            at_s: The moment.
            shown: Three moments, and what has been shown by then.
            load: The load before them, of whose tail the power is no power at rest.
        """
        import numpy as np

        delayed = [(time_s - self.response.delay_s, joules) for time_s, joules in shown]
        first_s, first_j = delayed[0]
        known = [
            [1.0, time_s - first_s, -math.exp((first_s - time_s) / self.lag_s)]
            for time_s, _ in delayed
        ]
        tail_j = [load.step_w * self._without_lag_s(time_s - load.ended_s) for time_s, _ in delayed]
        counted = [joules - first_j - t for (_, joules), t in zip(delayed, tail_j, strict=True)]
        (begun_j, rest_w, _), *_ = np.linalg.lstsq(np.array(known), np.array(counted), rcond=1e-9)
        used_s = math.fsum(part.used_s(at_s - load.ended_s) for part in self.parts)
        rest_j = float(rest_w) * (at_s - first_s + self.lag_s)
        return Sum(first_j + float(begun_j) + rest_j + load.step_w * used_s, float(rest_w))

    def _without_lag_s(self, after_s: float) -> float:
        """What a sensor has shown of the tail, without what ends with the lag."""
        if after_s <= 0:
            return 0.0
        return math.fsum(
            part.used_s(after_s) - part.kept_s(after_s, self.lag_s) for part in self.parts
        )


@dataclass(frozen=True)
class Lateness:
    """How late each sensor is, as loads of the meter's own have shown it."""

    responses: Mapping[str, Response]
    """How late it is, if no tail is seen as well; else not at all."""
    late_tails: Mapping[str, LateTail]
    """How late it is, and the tail, if both are seen."""
    doubtful: Mapping[str, Response]
    """How late it may be, if what is seen may also be a tail."""
    too_late: Mapping[str, SensorError]
    """Why it cannot be measured, if it is later than the load can tell."""


def classify(
    steps: Mapping[str, Step], response: Callable[[Step], Response] = response_of
) -> Lateness:
    """Which sensors are late, which see a tail as well, and which may be either.

    Args:
        steps: What each sensor has shown of a load.
        response: Says how late one is by rise and fall of the load.
    """
    refused = {name: _too_late(name) for name, step in steps.items() if too_late(step)}
    late_tails: dict[str, LateTail] = {}
    doubtful: dict[str, Response] = {}
    responses = {name: response(step) for name, step in steps.items()}
    for name, both in responses.items():
        rise = doubtful_response(steps[name], both)
        if name in refused or not rise.late:
            continue
        tail = late_tail(steps[name], rise) if clearly_late(rise) else None
        if tail:
            late_tails[name] = tail
        else:
            doubtful[name] = rise
    others = {*refused, *late_tails, *doubtful}
    plain = {name: Response() if name in others else both for name, both in responses.items()}
    return Lateness(plain, late_tails, doubtful, refused)


def _too_late(name: str) -> SensorError:
    return SensorError(
        ReasonCode.METER_FAILED,
        f"{name}: its sensor shows joules more than {LATEST_S:g} s late, which is later than the"
        " meter can tell; choose another meter with --energy-meter",
    )


def late_tail(step: Step, response: Response) -> LateTail | None:
    """How power falls if a sensor is so late; ``None`` if its ticks after a load contradict that.

    The tail is what the fall shows beyond the load: a power that only falls, as a sum of
    exponentials, by least squares (Lawson, Hanson, *Solving Least Squares Problems*, 1974, chapter
    23). Of a power that rises as slowly, but is shown at once, less comes after the load than a
    late sensor would show: no tail explains that, unless all of the power falls as slowly.

    Args:
        step: What the sensor has shown of the load.
        response: How late it is by the rise of the load alone.
    """
    import numpy as np
    from scipy.optimize import nnls

    after = [(t - step.ended_s, joules) for t, joules in step.ticks if t > step.ended_s]
    if not after or after[0][0] > response.mean_s:
        return None  # later ticks would show the same of power that rises as slowly
    step_w = step.rise.step_w(response)
    beyond_s = [
        joules / step_w - step.ended_s + response.left_of_s(step.ended_s, after_s)
        for after_s, joules in after
    ]
    each = LateTail(response, [Part(1.0, time_s) for time_s in TIMES_S], 0.0)
    known = [
        [p.shown_s(after_s - response.delay_s, each.lag_s) for p in each.parts]
        for after_s, _ in after
    ]
    # The last row, with its slack, keeps the sum of the shares at 1 at most: power falls to rest.
    known = [*([*row, 0.0] for row in known), [1.0] * (len(TIMES_S) + 1)]
    shares, _ = nnls(np.array(known), np.array([*beyond_s, 1.0]))
    off_s = np.array(known[:-1]) @ shares - beyond_s
    misfit_s = combine((float(np.sqrt(np.mean(off_s**2))), step.rise.misfit(response)))
    if float(np.abs(off_s).max()) > RISE_LIMIT * response.mean_s:
        return None
    found = [
        Part(float(s), time_s) for s, time_s in zip(shares[:-1], TIMES_S, strict=True) if s > 0
    ]
    seen = LateTail(response, found, misfit_s)
    used_s = math.fsum(part.used_s(after[-1][0]) for part in found)
    clear = seen.fast_s >= CLEARLY_FAST_S and used_s >= CLEAR_SHARE * response.mean_s
    return seen if clear else None


@dataclass(frozen=True)
class Moments:
    """Three moments at one edge of a window, and what a sensor shows by then."""

    shown: Shown
    energy_u: float
    """Standard uncertainty of the joules at each of them."""
    time_u: float
    """That of the moments, which are early or late together."""

    def raised(self) -> Iterator[Moments]:
        """The same with a joule more at one of the moments, for each of them."""
        for chosen in range(len(self.shown)):
            yield replace(
                self, shown=[(t, j + (n == chosen)) for n, (t, j) in enumerate(self.shown)]
            )


@dataclass(frozen=True)
class _Model:
    """All that the joules of a window are computed from."""

    tail: LateTail
    opening: Moments
    closing: Moments
    window: Span
    earlier: EndedLoad
    step_w: float = 0.0

    @property
    def load(self) -> EndedLoad:
        return EndedLoad(self.window.end_s, self.window.duration_s, self.step_w)

    @functools.cached_property
    def begun(self) -> Sum:
        return self.tail.until(self.window.start_s, self.opening.shown, self.earlier)

    @functools.cached_property
    def ended(self) -> Sum:
        return self.tail.until(self.window.end_s, self.closing.shown, self.load)

    @property
    def energy_j(self) -> float:
        return self.ended.energy_j - self.begun.energy_j


def late_tail_joules(
    tail: LateTail,
    opening: Moments,
    closing: Moments,
    window: Span,
    earlier: EndedLoad,
    idle_w: float,
) -> tuple[Joules, EndedLoad]:
    """The joules of a window, and its load.

    The budget has three terms: ``edges`` by what was read, ``settling`` by the form of the tail and
    by the lag, and ``end`` by the power at the load's end, from none to twice its mean.

    Args:
        tail: How late the sensor is, and the tail.
        opening: Three moments before the window.
        closing: Three moments after it, not earlier than :attr:`LateTail.wait_s` after its end.
        window: The window, not shorter than :data:`SPACED_S`.
        earlier: The load before it.
        idle_w: The idle power of the device. The power around a window may contain a slow part of
            a tail that the model does not explain.
    """
    model = _Model(tail, opening, closing, window, earlier)
    # Over less time, noise would be the power of any load.
    for _ in range(ROUNDS if window.duration_s >= SPACED_S else 0):
        mean_w = model.energy_j / window.duration_s
        model = replace(model, step_w=max(0.0, mean_w - idle_w))
    energy_j, begun, ended = model.energy_j, model.begun, model.ended

    def off_j(**changes: Any) -> float:
        """By how much the joules would differ."""
        return replace(model, **changes).energy_j - energy_j

    fast = replace(tail, parts=[part for part in tail.parts if part.fast])
    tail_j, slow_j = off_j(step_w=0.0), off_j(tail=fast)
    early_j = off_j(earlier=replace(earlier, step_w=0.0))
    lag_u = combine((tail.misfit_s, uniform(LAG_VARIES * tail.lag_s)))
    later = replace(tail, response=replace(tail.response, lag_s=tail.response.lag_s + lag_u))
    scaled = math.hypot(1.0, UNKNOWN_SCALE)  # the form differs by a share of what the tail is
    settling_j = (
        SHAPE * scaled * (tail_j - slow_j),
        DRIFT * scaled * slow_j,
        combine((UNKNOWN_SCALE, DRIFT * scaled)) * early_j,
        off_j(tail=later),
        tail.misfit_s * model.step_w,
    )
    edges_j = (
        *(opening.energy_u * off_j(opening=edge) for edge in opening.raised()),
        *(closing.energy_u * off_j(closing=edge) for edge in closing.raised()),
        opening.time_u * begun.rest_w,
        closing.time_u * ended.rest_w,
    )
    budget = {
        "edges": combine(edges_j),
        SETTLING: combine(settling_j),
        END: UNKNOWN_SCALE * abs(tail_j),
    }
    return Joules(energy_j, budget, ended.rest_w), model.load
