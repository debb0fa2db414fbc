"""From the interval of a change to an outcome."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.classify import (
    Rule,
    classify,
    classify_exact,
    classify_interval,
    mirrored,
    relative_difference,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.change import Change

changes = st.builds(
    Change, st.floats(-1, 1), st.floats(0, 0.2), st.floats(1, 100) | st.just(math.inf)
)


@given(changes, st.floats(0, 0.5))
def test_the_three_verdicts_exclude_each_other(change: Change, tolerance: float) -> None:
    """Whatever is decided agrees with the point estimate; a change is beyond the tolerance."""
    found = classify(change, tolerance)
    if found is Outcome.REGRESSED:
        assert change.relative > tolerance
    elif found is Outcome.IMPROVED:
        assert change.relative < -tolerance
    elif found is Outcome.UNCHANGED:
        assert -tolerance <= change.relative <= tolerance


@given(changes, st.floats(0, 0.5))
def test_before_and_after_swapped_never_regress_both(change: Change, tolerance: float) -> None:
    """What regressed one way round has not regressed the other way round."""
    swapped = Change(-change.log_ratio, change.standard, change.degrees_of_freedom)
    assert (classify(change, tolerance), classify(swapped, tolerance)).count(Outcome.REGRESSED) < 2
    assert mirrored(mirrored(classify(change, tolerance))) is classify(change, tolerance)


@given(changes, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_tolerance_never_makes_it_worse(change: Change, one: float, other: float) -> None:
    """What does not regress at a tolerance does not regress at a wider one."""
    strict, lenient = sorted((one, other))
    if classify(change, lenient) is Outcome.REGRESSED:
        assert classify(change, strict) is Outcome.REGRESSED
    if classify(change, strict) is Outcome.UNCHANGED:
        assert classify(change, lenient) is Outcome.UNCHANGED


@given(changes, st.floats(0, 0.5), st.floats(0.5, 0.999), st.floats(1e-6, 0.5))
def test_to_be_surer_never_finds_more(
    change: Change, tolerance: float, coverage: float, significance: float
) -> None:
    """A rule that asks for more certainty decides nothing that a laxer one leaves open."""
    lax = classify(change, tolerance, Rule(coverage, significance))
    sure = classify(change, tolerance, Rule((1 + coverage) / 2, significance / 2))
    assert sure in (lax, Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.05, 0.06, Outcome.INCONCLUSIVE),
        (0.051, 0.06, Outcome.REGRESSED),
        (-0.06, -0.05, Outcome.INCONCLUSIVE),
        (-0.06, -0.051, Outcome.IMPROVED),
        (-0.05, 0.05, Outcome.UNCHANGED),
        (-0.051, 0.05, Outcome.INCONCLUSIVE),
        (-0.05, 0.051, Outcome.INCONCLUSIVE),
    ],
)
def test_the_tolerance_itself_is_within_the_tolerance(
    low: float, high: float, outcome: Outcome
) -> None:
    """An interval that touches it is neither beyond nor outside."""
    assert classify_interval(low, high, 0.05) is outcome


@given(st.floats(-1, 1), st.floats(0, 0.5))
def test_an_exact_value_is_an_interval_without_width(change: float, tolerance: float) -> None:
    """Both ways give one outcome, and a metric of which more is better mirrors it."""
    outcome = classify_exact(change, tolerance)
    assert outcome is classify_interval(change, change, tolerance)
    assert mirrored(outcome) is classify_exact(-change, tolerance)


def test_a_difference_from_zero_is_infinite() -> None:
    """With its sign; of equal values there is none."""
    assert relative_difference(3.0, 2.0) == 0.5
    assert relative_difference(0.0, 0.0) == 0
    assert relative_difference(-1.0, 0.0) == -math.inf
