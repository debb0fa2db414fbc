"""Which change a benchmark can see, from the scatter of its accepted runs, and at which cost.

A change is *detectable* where it would be told from no change with a probability of
:data:`PROBABILITY`, by the interval of the look in question. Source: the power of a t test, its
noncentral distribution replaced by a shifted one (Lachin, *Controlled Clinical Trials* 2 (1981)).
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
    """What one benchmark can see."""

    first: float
    """Detectable change, relative, after one visit."""
    last: float
    """The same after as many visits as there may be."""
    rounds: int | None
    """Rounds until the change asked for is detectable; ``None`` where all visits do not suffice."""
    energy_j: float | None
    """What these rounds cost, by the accepted runs' median; ``None`` where not known."""


def sensitivity(
    baseline: Baseline, change: float, schedule: Schedule = ADAPTIVE, family: int = 1
) -> Sensitivity | None:
    """What a benchmark can see.

    Args:
        baseline: Its accepted runs.
        change: The relative change that one wishes to see.
        schedule: How often it may be measured.
        family: How many comparisons the suite makes.

    Returns:
        ``None`` where the baseline knows no joules.
    """
    if not baseline.level(ENERGY):
        return None
    seen = [
        detectable(baseline, visit, schedule, family) for visit in range(1, schedule.visits + 1)
    ]
    enough = next((visit for visit, found in enumerate(seen, 1) if found <= change), None)
    rounds = None if enough is None else sum(map(schedule.rounds_of, range(1, enough + 1)))
    return Sensitivity(seen[0], min(seen), rounds, _cost_j(baseline, rounds))


def detectable(
    baseline: Baseline, visit: int, schedule: Schedule = ADAPTIVE, family: int = 1
) -> float:
    """The smallest relative rise that is told from none after so many visits."""
    old = baseline.level(ENERGY)
    rule = schedule.rule(visit, family)
    planned = _planned(old, sum(map(schedule.rounds_of, range(1, visit + 1))))
    found = relative_change(planned, old, learn_scatter(baseline.levels(ENERGY)), visit)
    surest = max(1 - (1 - rule.coverage) / 2, 1 - rule.significance / 2)
    quantiles = (
        t_quantile(found.degrees_of_freedom, probability) for probability in (surest, PROBABILITY)
    )
    return math.expm1(found.standard * sum(quantiles))


def _planned(old: Sequence[Estimate], rounds: int) -> Estimate:
    """What so many rounds are expected to find, from how the accepted runs' rounds scattered."""
    known = [run for run in old if not math.isinf(run.degrees_of_freedom)]
    variance = (
        statistics.fmean(run.relative**2 * (run.degrees_of_freedom + 1) for run in known)
        if known
        else 0.0
    )
    value = statistics.fmean(run.value for run in old)
    return Estimate(value, value * math.sqrt(variance / rounds), max(rounds - 1, 1))


def _cost_j(baseline: Baseline, rounds: int | None) -> float | None:
    spent = [run.spent_j / run.rounds for run in baseline.accepted if run.spent_j is not None]
    return statistics.median(spent) * rounds if spent and rounds is not None else None
