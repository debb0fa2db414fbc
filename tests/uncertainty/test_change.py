"""The relative change between runs, and their variation."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.uncertainty.change import (
    Change,
    Estimate,
    Prior,
    Scatter,
    learn_scatter,
    median_change,
    outlying_first,
    pool_round_variance,
    relative_change,
    rounds_of,
)
from pytest_energy.uncertainty.gum import effective_degrees_of_freedom, t_quantile

runs = st.lists(
    st.builds(Estimate, st.floats(0.9, 1.1), st.floats(0, 0.01)), min_size=1, max_size=9
)


@given(runs, st.floats(0.5, 2.0), st.floats(1e-6, 1e6))
def test_units_do_not_matter(old: list[Estimate], new: float, factor: float) -> None:
    """Joules or millijoules: the change and its interval are the same."""
    scaled = [Estimate(run.value * factor, run.standard * factor) for run in old]
    here = relative_change(Estimate(new), old, learn_scatter([old]))
    there = relative_change(Estimate(new * factor), scaled, learn_scatter([scaled]))
    assert there.interval() == pytest.approx(here.interval(), rel=1e-6, abs=1e-9)


@given(st.lists(runs, max_size=4))
def test_scatter_is_never_less_certain_with_more_runs(levels: list[list[Estimate]]) -> None:
    """Every further run adds a degree of freedom, and without any the assumption holds."""
    prior = Prior()
    found = learn_scatter(levels, prior)
    seen = sum(len(level) - 1 for level in levels)
    assert found.degrees_of_freedom == prior.weight + seen
    if not seen:
        assert found.relative == pytest.approx(prior.relative)


repeated = st.builds(Estimate, st.floats(0.9, 1.1), st.floats(1e-6, 0.01), st.integers(1, 9))


@given(repeated, st.lists(repeated, min_size=1, max_size=9))
def test_pooled_rounds_never_look_calmer_than_the_new_ones(
    new: Estimate, old: list[Estimate]
) -> None:
    """Older rounds can raise the uncertainty and the degrees of freedom, never lower them."""
    pooled = pool_round_variance(new, *rounds_of(old))
    assert pooled.value == new.value
    assert pooled.standard >= new.standard * (1 - 1e-9)
    assert pooled.degrees_of_freedom > new.degrees_of_freedom


def run_of(rounds: list[float]) -> Estimate:
    """The mean of some rounds, with its standard error."""
    standard = statistics.stdev(rounds) / math.sqrt(len(rounds))
    return Estimate(statistics.fmean(rounds), standard, len(rounds) - 1)


CALM, NOISY = [2.00, 2.01, 1.99, 2.00], [3.0, 3.3, 2.7]


@pytest.mark.parametrize(("new", "counts"), [(CALM, "all"), (NOISY, "own")])
def test_few_rounds_have_the_variance_of_all_rounds(new: list[float], counts: str) -> None:
    """Of all runs' rounds about their means, relative to these, unless the new ones vary more."""
    older = [[4.0, 4.2, 3.9, 4.1, 3.8], [1.0, 1.1]]
    pooled = pool_round_variance(run_of(new), *rounds_of(map(run_of, older)))
    runs = [new, *older] if counts == "all" else [new]
    squares = sum(
        (len(rounds) - 1) * statistics.variance(rounds) / statistics.fmean(rounds) ** 2
        for rounds in runs
    )
    variance = squares / sum(len(rounds) - 1 for rounds in runs)
    assert pooled.relative == pytest.approx(math.sqrt(variance / len(new)))
    assert pooled.degrees_of_freedom == len(new) - 1 + 4 + 1


def test_without_rounds_on_both_sides_there_is_nothing_to_pool() -> None:
    """A value that states its own uncertainty keeps it, and so does a run beside such values."""
    stated, repeated = Estimate(2.0, 0.1), Estimate(2.0, 0.1, 3)
    assert pool_round_variance(stated, *rounds_of([repeated])) == stated
    assert pool_round_variance(repeated, *rounds_of([stated])) == repeated


@pytest.mark.parametrize(("visits", "extra"), [(None, None), (1, 0.0), (4, 0.03)])
def test_a_change_has_the_uncertainty_of_both_sides_and_of_what_is_between_them(
    visits: int | None, extra: float | None
) -> None:
    """The new mean and that of the old runs vary between runs, and each has an uncertainty."""
    old = [Estimate(2.0, 0.02), Estimate(2.2, 0.05), Estimate(1.9, 0.03)]
    given = {"visits": visits, "extra": extra} if visits else {}
    found = relative_change(Estimate(2.5, 0.1), old, Scatter(0.01, 12, 3), **given)
    terms = [
        (0.01 * math.sqrt(1 / (visits or 1) + 1 / 3), 12),
        *((share, math.inf) for share in (0.04, 0.01 / 3, 0.05 / 2.2 / 3, 0.03 / 1.9 / 3)),
        (extra or 0.0, math.inf),
    ]
    assert 1 + found.relative == pytest.approx(2.5 / (2.0 * 2.2 * 1.9) ** (1 / 3))
    assert found.standard == pytest.approx(math.hypot(*(size for size, _ in terms)))
    assert found.degrees_of_freedom == pytest.approx(effective_degrees_of_freedom(terms))


