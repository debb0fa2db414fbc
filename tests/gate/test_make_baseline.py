"""How a result becomes a baseline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.gate.baseline import MOST_RUNS, AcceptedRun, Baseline
from pytest_energy.gate.make_baseline import (
    extend_baseline,
    facts_baseline,
    has_something_to_keep,
    round_to_uncertainty,
)
from pytest_energy.gate.schedule import ADAPTIVE
from pytest_energy.gate.verdict import judge, unconfirmed
from pytest_energy.model.measurement import MeterInfo, Quantity, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Verdict
from pytest_energy.model.workload import facts_workload, workload_hash
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


@pytest.mark.parametrize(
    ("quantity", "kept"),
    [
        (
            Quantity(
                value=123.456789,
                unit="J",
                uncertainty=0.12345,
                degrees_of_freedom=3.14159,
                budget={"gain": 0.0123456, "scatter": 0.06},
            ),
            Quantity(
                value=123.457,
                unit="J",
                uncertainty=0.12,
                degrees_of_freedom=3.14,
                budget={"gain": 0.012},
            ),
        ),
        (
            Quantity(value=123456.789, unit="J", uncertainty=1234.0),
            Quantity(value=123460.0, unit="J", uncertainty=1200.0),
        ),
        (Quantity(value=0.123456789, unit="1"), Quantity(value=0.123457, unit="1")),
    ],
    ids=["small", "large", "no uncertainty"],
)
def test_a_file_has_the_digits_that_the_uncertainty_supports(
    quantity: Quantity, kept: Quantity
) -> None:
    """One more of the value, so that rounding adds nothing; of the budget only the gain."""
    assert round_to_uncertainty(quantity) == kept


def last_run(**fields: object) -> AcceptedRun:
    """What a first baseline accepts of a measurement."""
    (run,) = extended(1, **fields).accepted
    return run


def test_an_accepted_run_has_its_rounds_joules_and_conditions() -> None:
    """In few digits, so that an update is a short diff."""
    rounds = [
        Round(
            start=0,
            duration_s=1,
            passes=1,
            energy_j=energy_j,
            conditions={"gpu0.temperature_c": 61.23456, "gpu0.power_limit_w": 700.0},
        )
        for energy_j in (100.04, 200.02)
    ]
    energy = Quantity(value=1.0, unit="J/pass", uncertainty=0.0125)
    run = last_run(rounds=rounds, metrics={"energy_j": energy})
    assert run == AcceptedRun(
        commit="c0",
        rounds=2,
        spent_j=300.0,
        values={"energy_j": 1.0},
        standard={"energy_j": 0.0064},
        conditions={"gpu0.temperature_c": 61.23},
    )
    assert last_run(rounds=[]).rounds == 1
    unread = [each.model_copy(update={"energy_j": None}) for each in rounds]
    assert last_run(rounds=unread).spent_j is None


def test_each_visit_is_a_run_and_the_last_has_what_rounds_do_not_show() -> None:
    """An accuracy is that of the whole test, which is accepted once."""
    rounds = [
        Round(start=0, duration_s=1, passes=10, energy_j=10 * energy_j, visit=visit)
        for visit, energy_j in ((1, 1.0), (2, 1.1), (3, 1.2))
    ]
    metrics = {**measurement(1.1).metrics, "accuracy": Quantity(value=0.9, unit="1")}
    for count in (2, 3):
        runs = extended(1, rounds=rounds[:count], metrics=metrics).accepted
        assert [run.values for run in runs] == [
            {"energy_j": pytest.approx(1 + visit / 10)} | ({"accuracy": 0.9} if last else {})
            for visit, last in ((number, number == count - 1) for number in range(count))
        ]
        assert [run.rounds for run in runs] == [1] * count


@pytest.mark.parametrize("outcome", [Outcome.UNCHANGED, Outcome.REGRESSED])
def test_the_same_run_accepted_twice_is_no_further_evidence(outcome: Outcome) -> None:
    """Whether it began a level or not; a run of another commit is one."""
    baseline = extend_baseline(None, measurement(1.0), H200, "c0")
    later = Result.of(measurement(1.2), Verdict(outcome=outcome))
    accepted = extend_baseline(baseline, later, H200, "c1")
    assert len(accepted.accepted) == 2
    assert extend_baseline(accepted, later, H200, "c1") == accepted
    assert len(extend_baseline(accepted, later, H200, "c2").accepted) == 3


@pytest.mark.parametrize(
    ("change", "low", "high", "moved"),
    [
        (0.051, None, None, True),
        (-0.051, None, None, True),
        (0.049, None, None, False),
        (0.026, 0.001, 0.051, True),
        (-0.026, -0.051, -0.001, True),
        (0.024, 0.001, 0.047, False),
        (0.026, 0.0, 0.052, False),
        (-0.026, -0.052, 0.0, False),
        (0.026, -0.001, 0.053, False),
        (None, None, None, False),
    ],
)
def test_a_level_begins_beyond_the_tolerance_or_surely_halfway(
    change: float | None, low: float | None, high: float | None, moved: bool
) -> None:
    """A metric without a change, such as a new one, has not moved."""
    metric = MetricVerdict(
        metric="energy_j",
        outcome=Outcome.UNCHANGED,
        change=change,
        low=low,
        high=high,
        tolerance=0.05,
    )
    baseline = extend_baseline(None, measurement(1.0), H200, "c0")
    verdict = Verdict(outcome=Outcome.UNCHANGED, metrics=[metric])
    accepted = extend_baseline(baseline, Result.of(measurement(1.2), verdict), H200, "c1")
    assert [run.step for run in accepted.accepted] == [False, moved]


def test_a_baseline_has_the_machine_and_what_must_agree_of_its_meter() -> None:
    """Not the tick that one session measured; without a meter there is none."""
    meter = MeterInfo(name="nvml", source="counter", tick_s=0.02, details={"ring": True})
    baseline = extended(1, meter=meter)
    assert (baseline.identity, baseline.context) == (H200.identity, H200.context)
    assert baseline.meter == MeterInfo(name="nvml", source="counter")
    assert extended(1, meter=None).meter is None


def test_exact_metrics_are_known_by_the_facts_that_they_depend_on() -> None:
    """They are the same on any data, so that another data set finds them."""
    counted = Quantity(value=25_557_032, unit="1", exact=True)
    workload = {"model": "resnet50", "data": "digits"}
    facts = facts_baseline(measurement(metrics={"params": counted}, workload=workload))
    assert facts is not None
    assert facts.workload == facts_workload(workload) == {"model": "resnet50"}
    assert facts.workload_hash == workload_hash(facts.workload)
