"""Two revisions in alternation: from blocks to outcomes."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma, polygamma

from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.gum import t_quantile
from pytest_energy.uncertainty.pairs import (
    LOOKS,
    MOST_PRIOR_FREEDOM,
    WITHIN_REASON,
    PairLook,
    SuiteVariance,
    error_share,
    fit_suite_variance,
    further_blocks,
    look,
    looks_until,
    smallest_change,
)

CALM = [0.001, -0.002, 0.0015, -0.0005]


def look_at(
    blocks: list[float], tolerance: float = 0.05, most_blocks: int = 24, *, final: bool = False
) -> PairLook:
    """One benchmark beside others that scatter alike."""
    suite = {f"other{number}": [value * (1 + number / 9) for value in CALM] for number in range(5)}
    tolerances = dict.fromkeys([*suite, "it"], tolerance)
    return look({**suite, "it": blocks}, tolerances, most_blocks=most_blocks, final=final)["it"]


def test_no_change_is_decided_after_two_blocks() -> None:
    """The interval lies inside the tolerance."""
    found = look_at([0.001, -0.001])
    assert (found.outcome, found.blocks) == (Outcome.UNCHANGED, 2)
    assert found.low < found.change < found.high


def test_a_rise_is_not_called_one_before_four_blocks() -> None:
    """Until then it is measured on; then the change is regressed."""
    blocks = [math.log(1.1) + value for value in CALM]
    assert [look_at(blocks[:count]).outcome for count in (2, 3, 4)] == [
        None,
        None,
        Outcome.REGRESSED,
    ]


@given(st.floats(0.7, 1.4), st.floats(0.001, 0.05), st.integers(1, 50), st.sampled_from([24, 48]))
def test_as_many_further_blocks_as_are_named_decide(
    ratio: float, scatter: float, family: int, most_blocks: int
) -> None:
    """The change and the scatter of a block stay what they are; one look before, none decides."""
    found = PairLook(None, ratio - 1, 0.0, 0.0, 4, scatter / 2, 3)
    wanted = further_blocks(found, 0.05, family, most_blocks)
    limits = max(most_blocks, WITHIN_REASON)
    assert wanted is None or 4 < 4 + wanted <= limits
    assert (wanted is None) <= (abs(ratio - 1) < 0.05 + 10 * scatter)
    calmer = replace(found, standard=found.standard / 4)
    sooner = further_blocks(calmer, 0.05, family, most_blocks)
    if wanted is not None and not 0.9 < ratio < 1.1:  # a calm look may show it is within 5 %
        assert sooner is not None
        assert sooner <= wanted


def test_a_change_at_the_tolerance_is_decided_by_no_number_of_blocks() -> None:
    """It is proven, but the estimate lies on neither side; a calm benchmark needs no block more."""
    assert further_blocks(PairLook(None, 0.05, 0.0, 0.1, 4, 0.05, 3), 0.05, 1) is None
    assert further_blocks(PairLook(None, 0.2, 0.1, 0.3, 4, 0.001, 3), 0.05, 1) == LOOKS[3] - 4


def test_a_fall_is_improved() -> None:
    """The same the other way."""
    assert look_at([math.log(0.9) + value for value in CALM]).outcome is Outcome.IMPROVED


def test_a_proven_rise_inside_the_tolerance_is_unchanged() -> None:
    """+3 % with a tolerance of 5 % is accepted, however sure it is."""
    assert look_at([math.log(1.03) + value for value in CALM]).outcome is Outcome.UNCHANGED


def test_what_stays_open_is_inconclusive_at_the_end() -> None:
    """Not before: until then there are blocks left."""
    blocks = [0.05, -0.06, 0.09, -0.02]
    assert look_at(blocks).outcome is None
    assert look_at(blocks, most_blocks=4).outcome is Outcome.INCONCLUSIVE


def test_between_looks_nothing_is_decided() -> None:
    """Looking more often than planned would spend error that nobody counted."""
    assert look_at([0.0005, -0.001] * 3 + [0.0]).outcome is None


def test_where_a_limit_ends_it_each_benchmark_has_its_last_look() -> None:
    """Between two looks as well: what is clear is decided, and the rest is inconclusive."""
    rise = [math.log(1.1) + value for value in [*CALM, *CALM[1:]]]
    assert look_at(rise).outcome is None
    assert look_at(rise, final=True).outcome is Outcome.REGRESSED
    open_still = [0.05, -0.06, 0.09, -0.02, 0.08, -0.07, 0.01]
    assert look_at(open_still, final=True).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("sign", [-1, 1])
def test_an_interval_that_leaves_the_tolerance_is_undecided(sign: int) -> None:
    """On either side: 4.8 % ± 0.4 % are not within 5 %."""
    found = look_at([math.log1p(sign * 0.048) + value for value in (0.0015, -0.0015)])
    assert found.low < sign * 0.05 < found.high
    assert found.outcome is None


@given(st.integers(2, 200))
def test_the_looks_spend_the_permitted_error_once(most_blocks: int) -> None:
    """Over all looks together all of it, whatever the limit is; the last block is one of them."""
    looks = looks_until(most_blocks)
    assert looks == sorted({*looks})
    assert looks[-1] == most_blocks
    spent = math.fsum(error_share(count, looks) for count in looks)
    assert spent == pytest.approx(1.0 if most_blocks >= 4 else 0.0)


@given(st.integers(2, 200), st.data())
def test_a_look_where_time_ends_spends_no_more(most_blocks: int, data: st.DataObject) -> None:
    """Those before it and itself spend what its number of blocks is of the permitted one."""
    ended = data.draw(st.integers(2, most_blocks))
    looks = looks_until(most_blocks)
    before = math.fsum(error_share(count, looks) for count in looks if count < ended)
    spent = before + error_share(ended, looks)
    assert spent == pytest.approx(ended / most_blocks if ended >= 4 else 0.0)


def test_the_usual_limit_has_the_looks_of_the_study() -> None:
    """Those that the tables of false alarms were made with."""
    assert looks_until(24) == list(LOOKS)


def test_later_looks_are_eight_blocks_apart() -> None:
    """Beyond the usual limit, and the last is at the new one."""
    assert looks_until(40) == [*LOOKS, 32, 40]
    assert looks_until(50) == [*LOOKS, 32, 40, 48, 50]


@given(st.lists(st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=6), max_size=8))
def test_the_suite_counts_for_at_most_eight(suite: list[list[float]]) -> None:
    """However alike the benchmarks are; a variance is never negative."""
    fitted = fit_suite_variance(suite)
    assert 0 <= fitted.degrees_of_freedom <= MOST_PRIOR_FREEDOM
    assert fitted.variance >= 0


def test_the_suite_s_variance_is_learnt() -> None:
    """Benchmarks that scatter alike give their common variance, and it counts for much."""
    rng = np.random.default_rng(3)
    fitted = fit_suite_variance(rng.normal(0, 0.01, (200, 4)).tolist())
    assert math.sqrt(fitted.variance) == pytest.approx(0.01, rel=0.1)
    assert fitted.degrees_of_freedom == MOST_PRIOR_FREEDOM
    unequal = [row * 10 ** rng.uniform(-1, 1) for row in rng.normal(0, 0.01, (200, 4))]
    assert fit_suite_variance([row.tolist() for row in unequal]).degrees_of_freedom < 3


def test_three_benchmarks_that_scatter_make_a_suite() -> None:
    """Two blocks show a scatter; one block, or blocks that agree to the last digit, do not."""
    three = [[0.01, -0.01], [0.03, 0.01, 0.02], [-0.02, 0.02]]
    nothing = [[0.5], [], [0.25, 0.25]]
    fitted = fit_suite_variance(three)
    assert fitted.degrees_of_freedom > 0
    assert fit_suite_variance([*nothing, *three]) == fitted
    assert fit_suite_variance([*nothing, *three[:2]]) == SuiteVariance()


def test_a_suite_that_scatters_unequally_has_the_moments_of_its_benchmarks() -> None:
    """Smyth 2004, 6.2, by the expected mean and variance of a logarithm of a variance."""
    draw = np.random.default_rng(7)
    sizes = [4 + number % 3 for number in range(40)]
    suite = [draw.normal(0, 0.01 * 2.0 ** draw.normal(), size).tolist() for size in sizes]
    fitted = fit_suite_variance(suite)
    assert 0.5 < fitted.degrees_of_freedom < MOST_PRIOR_FREEDOM
    halves = np.array([(size - 1) / 2 for size in sizes])
    logs = np.log([statistics.variance(blocks) for blocks in suite])
    logs -= digamma(halves) - np.log(halves)
    prior = fitted.degrees_of_freedom / 2
    excess = logs.var(ddof=1) - polygamma(1, halves).mean()
    assert polygamma(1, prior) == pytest.approx(excess)
    location = logs.mean() + digamma(prior) - math.log(prior)
    assert fitted.variance == pytest.approx(math.exp(location))


def test_a_lonely_benchmark_stands_by_itself() -> None:
    """Without a suite it is Student's t."""
    blocks = [0.01, 0.03, 0.02]
    found = look({"it": blocks}, {"it": 0.05})["it"]
    assert found.degrees_of_freedom == 2
    assert found.standard == pytest.approx(statistics.stdev(blocks) / math.sqrt(3))


