"""Intervals and combined uncertainty."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.uncertainty.gum import (
    bounded,
    effective_degrees_of_freedom,
    expand,
    no_loss,
    significant,
    standard_error,
    t_quantile,
    uniform,
    variance,
)

observations = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=12)


@given(observations, st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([1e-9, 1e-3, 1.0]))
def test_the_variance_is_that_of_exact_fractions(
    values: list[float], size: float, spread: float
) -> None:
    """Also of observations that agree in most of their digits."""
    close = [size * (1 + spread * value) for value in values]
    # Deviations of a unit in the last place have no digits that could agree.
    assert variance(close) == pytest.approx(
        statistics.variance(close), rel=1e-12, abs=(1e-16 * size) ** 2
    )


@given(st.floats(1e-9, 1e9), st.integers(2, 12))
def test_equal_observations_have_no_variance(value: float, count: int) -> None:
    """Exactly none: what agrees to the last digit tells nothing of a scatter."""
    assert variance([value] * count) == 0


terms = st.lists(st.tuples(st.floats(0.01, 100), st.floats(1, 100)), min_size=1, max_size=6)


@given(terms)
def test_the_effective_degrees_of_freedom_lie_between_the_least_and_the_sum(
    terms: list[tuple[float, float]],
) -> None:
    """The bounds of the Welch-Satterthwaite formula (GUM G.4.1)."""
    freedom = effective_degrees_of_freedom(terms)
    each = [known for _, known in terms]
    assert min(each) * (1 - 1e-9) <= freedom <= sum(each) * (1 + 1e-9)


def test_terms_without_finite_degrees_of_freedom_give_the_normal_quantile() -> None:
    """A zero term has no weight, however few its degrees of freedom."""
    assert effective_degrees_of_freedom([(1.0, math.inf), (0.0, 1.0)]) == math.inf
    assert expand(2.0) == pytest.approx(2 * 1.95996, rel=1e-5)


@given(st.floats(1, 1000), st.floats(0.6, 0.999))
def test_fewer_observations_need_a_wider_interval(freedom: float, probability: float) -> None:
    """Student's quantile falls with the degrees of freedom, towards the normal one."""
    wide, narrow = t_quantile(freedom, probability), t_quantile(2 * freedom, probability)
    assert wide >= narrow >= t_quantile(math.inf, probability)


def test_textbook_values() -> None:
    """The standard error of 1, 2, 3; the even distribution; rounding to two digits."""
    assert standard_error([1, 2, 3]) == pytest.approx(1 / math.sqrt(3))
    assert standard_error([1, 3]) == 1
    assert standard_error([1]) == 0
    assert uniform(12) == pytest.approx(math.sqrt(12))
    assert significant(0.012345, 2) == 0.012


def test_a_loss_within_the_uncertainty_is_none() -> None:
    """Unknown uncertainties count as zero."""
    assert no_loss(-0.5, 0.3, 0.4)
    assert not no_loss(-0.51, 0.3, 0.4)
    assert not no_loss(-0.1, None)


@given(st.floats(1e-6, 1e6))
def test_the_interval_of_a_bounded_value_has_95_percent_of_its_values(full_width: float) -> None:
    """A uniform value lies within 0.95 of half its width in 95 % of cases, never beyond half."""
    assert expand(bounded(full_width)) == pytest.approx(0.95 * full_width / 2)
