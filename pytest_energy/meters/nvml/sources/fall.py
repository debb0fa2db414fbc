"""How a load ended, by the ticks that followed it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_energy.meters.nvml.sources.coverage import LastTick, between
from pytest_energy.meters.nvml.sources.joules import RESOLUTION_J, Joules, Power, with_term
from pytest_energy.meters.nvml.sources.settling import (
    CLEAR_NOISE,
    Response,
    Scale,
    TailCurve,
    alike,
    clearly_late,
)
from pytest_energy.meters.nvml.sources.ticks import Tick
from pytest_energy.model.measurement import SETTLING
from pytest_energy.uncertainty.gum import combine, uniform
from pytest_energy.uncertainty.rounds import mean_of

LONGEST_LATE_S = 0.3
"""The largest lag of a counter that was not tried with a load of the meter's own."""


@dataclass(frozen=True)
class Unproven:
    """The most that may come late of a load, by the largest lag."""

    closed_s: float
    """The tick that closed its window."""
    late_j: float
    """What was still to come then."""

    @staticmethod
    def kept(time_s: float) -> float:
        """The share of what is still to come that a time leaves."""
        return math.exp(-time_s / LONGEST_LATE_S)

    def left_j(self, at_s: float) -> float:
        """What is still to come at a later moment."""
        return self.late_j * self.kept(at_s - self.closed_s)

    def above_w(self, from_s: float, to_s: float) -> float:
        """The mean power between two moments that is shown late."""
        return (self.left_j(from_s) - self.left_j(to_s)) / (to_s - from_s)


@dataclass(frozen=True)
class Fall:
    """How a load ended, by the ticks that followed it."""

    closing: Tick
    ended_s: float
    """When the load ended, by ``time.perf_counter``."""
    period_s: float
    spacing_s: float
    """Between the ticks from which the powers are taken."""
    after: Power
    """The power that follows the closing tick."""
    later: Power | None
    """The power that follows that one; the difference shows the tail."""
    before: Power | None = None
    """The power before the closing tick, if one between that and the load's end was read."""

    @property
    def three_s(self) -> tuple[float, float, float]:
        """The three ticks whose powers show how the load ended."""
        first_s = self.closing.time_s - (self.spacing_s if self.before else 0.0)
        return first_s, first_s + self.spacing_s, first_s + 2 * self.spacing_s

    @property
    def shown_j(self) -> float | None:
        """By how much the first of their powers exceeds the second; ``None`` if one is unknown.

        In joules of the time between two of the ticks.
        """
        if self.before is not None:
            return (self.before.value_w - self.after.value_w) * self.spacing_s
        return self.excess_j if self.later else None

    @property
    def after_s(self) -> float:
        """From the load's end to the closing tick."""
        return self.closing.time_s - self.ended_s

    @property
    def unproven(self) -> Unproven:
        """The most that may still come late, if the counter was not tried with a known load."""
        if self.later is None:
            return Unproven(self.closing.time_s, 0.0)
        kept = Unproven.kept(self.spacing_s)
        return Unproven(self.closing.time_s, max(0.0, self.excess_j) / (1 - kept) ** 2)

    def tail(self, curve: TailCurve, scale: Scale, step_w: float) -> TailJoules:
        """The joules of the tail before the closing tick, above those at the last power read.

        Args:
            curve: The tail of a load that ends as it runs.
            scale: The power at this load's end, as a share of its mean.
            step_w: Its mean power above rest.
        """
        before_s = curve.length_s - curve.left_s(self.after_s)
        # The square of an estimate exceeds that of the true length by the estimate's variance.
        true_s = math.sqrt(max(0.0, before_s**2 - curve.uncertainty_s**2))
        # A length below 0 is chance, not a tail that the end of a load scales; or it is a doubt.
        if -CLEAR_NOISE * curve.uncertainty_s < before_s < 0:
            true_s = 0.0
        unsure_s = (scale.seen * true_s, scale.value * curve.uncertainty_s)
        end_w = scale.value * step_w
        # The slow part falls evenly from the load's end to the middle of the next stretch.
        slope_w = curve.drift_s * end_w / self.spacing_s**2
        slow_w = slope_w * (self.spacing_s + self.after_s) / 2
        slow_w -= curve.left_s(self.after_s) * end_w / self.spacing_s
        return TailJoules(
            fast_j=before_s * end_w,
            slow_j=slow_w * self.after_s,
            left_j=(curve.left_s(self.after_s) + curve.drift_s) * end_w,
            uncertainty_j=combine(
                (*(s * step_w for s in unsure_s), uniform(slow_w) * self.after_s)
            ),
            unknown_j=scale.unknown * true_s * step_w,
        )

    @property
    def excess_j(self) -> float:
        """The joules of the first power above those of the second one."""
        assert self.later is not None
        return (self.after.value_w - self.later.value_w) * self.spacing_s


@dataclass(frozen=True)
class LateJoules:
    """What a window used beyond its joules if its counter is late, not counting a tail."""

    lag_j: float
    """If what looks like a tail is a lag."""
    delay_j: float
    """If it is a delay."""

    def beyond_j(self, tail_j: float) -> float:
        """The most of it: nothing is to be taken off as a tail then, either."""
        return max(abs(tail_j + self.lag_j), tail_j + self.delay_j)


