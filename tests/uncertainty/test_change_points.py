"""Changes of level in series: found where they are, and not where there are none."""

from __future__ import annotations

import math
import statistics
from itertools import combinations

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


def test_the_places_that_the_data_do_not_exclude_are_those_of_the_likelihood() -> None:
    """Two normal levels of one variance; χ² with one degree of freedom bounds their ratio."""
    for seed in range(20):
        values = series(30, (12, 0.03), scatter=0.01, seed=seed)
        steps = find_steps(values)
        if len(steps) != 1:
            continue
        squares = {
            place: sum(len(side) * statistics.pvariance(side) for side in halves)
            for place in range(1, 30)
            for halves in [(values[:place], values[place:])]
        }
        bound = 30 * math.log(squares[steps[0].index]) + stats.chi2(1).ppf(0.95)
        likely = [place for place, square in squares.items() if 30 * math.log(square) <= bound]
        assert (steps[0].earliest, steps[0].latest) == (likely[0], likely[-1])


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


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
def test_few_points_have_no_steps(count: int) -> None:
    """Three points on each side are needed, and are enough."""
    steps = find_steps([0.0, 0.0, 0.0, 1.0, 1.0, 1.0][:count])
    assert [step.index for step in steps] == ([3] if count == 6 else [])


@pytest.mark.parametrize("count", [6, 20, 200])
def test_a_constant_series_has_no_steps(count: int) -> None:
    """Equal values are as certain as can be, and no change."""
    assert find_steps([0.25] * count) == []


def energy_distance(left: list[float], right: list[float]) -> float:
    """Matteson and James 2014, eq. 2.5 and 2.7, with α = 1, as they are written."""
    between = [abs(a - b) for a in left for b in right]
    within = [[abs(a - b) for a, b in combinations(side, 2)] for side in (left, right)]
    distance = 2 * statistics.fmean(between) - sum(map(statistics.fmean, within))
    return len(left) * len(right) / (len(left) + len(right)) * distance


def levels_end(values: list[float], begin: int, end: int) -> list[int]:
    """The places of E-divisive means, by the distances as they are written and scipy's test."""
    places = range(begin + 3, end - 2)
    if not places:
        return []
    distances = [energy_distance(values[begin:p], values[p:end]) for p in places]
    place = places[distances.index(max(distances))]
    welch = stats.ttest_ind(values[begin:place], values[place:end], equal_var=False)
    if welch.pvalue >= 0.001:
        return []
    return [*levels_end(values, begin, place), place, *levels_end(values, place, end)]


def test_a_level_ends_where_the_energy_distance_is_largest() -> None:
    """Of all places with three points on each side, in series that leave room for others."""
    found = 0
    for seed in range(250):
        values = series(14, (3 + seed % 9, 0.035), scatter=0.01, seed=seed)
        places = levels_end(values, 0, 14)
        if len(places) < 2:
            assert [step.index for step in find_steps(values)] == places
            found += len(places)
    assert found > 100


def test_exact_levels_are_told_apart() -> None:
    """Values without any scatter, as simulated cards give them."""
    (step,) = find_steps([0.0] * 10 + [0.05] * 10, least=0.025)
    assert (step.index, step.earliest, step.latest) == (10, 10, 10)
    assert step.chance == 0
    assert (step.low, step.log_ratio, step.high) == (0.05, 0.05, 0.05)


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
