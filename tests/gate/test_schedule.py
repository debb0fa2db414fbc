"""When to measure again, and how sure each look must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.schedule import ADAPTIVE, FAMILY_ERROR, FIXED, Schedule, family_note
from pytest_energy.model.outcomes import Outcome
from tests.power.gates import AT_5, AT_10, UNCHANGED, judge_by_baselines, record
from tests.power.noise import Noise
from tests.power.simulate import Counted

schedules = st.builds(Schedule, visits=st.integers(1, 20))


@given(schedules, st.integers(1, 1000))
def test_all_looks_together_stay_within_the_permitted_error(
    schedule: Schedule, family: int
) -> None:
    """The error spent at each look adds up to 5 %, and for the suite to its 1 %."""
    rules = [schedule.rule(visit, family) for visit in range(1, schedule.visits + 1)]
    assert sum(1 - rule.coverage for rule in rules) == pytest.approx(0.05)
    one_sided = sum(rule.significance / 2 for rule in rules)
    assert one_sided * family == pytest.approx(FAMILY_ERROR)


@pytest.mark.parametrize(
    ("outcome", "visit", "goes_on"),
    [
        (Outcome.UNCHANGED, 1, False),
        (Outcome.IMPROVED, 1, True),
        (Outcome.IMPROVED, 2, False),
        (Outcome.REGRESSED, 1, True),
        (Outcome.REGRESSED, 2, False),
        (Outcome.INCONCLUSIVE, 1, True),
        (Outcome.INCONCLUSIVE, 9, True),
        (Outcome.INCONCLUSIVE, 10, False),
        (Outcome.NEW, 1, False),
    ],
)
def test_it_stops_when_decided(outcome: Outcome, visit: int, goes_on: bool) -> None:
    """A suspect is visited once more, an undecided one until the budget ends, others never."""
    assert ADAPTIVE.goes_on(outcome, visit) is goes_on


def test_the_rate_of_false_alarms_is_told() -> None:
    """For several figures; a single one needs no word."""
    assert family_note(1) == []
    (note,) = family_note(50)
    assert note.startswith(
        "50 figures are compared with baselines. At most 1 in 100 unchanged runs fails, if"
    )
    (note,) = family_note(50, shards=10)
    assert note.startswith("50 figures are compared with baselines, in 10 shards of this size.")
    assert family_note(2, shards=2) == [
        "2 figures are compared with baselines, in 2 shards of this size. At most 1 in 100"
        " unchanged runs fails, if later runs vary no more than those of the baselines, and each"
        " baseline has 8 runs or they vary by at most 2 %."
    ]


def test_a_schedule_of_two_visits_looks_at_a_suspect_twice() -> None:
    """And one of a single visit once."""
    assert Schedule(visits=2).goes_on(Outcome.REGRESSED, 1)
    assert not Schedule(visits=2).goes_on(Outcome.REGRESSED, 2)
    assert not Schedule(visits=1).goes_on(Outcome.REGRESSED, 1)


def test_the_rounds_of_visits_add_up() -> None:
    """The first visit may have another number of rounds than those after it."""
    schedule = Schedule(rounds=5, again=3, visits=4)
    assert [schedule.rounds_until(visit) for visit in (1, 2, 4)] == [5, 8, 14]


def test_the_papers_protocol_looks_once() -> None:
    """Fixed rounds are judged by the plain 95 % interval and never repeated."""
    assert FIXED.rule(1).coverage == pytest.approx(0.95)
    assert not any(FIXED.goes_on(outcome, 1) for outcome in Outcome)


def judged(noise: Noise, suites: int, *, take_off: bool) -> list[Counted]:
    """Simulated suites of 50 unchanged benchmarks and six changed ones."""
    recorded = [record(noise, (7, number)) for number in range(suites)]
    return [
        Counted.of("", noise.name, number, judge_by_baselines(suite, take_off=take_off))
        for number, suite in enumerate(recorded)
    ]


def test_a_calm_suite_does_not_fail_and_finds_what_rose() -> None:
    """At 1 % scatter there is no false alarm, and +10 % is found."""
    suites = judged(Noise("calm", 0.01), 4, take_off=False)
    assert not any(suite.false for suite in suites)
    assert sum(suite.inconclusive for suite in suites) < 0.02 * 4 * UNCHANGED
    assert sum(suite.found_10 for suite in suites) == 4 * AT_10
    assert sum(suite.found_5 for suite in suites) <= 0.2 * 4 * AT_5


def test_taking_the_shift_off_finds_a_rise_that_a_driver_hides() -> None:
    """A driver that saves 3 % leaves most rises of 10 % undecided, without their common part."""
    driver = Noise("driver", 0.01, today=-0.03)
    blind, seeing = (judged(driver, 4, take_off=take_off) for take_off in (False, True))
    assert sum(suite.found_10 for suite in blind) < 0.7 * 4 * AT_10
    assert sum(suite.found_10 for suite in seeing) > 0.9 * 4 * AT_10
    assert sum(suite.inconclusive for suite in seeing) < 0.05 * 4 * UNCHANGED
    assert not any(suite.false for suite in seeing)


def test_a_benchmark_alone_shares_its_chance_with_no_other() -> None:
    """Two share it by halves; an empty suite is no reason to divide by nothing."""
    alone = ADAPTIVE.rule(1)
    assert alone == ADAPTIVE.rule(1, family=1) == ADAPTIVE.rule(1, family=0)
    assert ADAPTIVE.rule(1, family=2).significance == alone.significance / 2
