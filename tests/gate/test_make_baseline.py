"""How a result becomes a baseline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.baseline import MOST_RUNS, Baseline
from pytest_energy.gate.make_baseline import (
    extend_baseline,
    facts_baseline,
    has_something_to_keep,
    round_to_uncertainty,
)
from pytest_energy.gate.schedule import ADAPTIVE
from pytest_energy.gate.verdict import judge, unconfirmed
from pytest_energy.model.measurement import MeterInfo, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result
from tests.gate_data import H200, measurement


@given(st.floats(1e-6, 1e6), st.floats(1e-9, 1e5))
def test_rounding_is_far_below_the_uncertainty(value: float, uncertainty: float) -> None:
    """It moves the value by less than a tenth of the uncertainty, and happens once."""
    rounded = round_to_uncertainty(Quantity(value=value, unit="J", uncertainty=uncertainty))
    assert abs(rounded.value - value) <= uncertainty / 10 + 1e-12 * value
    assert round_to_uncertainty(rounded).uncertainty == rounded.uncertainty


def test_an_exact_metric_keeps_every_digit() -> None:
    """A count of parameters is compared by value, so it must not be rounded."""
    counted = Quantity(value=25_557_032, unit="1", exact=True)
    assert round_to_uncertainty(counted) == counted
    result = measurement(metrics={"params": counted})
    facts = facts_baseline(result)
    assert facts is not None
    assert facts.metrics == {"params": counted}


def test_a_result_without_joules_or_counts_makes_no_baseline() -> None:
    """There is nothing in it that a later run could be compared with."""
    unmeasured = measurement(status="unmeasured", metrics={})
    assert facts_baseline(unmeasured) is None
    assert not has_something_to_keep(unmeasured)
    assert has_something_to_keep(measurement())


def extended(count: int, **last: object) -> Baseline:
    """A baseline of this many runs; ``last`` replaces values of the last one."""
    baseline = None
    for number in range(count):
        fields = last if number == count - 1 else {}
        result = measurement(1 + number / 100, **fields)
        baseline = extend_baseline(baseline, result, H200, f"c{number}")
    assert baseline is not None
    return baseline


def test_the_oldest_runs_are_dropped() -> None:
    """A file keeps a limited number of runs, newest last."""
    commits = [run.commit for run in extended(MOST_RUNS + 2).accepted]
    assert commits == [f"c{number}" for number in range(2, MOST_RUNS + 2)]


def test_runs_of_another_workload_or_kind_of_meter_do_not_continue_the_history() -> None:
    """Their variation says nothing about the new ones."""
    estimate = MeterInfo(name="codecarbon", source="model", estimated=True)
    assert len(extended(3).accepted) == 3
    assert len(extended(3, workload={"model": "other"}).accepted) == 1
    assert len(extended(3, meter=estimate, status="estimated").accepted) == 1


def test_carbon_is_not_part_of_a_baseline() -> None:
    """It changes with the grid, which no commit can change."""
    metrics = {**measurement().metrics, "co2_g": Quantity(value=1, unit="g")}
    assert extended(1, metrics=metrics).metrics.keys() == {"energy_j"}


@pytest.mark.parametrize(
    ("energy_j", "level"),
    [(445.0, [445.0]), (415.0, [415.0]), (404.0, [400.0] * 8 + [404.0])],
    ids=["beyond the tolerance", "halfway and certain", "within the scatter"],
)
def test_a_value_that_moved_begins_a_level_whatever_the_verdict(
    energy_j: float, level: list[float]
) -> None:
    """Averaged with eight runs of 400 J, one of 445 J would make the next run of 445 J fail."""
    baseline = None
    for number in range(8):
        baseline = extend_baseline(baseline, measurement(400.0), H200, f"c{number}")
    measured = measurement(energy_j)
    judged = judge(measured, baseline, None, H200, {"energy_j": 0.05}, ADAPTIVE.rule(1, 50))
    undecided = unconfirmed(judged, "seen once")
    assert undecided.outcome is not Outcome.REGRESSED
    accepted = extend_baseline(baseline, Result.of(measured, undecided), H200, "c8")
    assert [run.value for run in accepted.level("energy_j")] == level