def simulate(scatter: float, change: float, rng: np.random.Generator) -> Counter[Outcome | None]:
    """The outcomes of a suite of 50 whose benchmarks all changed by as much."""
    blocks = rng.normal(math.log1p(change), scatter * math.sqrt(2), (50, LOOKS[-1])).tolist()
    outcomes: dict[str, Outcome | None] = {}
    seen: dict[str, list[float]] = {}
    for count in LOOKS:
        for number, row in enumerate(blocks):
            if str(number) not in outcomes:
                seen[str(number)] = row[:count]
        looks = look(seen, dict.fromkeys(seen, 0.05), family=50)
        outcomes |= {
            name: found.outcome
            for name, found in looks.items()
            if name not in outcomes and found.outcome is not None
        }
    return Counter(outcomes.values())


def test_suites_without_change_do_not_fail_and_rises_are_found() -> None:
    """Twenty suites of 50 at 2 % scatter: no false alarm, each +10 % found, nothing left open."""
    rng = np.random.default_rng(4)
    calm = sum((simulate(0.02, 0.0, rng) for _ in range(20)), Counter())
    assert calm == {Outcome.UNCHANGED: 1000}
    risen = sum((simulate(0.02, 0.10, rng) for _ in range(4)), Counter())
    assert risen == {Outcome.REGRESSED: 200}