def test_an_interval_has_the_coverage_that_is_asked_for() -> None:
    """Student's t on the logarithm; a change known exactly is a point."""
    change = Change(0.1, 1.0, 3)
    for coverage in (0.5, 0.95, 0.99):
        half = t_quantile(3, 0.5 + coverage / 2)
        assert change.interval(coverage) == pytest.approx(
            (math.expm1(0.1 - half), math.expm1(0.1 + half))
        )
    assert Change(0.1, 0.0).interval() == (math.expm1(0.1), math.expm1(0.1))


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_change_differs_from_none_beyond_the_two_sided_quantile(sign: int) -> None:
    """One per cent beyond it, and not one per cent within."""
    for significance in (0.001, 0.05):
        bound = sign * 0.03 * t_quantile(5, 1 - significance / 2)
        assert Change(1.01 * bound, 0.03, 5).differs(significance)
        assert not Change(0.99 * bound, 0.03, 5).differs(significance)


@given(runs, st.floats(0.5, 2.0), st.integers(1, 9))
def test_more_visits_never_widen_the_interval(old: list[Estimate], new: float, visits: int) -> None:
    """The mean of more visits varies less between runs."""
    scatter = learn_scatter([old])
    few = relative_change(Estimate(new), old, scatter, visits)
    more = relative_change(Estimate(new), old, scatter, visits + 1)
    assert more.standard <= few.standard


def test_without_a_prior_the_scatter_is_that_of_the_runs() -> None:
    """An accuracy that varied by 1 % must not be taken for one that varies by 0.6 %."""
    runs = [Estimate(value) for value in (0.90, 0.91, 0.89, 0.905)]
    found = learn_scatter([runs], Prior(0.0, weight=0.0))
    logs = [math.log(run.value) for run in runs]
    assert found.relative == pytest.approx(statistics.stdev(logs))
    assert found.degrees_of_freedom == 3
    unknown = learn_scatter([[Estimate(0.9)]], Prior(0.0, weight=0.0))
    assert unknown == Scatter(0.0, math.inf, 0)


def test_what_varies_within_runs_is_no_scatter_between_them() -> None:
    """DerSimonian and Laird: the runs' own variances are taken off, and the assumption counts."""
    levels = [[1.0, 1.03, 0.98], [2.1, 2.0], [5.0]]
    relative = [[0.004, 0.012, 0.006], [0.01, 0.003], [0.5]]
    estimates = [
        [Estimate(value, value * own) for value, own in zip(values, owns, strict=True)]
        for values, owns in zip(levels, relative, strict=True)
    ]
    found = learn_scatter(estimates, Prior(0.02, weight=5))
    squares = [(len(each) - 1) * statistics.variance(map(math.log, each)) for each in levels[:2]]
    within = [(len(each) - 1) * statistics.fmean(own**2 for own in each) for each in relative[:2]]
    between = (5 * 0.02**2 + sum(squares) - sum(within)) / (5 + 3)
    assert found.relative == pytest.approx(math.sqrt(between), rel=1e-9)
    assert (found.degrees_of_freedom, found.runs) == (8, 5)


@pytest.mark.parametrize(
    ("values", "distance"),
    [
        ([1.07, 1.0, 1.002, 0.998, 1.001, 0.999, 1.0], 0.07),
        ([0.9, 1.0, 1.0, 1.0, 1.0], -0.1),
        ([1.07, 1.0, 1.002, 0.998], None),
        ([1.07, 1.0, 1.06, 0.95, 1.05, 0.96, 1.02], None),
        ([1.015, 1.0, 1.0, 1.0, 1.0, 1.0], None),
        ([1.0, 1.0, 1.07, 1.0, 1.0, 1.0], None),
    ],
    ids=["high", "low", "few others", "noisy", "near", "not the first"],
)
def test_a_first_run_far_from_the_others_is_recognized(
    values: list[float], distance: float | None
) -> None:
    """The others decide by how much they vary, and enough of them are needed."""
    found = outlying_first(values)
    assert found == (None if distance is None else pytest.approx(distance, abs=1e-3))


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_first_run_belongs_within_the_prediction_interval_of_the_others(sign: int) -> None:
    """Of 99.9 %: one per cent beyond it is far, one within is not."""
    others = [3.0, 3.06, 2.97, 3.03, 2.99]
    logs = [math.log(value) for value in others]
    bound = t_quantile(4, 0.9995) * statistics.stdev(logs) * math.sqrt(1 + 1 / 5)
    far, near = (math.exp(statistics.fmean(logs) + sign * bound * part) for part in (1.01, 0.99))
    assert outlying_first([far, *others]) == pytest.approx(math.expm1(sign * bound * 1.01))
    assert outlying_first([near, *others]) is None


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=30))
def test_the_median_change_has_the_scatter_of_the_median_distance(values: list[float]) -> None:
    """A quarter of normal values lies beyond it on each side."""
    found = median_change(sorted(values))
    median = statistics.median(values)
    distance = statistics.median(abs(value - median) for value in values)
    scatter = distance / statistics.NormalDist().inv_cdf(0.75)
    assert found.log_ratio == pytest.approx(median)
    standard = math.sqrt(math.pi / 2 / len(values)) * scatter
    assert found.standard == pytest.approx(standard, abs=1e-15)
    assert found.degrees_of_freedom == len(values) - 1


def test_a_shift_that_is_taken_off_adds_its_uncertainty() -> None:
    """Both are of other data, so that their variances are added."""
    left = Change(0.1, 0.03, 5).without(Change(0.02, 0.04, 7))
    assert left.log_ratio == pytest.approx(0.08)
    assert left.standard == pytest.approx(0.05)
    terms = [(0.03, 5), (0.04, 7)]
    assert left.degrees_of_freedom == pytest.approx(effective_degrees_of_freedom(terms))