def with_late(used: Joules, response: Response, end_w: float) -> Joules:
    """Joules without a tail, with those that a sensor may show late.

    All that came after the load was taken off as its tail. By the form of the rise so much of it
    were joules of the load that came late. Power that rises in that form would show the same: the
    interval contains both. Power takes some milliseconds to rise: if it is no more than that, the
    joules are those without.

    Args:
        used: The joules without the tail.
        response: How late the sensor may be.
        end_w: The power at the load's end, above rest.
    """
    late_j = response.mean_s * end_w
    settling_j = combine((used.budget[SETTLING], uniform(2 * late_j)))
    likely_j = late_j if clearly_late(response) else 0.0
    return with_term(replace(used, energy_j=used.energy_j + likely_j), SETTLING, settling_j)


@dataclass(frozen=True)
class TailJoules:
    """The joules of a tail between a load's end and the closing tick."""

    fast_j: float
    slow_j: float
    """Those of the slow part above the power after the closing tick."""
    left_j: float
    """Those after the closing tick: what it shows above the next one."""
    uncertainty_j: float
    """Standard uncertainty of what loads have shown of it."""
    unknown_j: float
    """That by not knowing at which power the load ended."""


@dataclass(frozen=True)
class KnownEnd:
    """The end of a load whose power is known."""

    fall: Fall
    last: Tick
    """The last tick while it ran."""
    power_w: float
    """Its power between that tick and the one before."""
    change_w: float
    """By how much that was more than the power of the tick before."""

    @property
    def rest_w(self) -> float:
        """The power after it, as last read."""
        return (self.fall.later or self.fall.after).value_w

    @property
    def step_w(self) -> float:
        """Its power above rest."""
        return self.power_w - self.rest_w

    def last_tick(self, curve: TailCurve) -> LastTick | None:
        """The evidence of its last tick on whether the counter covers the full time."""
        fall, tail = self.fall, self.fall.tail(curve, Scale(), self.step_w)
        return between(
            self.last,
            fall.closing,
            fall.period_s,
            fall.ended_s,
            self.power_w,
            self.rest_w,
            tail.fast_j,
        )

    def beyond_s(self, curve: TailCurve) -> float:
        """What the closing tick counted beyond load, rest and tail, in seconds of the step."""
        fall, tail = self.fall, self.fall.tail(curve, Scale(), self.step_w)
        counted_j = fall.closing.energy_j - self.last.energy_j
        load_j = self.power_w * (fall.ended_s - self.last.time_s)
        # the slow part is what is above the power after the closing tick, not the last one read
        gap_j = fall.after.value_w * fall.after_s
        return (counted_j - load_j - gap_j - tail.fast_j - tail.slow_j) / self.step_w


def changes_s(ends: Sequence[KnownEnd]) -> float:
    """Standard uncertainty of what loads count in their last tick, if their power still changes.

    In seconds of the step. Changes that may be chance do not count.
    """
    change = mean_of([end.change_w * end.fall.period_s / end.step_w for end in ends], "s")
    return uniform(2 * max(0.0, abs(change.value) - (change.uncertainty or 0.0)))


@dataclass(frozen=True)
class EndedLoad:
    """A load that has ended, for what of it and of earlier ones is still to come."""

    ended_s: float
    length_s: float
    step_w: float
    """Its power at the end, above rest."""
    unsure_w: float = 0.0
    """Standard uncertainty of that."""
    earlier: EndedLoad | None = None
    unread_j: float | None = None
    """The joules of its window, if no tick has shown how it ended."""
    program: str = ""
    """The program that it was of, if that is known."""

    def may_end_as(self, energy_j: float, program: str) -> bool:
        """Whether it ended as a load of so many joules, so that both are unsure by the same share.

        Windows of one program and of equal joules end alike each time.
        """
        same = self.program == program
        return same and self.unread_j is not None and alike(self.unread_j, energy_j)

    def left_j(self, response: Response, at_s: float) -> float:
        """The joules that a late counter has still to show at a moment."""
        earlier_j = self.earlier.left_j(response, at_s) if self.earlier else 0.0
        return earlier_j + self.step_w * response.left_of_s(self.length_s, at_s - self.ended_s)

    def unsure_j(self, response: Response, at_s: float, alike_j: float = 0.0) -> float:
        """Standard uncertainty of the joules still to be shown at a moment.

        Args:
            response: How late the counter is.
            at_s: The moment.
            alike_j: That of what a later load that ends alike has still to show. Of the two, one is
                added to the later window and one taken off it: their difference counts.
        """
        earlier_j = self.earlier.unsure_j(response, at_s) if self.earlier else 0.0
        left_s = response.left_of_s(self.length_s, at_s - self.ended_s)
        model_j = self.step_w * response.unsure_s(at_s - self.ended_s)
        return combine((earlier_j, self.unsure_w * left_s - alike_j, model_j))

    def shown_j(self, response: Response, from_s: float, to_s: float) -> float:
        """The joules that a late counter shows of it between two moments."""
        return self.left_j(response, from_s) - self.left_j(response, to_s)

    def if_left(self, response: Response, at_s: float) -> EndedLoad | None:
        """This load if the counter's resolution still shows something of it at a moment."""
        return self if abs(self.left_j(response, at_s)) > RESOLUTION_J else None
