"""The smallest change that a benchmark can detect, from the variation of its accepted runs.

A change is *detectable* if one look reports it with a probability of :data:`PROBABILITY`. Source:
the power of a t test, with a shifted t distribution in place of the noncentral one (Lachin,
*Controlled Clinical Trials* 2 (1981)).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.schedule import ADAPTIVE, Schedule
from pytest_energy.model.metrics import ENERGY
from pytest_energy.uncertainty.change import Estimate, learn_scatter, relative_change
from pytest_energy.uncertainty.gum import t_quantile

PROBABILITY: Final = 0.95


@dataclass(frozen=True)
class Sensitivity:
    """The changes that one benchmark can detect."""

    first: float
    """Detectable relative change after one visit."""
    last: float
    """Detectable relative change after all visits that the schedule allows."""
    rounds: int | None
    """Rounds until the requested change is detectable; ``None`` if all visits are too few."""
    energy_j: float | None
    """Cost of these rounds, by the median of the accepted runs; ``None`` if unknown."""


def sensitivity(
    baseline: Baseline, change: float, schedule: Schedule = ADAPTIVE, family: int = 1
) -> Sensitivity | None:
    """The changes that a benchmark can detect.

    Args:
        baseline: Its accepted runs.
        change: The relative change that should be detectable.
        schedule: The number of visits, and their rounds.
        family: Number of comparisons in the suite.

    Returns:
        ``None`` if the baseline has no joules.
    """
    if not baseline.level(ENERGY):
        return None
    changes = [
        detectable(baseline, visit, schedule, family) for visit in range(1, schedule.visits + 1)
    ]
    visits = next((visit for visit, smallest in enumerate(changes, 1) if smallest <= change), None)
    rounds = None if visits is None else schedule.rounds_until(visits)
    return Sensitivity(changes[0], min(changes), rounds, _cost_j(baseline, rounds))


def detectable(
    baseline: Baseline, visit: int, schedule: Schedule = ADAPTIVE, family: int = 1
) -> float:
    """The smallest relative rise that is detectable at the look after this visit."""
    runs = baseline.level(ENERGY)
    rule = schedule.rule(visit, family)
    planned = _planned(runs, schedule.rounds_until(visit))
    change = relative_change(planned, runs, learn_scatter(baseline.levels(ENERGY)), visit)
    # A reported change must be beyond the interval and significant: the stricter one decides.
    strictest = max(1 - (1 - rule.coverage) / 2, 1 - rule.significance / 2)
    quantiles = (
        t_quantile(change.degrees_of_freedom, probability)
        for probability in (strictest, PROBABILITY)
    )
    return math.expm1(change.standard * sum(quantiles))


def _planned(runs: Sequence[Estimate], rounds: int) -> Estimate:
    """The expected estimate from this many rounds, if they vary as in the accepted runs."""
    repeated = [run for run in runs if not math.isinf(run.degrees_of_freedom)]
    variance = (
        statistics.fmean(run.relative**2 * (run.degrees_of_freedom + 1) for run in repeated)
        if repeated
        else 0.0
    )
    value = statistics.fmean(run.value for run in runs)
    return Estimate(value, value * math.sqrt(variance / rounds), max(rounds - 1, 1))


def _cost_j(baseline: Baseline, rounds: int | None) -> float | None:
    spent = [run.spent_j / run.rounds for run in baseline.accepted if run.spent_j is not None]
    return statistics.median(spent) * rounds if spent and rounds is not None else None
