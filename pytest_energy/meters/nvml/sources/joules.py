"""Joules and powers from the ticks of a counter."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pytest_energy.meters.nvml.sources.ticks import Tick
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import Quantity
from pytest_energy.uncertainty.gum import combine, expand, standard_error, uniform

RESOLUTION_J = 1e-3
"""Counters count whole millijoules."""


@dataclass(frozen=True)
class Joules:
    """The joules that one channel used in a window."""

    energy_j: float
    budget: Mapping[str, float] = field(default_factory=dict)
    """Standard uncertainties by cause, in joules."""
    rest_w: float = 0.0
    """Power of the idle device around the window, while the edges were searched."""
    revised: Callable[[], Joules] | None = None
    """Returns these joules by what later windows have shown, too; ``None``: they show nothing."""

    def by_now(self) -> Joules:
        """These joules by all windows so far."""
        return self.revised() if self.revised else self

    def changed(self, change: Callable[[Joules], Joules]) -> Joules:
        """Other joules made of these, which are revised when these are."""
        changed = change(self)
        if self.revised is None:
            return changed
        return replace(changed, revised=lambda: change(self.by_now()))


def with_term(joules: Joules, cause: str, standard_j: float) -> Joules:
    """Return ``joules`` with a standard uncertainty in its budget, in place of one by that name."""
    return replace(joules, budget={**joules.budget, cause: standard_j})


@dataclass(frozen=True)
class Power:
    """The power in a gap beside a window, with its standard uncertainty."""

    value_w: float
    uncertainty_w: float
    changes_w: float = 0.0
    """By how much it has changed from one tick to the next."""
    recent: bool = True
    """Whether it was measured just now."""
    by_period: bool = True
    """Whether its time is that of the counter's period, not of the two ticks."""


@dataclass(frozen=True)
class OpeningTick:
    """The tick before a window, and the power in the gap between the two."""

    tick: Tick
    power: Power
    earlier: tuple[Tick, ...] = ()
    """Up to two ticks before it."""


def window_joules(opening: OpeningTick, closing: Tick, window: Span, after: Power) -> Joules:
    """The joules of a window that lies between two ticks.

    The budget has two terms: ``resolution`` of both readings, and ``edges``, the uncertainty of the
    gaps: of the moments of the ticks, and of the power in the gaps. If the power still changes
    before the window, the change counts as uncertainty.

    Args:
        opening: The tick before the window, with the power in the gap after it.
        closing: The tick after the window.
        window: The window by ``time.perf_counter``.
        after: The power from the window's end to ``closing``.
    """
    before = opening.power
    before_s, after_s = window.start_s - opening.tick.time_s, closing.time_s - window.end_s
    # added linearly if both powers share the error of the counter's period
    gaps_j = operator.add if before.by_period and after.by_period else math.hypot
    edges_j = combine(
        (
            before.value_w * uniform(opening.tick.width_s),
            after.value_w * uniform(closing.width_s),
            gaps_j(before.uncertainty_w * before_s, after.uncertainty_w * after_s),
            uniform(2 * before.changes_w) * before_s,
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
    time_s, by_period = later.time_s - earlier.time_s, False
    time_u = combine((uniform(earlier.width_s), uniform(later.width_s)))
    if period_s is not None:
        regular_s = max(1, round(time_s / period_s)) * period_s
        reach_s = (earlier.width_s + later.width_s) / 2
        if abs(regular_s - time_s) <= reach_s < period_s / 2:
            time_s, time_u, by_period = regular_s, drift * regular_s, True
    power_w = (later.energy_j - earlier.energy_j) / time_s
    resolution_w = math.sqrt(2) * uniform(RESOLUTION_J) / time_s
    uncertainty_w = combine((power_w * time_u / time_s, resolution_w))
    return Power(power_w, uncertainty_w, by_period=by_period)


def between_s(earlier: Tick, later: Tick, period_s: float | None) -> float:
    """The time between two ticks: a multiple of the period, if the reads around them allow it."""
    time_s = later.time_s - earlier.time_s
    if period_s is None:
        return time_s
    regular_s = round(time_s / period_s) * period_s
    reach_s = (earlier.width_s + later.width_s) / 2
    return regular_s if regular_s and abs(regular_s - time_s) <= reach_s < period_s / 2 else time_s


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
