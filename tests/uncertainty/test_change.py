"""The relative change between runs, and their variation."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.uncertainty.change import (
    Estimate,
    Prior,
    learn_scatter,
    outlying_first,
    pool_round_variance,
    relative_change,
    rounds_of,
)

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
    assert learn_scatter([[Estimate(0.9)]], Prior(0.0, weight=0.0)).relative == 0


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
