"""From the interval of a change to an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.metrics import higher_is_better
from pytest_energy.model.outcomes import SEVERITY, Outcome
from pytest_energy.model.result import MetricVerdict
from pytest_energy.uncertainty.change import Change
from pytest_energy.uncertainty.gum import COVERAGE


@dataclass(frozen=True)
class Rule:
    """How sure a verdict must be."""

    coverage: float = COVERAGE
    """Of the interval that is held against the tolerance."""
    significance: float = 0.01
    """At which 'nothing has changed' must be refused, too, before a change is called one."""


ONE_LOOK: Final = Rule()
"""The rule of a single look at a single benchmark."""


def classify(change: Change, tolerance: float, rule: Rule = ONE_LOOK) -> Outcome:
    """What a change is, of a metric of which less is better."""
    low, high = change.interval(rule.coverage)
    if low > tolerance and change.differs(rule.significance):
        return Outcome.REGRESSED
    if high < -tolerance and change.differs(rule.significance):
        return Outcome.IMPROVED
    if -tolerance <= low and high <= tolerance:
        return Outcome.UNCHANGED
    return Outcome.INCONCLUSIVE


def mirrored(outcome: Outcome) -> Outcome:
    """The outcome where more is better."""
    mirror = {Outcome.REGRESSED: Outcome.IMPROVED, Outcome.IMPROVED: Outcome.REGRESSED}
    return mirror.get(outcome, outcome)


def worst(gated: Iterable[MetricVerdict]) -> Outcome:
    """The first of :data:`SEVERITY` that one of the metrics has."""
    found = {metric.outcome for metric in gated}
    return next((outcome for outcome in SEVERITY if outcome in found), Outcome.UNCHANGED)


def _directed(metric: str, outcome: Outcome) -> Outcome:
    return mirrored(outcome) if higher_is_better(metric) else outcome


def _ratio(after: float, before: float) -> float:
    if after == before:
        return 0.0
    return after / before - 1 if before else math.copysign(math.inf, after)


def _by_value(change: float, tolerance: float) -> Outcome:
    if change > tolerance:
        return Outcome.REGRESSED
    return Outcome.IMPROVED if change < -tolerance else Outcome.UNCHANGED