@pytest.mark.parametrize(("scatter", "tolerance"), [(0.005, 0.05), (0.03, 0.05), (0.02, 0.01)])
def test_the_smallest_change_is_called_one_in_95_of_100(scatter: float, tolerance: float) -> None:
    """Simulated: a rise of that size is regressed about as often as it says, and half of it less.

    One benchmark alone, so that its own scatter is all that is known.
    """
    draw = np.random.default_rng(5)
    blocks = 8
    calm = draw.normal(0.0, 1.0, blocks)
    calm = scatter * (calm - calm.mean()) / calm.std(ddof=1)
    known = look({"it": list(calm)}, {"it": tolerance}, most_blocks=blocks)["it"]
    rise = smallest_change(known, tolerance, family=1, most_blocks=blocks)
    assert rise is not None
    assert rise > tolerance

    def share(change: float, repeats: int = 400) -> float:
        samples = draw.normal(math.log1p(change), scatter, (repeats, blocks))
        found = [look({"it": list(s)}, {"it": tolerance}, most_blocks=blocks) for s in samples]
        return sum(entry["it"].outcome is Outcome.REGRESSED for entry in found) / repeats

    assert share(rise) > 0.90
    assert share(rise / 2) < 0.85


def test_more_blocks_show_smaller_changes() -> None:
    """Down to the tolerance, below which nothing is called a change; three blocks show none."""
    found = look_at([0.03, -0.02, 0.01, -0.02])
    rises = [smallest_change(found, 0.05, 50, blocks) for blocks in (3, 4, 8, 24)]
    assert rises[0] is None
    seen = [rise for rise in rises if rise is not None]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > seen[-1] > 0.05


@pytest.mark.parametrize("family", [1, 2, 50])
@pytest.mark.parametrize(("permitted", "looks"), [(4, [4]), (6, [4, 5, 6]), (None, [4, 5, 6, 8])])
@pytest.mark.parametrize("tolerance", [0.001, 0.05])
def test_the_smallest_change_is_that_of_the_best_look(
    family: int, permitted: int | None, looks: list[int], tolerance: float
) -> None:
    """Beyond the tolerance and proven, in 95 of 100 cases, if blocks scatter as so far."""
    found = PairLook(None, 0.0, 0.0, 0.0, 5, 0.01, 3.5)
    rises = []
    for blocks in looks:
        standard, freedom = 0.01 * math.sqrt(5 / blocks), 3.5 + blocks - 5
        error = 0.01 / family * error_share(blocks, looks_until(8))
        missed = t_quantile(freedom, 0.95) * standard
        proven = t_quantile(freedom, 1 - error) * standard
        rises.append(math.expm1(max(math.log1p(tolerance), proven) + missed))
    rise = smallest_change(found, tolerance, family, most_blocks=8, permitted=permitted)
    assert rise == pytest.approx(min(rises))
