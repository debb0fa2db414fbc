"""From the interval of a change to an outcome."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_energy.model.outcomes import SEVERITY, Outcome
from pytest_energy.model.result import MetricVerdict
from pytest_energy.uncertainty.change import Change
from pytest_energy.uncertainty.gum import COVERAGE


@dataclass(frozen=True)
class Rule:
    """How sure a verdict must be."""

    coverage: float = COVERAGE
    """Coverage of the interval that is compared with the tolerance."""
    significance: float = 0.01
    """Significance level at which 'no change' must be rejected before a change is reported."""


ONE_LOOK: Final = Rule()
"""The rule for a single look at a single benchmark."""


def classify(change: Change, tolerance: float, rule: Rule = ONE_LOOK) -> Outcome:
    """Classify the change of a noisy metric, if less of it is better.

    A change must lie wholly beyond the tolerance, and must also be significant. The second test
    matters where the tolerance is small: it bounds the rate of false alarms of a whole suite.
    """
    low, high = change.interval(rule.coverage)
    if low > tolerance and change.differs(rule.significance):
        return Outcome.REGRESSED
    if high < -tolerance and change.differs(rule.significance):
        return Outcome.IMPROVED
    if -tolerance <= low and high <= tolerance:
        return Outcome.UNCHANGED
    return Outcome.INCONCLUSIVE


def classify_interval(low: float, high: float, tolerance: float) -> Outcome:
    """Classify an interval of the change, if less of it is better; exact values have no width."""
    if low > tolerance:
        return Outcome.REGRESSED
    if high < -tolerance:
        return Outcome.IMPROVED
    return Outcome.UNCHANGED if -tolerance <= low and high <= tolerance else Outcome.INCONCLUSIVE


def classify_exact(change: float, tolerance: float) -> Outcome:
    """Classify the change of a value without uncertainty, if less of it is better."""
    if change > tolerance:
        return Outcome.REGRESSED
    return Outcome.IMPROVED if change < -tolerance else Outcome.UNCHANGED


def mirrored(outcome: Outcome) -> Outcome:
    """The outcome if more is better, given the one for 'less is better'."""
    mirror = {Outcome.REGRESSED: Outcome.IMPROVED, Outcome.IMPROVED: Outcome.REGRESSED}
    return mirror.get(outcome, outcome)


def relative_difference(after: float, before: float) -> float:
    """The change as a fraction of ``before``; infinite if only ``before`` is zero."""
    if after == before:
        return 0.0
    return after / before - 1 if before else math.copysign(math.inf, after)


def worst(metrics: Iterable[MetricVerdict]) -> Outcome:
    """The first outcome of :data:`SEVERITY` that a gated metric (one with a tolerance) has."""
    outcomes = {metric.outcome for metric in metrics if metric.tolerance is not None}
    return next((outcome for outcome in SEVERITY if outcome in outcomes), Outcome.UNCHANGED)
