"""Changes of level in series: found where they are, and not where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.uncertainty.change_points import WINDOW, find_steps


def series(
    count: int, *steps: tuple[int, float], scatter: float = 0.01, seed: int = 0
) -> list[float]:
    """Logarithms with normal scatter and relative steps that stay."""
    values = np.random.default_rng(seed).normal(0, scatter, count)
    for first, change in steps:
        values[first:] += math.log1p(change)
    return [float(value) for value in values]


@pytest.mark.parametrize("change", [0.05, 0.10, -0.05])
def test_a_step_is_found_where_it_is(change: float) -> None:
    """Its place is within its interval of places, and its size within its interval of sizes."""
    (step,) = find_steps(series(100, (60, change)), least=0.025)
    assert step.earliest <= 60 <= step.latest
    assert step.low < math.log1p(change) < step.high
    assert (step.before, step.after) == (step.index, 100 - step.index)


def test_several_steps_are_found_in_their_order() -> None:
    """Steps in different windows, and two within one, are all found."""
    wanted = [40, 70, 200, 330]
    changes = [0.06, -0.05, 0.08, 0.05]
    steps = find_steps(series(400, *zip(wanted, changes, strict=True)), least=0.025)
    assert [step.index for step in steps] == pytest.approx(wanted, abs=2)
    assert [step.log_ratio > 0 for step in steps] == [change > 0 for change in changes]


def test_three_points_after_a_large_step_show_it() -> None:
    """A step of 10 % needs three points of little scatter, and is not reported before."""
    values = series(63, (60, 0.10), scatter=0.002)
    assert [step.index for step in find_steps(values, least=0.025)] == [60]
    assert find_steps(values[:62], least=0.025) == []


def test_a_step_below_the_least_change_is_not_reported() -> None:
    """Also where it is certain."""
    values = series(200, (100, 0.02), scatter=0.002)
    assert find_steps(values, least=0.025) == []
    assert len(find_steps(values, least=0.01)) == 1


def test_one_far_value_is_no_step() -> None:
    """An outlier does not last."""
    values = series(100)
    values[50] += 0.3
    assert find_steps(values, least=0.025) == []


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_points_have_no_steps(count: int) -> None:
    """Three points on each side are needed."""
    assert find_steps([0.0, 0.0, 0.0, 1.0, 1.0, 1.0][:count]) == []


def test_exact_levels_are_told_apart() -> None:
    """Values without any scatter, as simulated cards give them."""
    (step,) = find_steps([0.0] * 10 + [0.05] * 10, least=0.025)
    assert (step.index, step.earliest, step.latest) == (10, 10, 10)
    assert step.chance == 0


def test_chance_is_that_of_welchs_test() -> None:
    """Beside scipy's."""
    values = series(50, (30, 0.05))
    (step,) = find_steps(values, least=0.025)
    expected = stats.ttest_ind(values[step.index :], values[: step.index], equal_var=False)
    assert step.chance == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (step.low, step.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([1.0, -1.0]), st.sampled_from([0.0, -2.5, 3.0]))
def test_a_series_and_its_mirror_have_the_same_steps(seed: int, sign: float, level: float) -> None:
    """Neither the level nor the direction changes what is found."""
    values = series(WINDOW, (30, 0.06), seed=seed)
    places = [step.index for step in find_steps(values)]
    assert [step.index for step in find_steps([sign * v + level for v in values])] == places


def test_series_without_a_change_are_quiet() -> None:
    """At most 0.2 false rises a hundred points, for scatter up to 2 %."""
    rises = sum(
        step.log_ratio > 0
        for seed in range(20)
        for step in find_steps(series(300, scatter=0.02, seed=seed), least=0.025)
    )
    assert rises <= 0.002 * 20 * 300
