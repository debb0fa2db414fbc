"""When to measure again, and how sure each look must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.schedule import ADAPTIVE, FAMILY_ERROR, FIXED, Schedule, family_note
from pytest_energy.model.outcomes import Outcome
from tests.power.simulate import Scene, false_suites, simulate

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


def test_the_papers_protocol_looks_once() -> None:
    """Fixed rounds are judged by the plain 95 % interval and never repeated."""
    assert FIXED.rule(1).coverage == pytest.approx(0.95)
    assert not any(FIXED.goes_on(outcome, 1) for outcome in Outcome)


def test_a_suite_without_change_does_not_fail() -> None:
    """In 100 simulated suites of 50 benchmarks with 1 % scatter there is no false alarm."""
    tally = simulate(Scene(0.01, 1.0, 5), 5_000, np.random.default_rng(7))
    assert false_suites(tally) == 0
    assert tally.visits < 1.5


def test_ten_per_cent_more_are_found() -> None:
    """A true rise of 10 % at 1 % scatter is found, and costs two visits."""
    tally = simulate(Scene(0.01, 0.5, 5, 0.10), 500, np.random.default_rng(8))
    assert tally.share(Outcome.REGRESSED) > 0.99
    assert tally.visits < 2.1


def test_looking_again_does_not_find_what_is_not_there() -> None:
    """At a true change of exactly the tolerance few are called regressed, looks and all."""
    tally = simulate(Scene(0.01, 1.0, 10, 0.05), 1_000, np.random.default_rng(9))
    assert tally.share(Outcome.REGRESSED) < 0.025
    assert tally.share(Outcome.UNCHANGED) < 0.025
