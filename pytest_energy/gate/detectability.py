"""What a benchmark can detect, from the variation of its accepted runs, and what would decide it.

A rise is *detectable* if one look calls it regressed with a probability of :data:`PROBABILITY`: its
whole interval is then above the tolerance, and "no change" is rejected for the suite. Source: the
power of a t test, with a shifted t distribution in place of the noncentral one (Lachin, *Controlled
Clinical Trials* 2 (1981)).
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pytest_energy.gate.baseline import Baseline, estimate_of
from pytest_energy.gate.classify import Rule, classify
from pytest_energy.gate.pooling import split_visits, visit_estimates
from pytest_energy.gate.schedule import ADAPTIVE, ALONE, Schedule, Suite
from pytest_energy.model.measurement import Measurement
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.change import Estimate, Scatter, changes_from, learn_scatter
from pytest_energy.uncertainty.gum import t_quantile

PROBABILITY: Final = 0.95
MOST_VISITS: Final = 1000
"""What this many visits cannot decide, no number can."""
FEWEST_SESSIONS: Final = 3
"""Sessions that it takes to see what the benchmarks of each share."""
FEWEST_SHARING: Final = 5
"""Benchmarks of each of these sessions."""


@dataclass(frozen=True)
class Sensitivity:
    """The rises that one benchmark detects."""

    first: float
    """Smallest relative rise that is called regressed after one visit, were it the only one."""
    last: float
    """Smallest relative rise that is called regressed after all visits that the limits allow."""
    visits: int
    """Number of visits that the limits allow."""
    rounds: int | None
    """Rounds until the requested rise is called regressed; ``None`` if all visits are too few."""
    energy_j: float | None
    """Cost of these rounds, by the median of the accepted runs; ``None`` if unknown."""


def sensitivity(
    baseline: Baseline,
    change: float,
    tolerance: float,
    schedule: Schedule = ADAPTIVE,
    suite: Suite = ALONE,
    retry_s: float = math.inf,
) -> Sensitivity | None:
    """The rises that a benchmark detects.

    Args:
        baseline: Its accepted runs.
        change: The relative rise that should be called regressed.
        tolerance: The accepted relative change.
        schedule: The number of visits, and their rounds.
        suite: What the verdict takes from the other benchmarks.
        retry_s: The limit of time for further visits, in seconds, all of it for this benchmark.

    Returns:
        ``None`` if the baseline has no joules.
    """
    if not baseline.level(ENERGY):
        return None
    allowed = visits_within(baseline, schedule, retry_s)
    rise = rises(baseline, tolerance, schedule, suite)
    found = [rise(visit) for visit in range(1, allowed + 1)]
    visits = next((visit for visit, rise in enumerate(found, 1) if rise <= change), None)
    rounds = None if visits is None else schedule.rounds_until(visits)
    return Sensitivity(found[0], min(found), allowed, rounds, _cost_j(baseline, rounds))


def visits_within(baseline: Baseline, schedule: Schedule, retry_s: float) -> int:
    """The number of visits that a limit of time allows, at least the second look at a change."""
    visit_s = _further_visit_s(baseline, schedule)
    if visit_s is None or math.isinf(retry_s):
        return schedule.visits
    # Measuring stops after the visit that reaches the limit.
    return min(schedule.visits, 1 + max(math.ceil(retry_s / visit_s), 1))


def _further_visit_s(baseline: Baseline, schedule: Schedule) -> float | None:
    """Seconds of the rounds of a further visit, by the accepted runs; ``None`` if unknown."""
    round_s = baseline.round_s
    return None if round_s is None else schedule.again * round_s


def needed_retry_s(
    baseline: Baseline,
    change: float,
    tolerance: float,
    schedule: Schedule = ADAPTIVE,
    suite: Suite = ALONE,
) -> float | None:
    """The limit of time with which this rise of one benchmark is called regressed, in seconds.

    Returns:
        ``None`` if no limit helps: all visits are too few, or the time of a visit is unknown.
    """
    visit_s = _further_visit_s(baseline, schedule)
    if visit_s is None or not baseline.level(ENERGY):
        return None
    rise, looks = rises(baseline, tolerance, schedule, suite), range(1, schedule.visits + 1)
    visits = next((visit for visit in looks if rise(visit) <= change), None)
    return None if visits is None else max(visits - 1, 1) * visit_s


def detectable(
    baseline: Baseline,
    visit: int,
    tolerance: float,
    schedule: Schedule = ADAPTIVE,
    suite: Suite = ALONE,
) -> float:
    """The smallest relative rise that is called regressed at the look after this visit."""
    return rises(baseline, tolerance, schedule, suite)(visit)


def rises(
    baseline: Baseline, tolerance: float, schedule: Schedule = ADAPTIVE, suite: Suite = ALONE
) -> Callable[[int], float]:
    """:func:`detectable` of one baseline, by the number of visits.

    A session asks for all visits of all its baselines, so what they share is computed once.
    """
    runs = baseline.level(ENERGY)
    scatter = learn_scatter(baseline.levels(ENERGY), suite.prior)
    planned, change_of, looks = _planning(runs), changes_from(runs), _looks(schedule, suite.family)

    def rise(visit: int) -> float:
        rounds, rule = looks[visit - 1]
        # Visits of one session do not average out what all of the session shares.
        shared = suite.shared**2 * (1 - 1 / visit) / (1 / visit + 1 / len(runs))
        relative = math.hypot(scatter.relative, math.sqrt(shared))
        together = Scatter(relative, scatter.degrees_of_freedom, scatter.runs)
        change = change_of(planned(rounds), together, visit)
        freedom, standard = change.degrees_of_freedom, change.standard
        found = t_quantile(freedom, PROBABILITY)
        beyond = t_quantile(freedom, 1 - (1 - rule.coverage) / 2) + found
        significant = t_quantile(freedom, 1 - rule.significance / 2) + found
        return math.expm1(max(math.log1p(tolerance) + beyond * standard, significant * standard))

    return rise


@lru_cache(maxsize=16)
def _looks(schedule: Schedule, family: int) -> tuple[tuple[int, Rule], ...]:
    """By visit: the rounds until its look, and how sure the look must be."""
    visits = range(1, schedule.visits + 1)
    return tuple((schedule.rounds_until(visit), schedule.rule(visit, family)) for visit in visits)


def _planning(runs: Sequence[Estimate]) -> Callable[[int], Estimate]:
    """The expected estimate from so many rounds, if they vary as in the accepted runs."""
    repeated = [run for run in runs if not math.isinf(run.degrees_of_freedom)]
    variance = (
        statistics.fmean(run.relative**2 * (run.degrees_of_freedom + 1) for run in repeated)
        if repeated
        else 0.0
    )
    value = statistics.fmean(run.value for run in runs)
    return lambda rounds: Estimate(value, value * math.sqrt(variance / rounds), max(rounds - 1, 1))


def _cost_j(baseline: Baseline, rounds: int | None) -> float | None:
    spent = [run.spent_j / run.rounds for run in baseline.accepted if run.spent_j is not None]
    return statistics.median(spent) * rounds if spent and rounds is not None else None


def shared_scatter(baselines: Iterable[Baseline]) -> float:
    """Standard deviation, as a fraction, of what the benchmarks of one session share.

    The runs accepted at one commit are taken for one session. Zero if too few sessions are known:
    the runs of a single session cannot show it.
    """
    sessions: dict[str, list[float]] = {}
    for baseline in baselines:
        runs = [run for run in baseline.accepted if run.values.get(ENERGY, 0) > 0]
        level = runs[max((place for place, run in enumerate(runs) if run.step), default=0) :]
        if len({run.commit for run in level}) < FEWEST_SESSIONS:
            continue
        logs = [math.log(run.values[ENERGY]) for run in level]
        for run, logarithm in zip(level, logs, strict=True):
            if run.commit is not None:
                sessions.setdefault(run.commit, []).append(logarithm - statistics.fmean(logs))
    shifts = [statistics.median(s) for s in sessions.values() if len(s) >= FEWEST_SHARING]
    return statistics.stdev(shifts) if len(shifts) >= FEWEST_SESSIONS else 0.0


def further_visits(
    measured: Measurement,
    baseline: Baseline,
    tolerance: float,
    schedule: Schedule = ADAPTIVE,
    suite: Suite = ALONE,
) -> int | None:
    """How many further visits would decide, if they agree with the mean of those so far.

    Args:
        measured: All visits so far, with joules.
        baseline: The accepted runs.
        tolerance: The accepted relative change of the energy.
        schedule: Gives the strictness of the last look.
        suite: What the verdict takes from the other benchmarks.

    Returns:
        ``None`` if no number of visits would: the baseline is too uncertain, or the change is too
        close to the tolerance.
    """
    runs, visits = baseline.level(ENERGY), len(split_visits(measured)) or 1
    levels = [*baseline.levels(ENERGY), visit_estimates(measured, ENERGY)]
    scatter = learn_scatter(levels, suite.prior)
    new = estimate_of(measured.metrics[ENERGY])
    rule = schedule.rule(schedule.visits, suite.family)
    change_of = changes_from(runs)

    def decided(number: int) -> bool:
        share = visits / number
        planned = Estimate(
            new.value, new.standard * math.sqrt(share), new.degrees_of_freedom / share
        )
        change = change_of(planned, scatter, number)
        if shift := suite.shifts.get(ENERGY):
            change = change.without(shift)
        return classify(change, tolerance, rule) is not Outcome.INCONCLUSIVE

    if not decided(MOST_VISITS):
        return None
    # More visits only narrow the interval, so a bisection finds the first number that decides.
    return 1 + bisect_left(range(visits + 1, MOST_VISITS + 1), True, key=decided)
