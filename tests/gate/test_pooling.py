"""Several visits, combined into one measurement."""

from __future__ import annotations

import math

import pytest

from pytest_energy.gate.pooling import (
    count_visits,
    leave_out_outlying_first,
    metrics_of_rounds,
    pool,
    split_visits,
    visit_estimates,
)
from pytest_energy.model.measurement import (
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
    Trace,
)
from pytest_energy.uncertainty.gum import effective_degrees_of_freedom, t_quantile


def visit(energy_j: float, uncertainty: float = 0.02, **fields: object) -> Measurement:
    """What one visit found."""
    values = {
        "id": "t.py::test_a",
        "kind": "inference",
        "workload": {},
        "status": "measured",
        "meter": MeterInfo(name="nvml", source="counter"),
        "metrics": {
            "energy_j": Quantity(
                value=energy_j, unit="J/pass", uncertainty=uncertainty, degrees_of_freedom=2
            ),
            "params": Quantity(value=7, unit="1", exact=True),
        },
        "rounds": [Round(start=0, duration_s=1, passes=10, energy_j=10 * energy_j)] * 3,
        **fields,
    }
    return Measurement.model_validate(values)


def test_a_single_visit_stays_as_it_is() -> None:
    """Pooling one visit changes nothing, also if its sensor's gain is in the budget."""
    assert pool([visit(1.0)]) == visit(1.0)
    energy = visit(1.0).metrics["energy_j"].model_copy(update={"budget": {"gain": 0.003}})
    between_boards = visit(1.0, metrics={"energy_j": energy})
    assert pool([between_boards]) == between_boards


def test_visits_are_averaged() -> None:
    """Two visits give their mean, a smaller uncertainty and all rounds, each with its visit."""
    pooled = pool([visit(1.0), visit(1.2)])
    energy = pooled.metrics["energy_j"]
    assert energy.value == pytest.approx(1.1)
    assert energy.uncertainty is not None
    assert energy.uncertainty < 0.02
    assert [measured.visit for measured in pooled.rounds] == [1, 1, 1, 2, 2, 2]
    assert pooled.metrics["params"] == Quantity(value=7, unit="1", exact=True)


def test_a_visit_without_joules_does_not_spoil_the_others() -> None:
    """An invalid visit is left out; why it was is still told."""
    reason = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    pooled = pool([visit(1.0), visit(9.0, status="invalid", metrics={}, reasons=[reason])])
    assert (pooled.status, pooled.metrics["energy_j"].value) == ("measured", 1.0)
    assert [(reason.code, reason.fatal) for reason in pooled.reasons] == [
        (ReasonCode.CONTENDED, False)
    ]


def test_the_mean_has_the_uncertainty_of_its_visits() -> None:
    """Terms of each visit average out, the gain of their sensor does not (GUM 5.1.2, G.4.1)."""
    standards, gains, freedoms = (0.02, 0.03, 0.01), (0.04, 0.05, 0.03), (2.0, 5.0, None)
    quantities = [
        Quantity(
            value=value,
            unit="J/pass",
            uncertainty=t_quantile(freedom or math.inf) * math.hypot(standard, gain),
            degrees_of_freedom=freedom,
            budget={"scatter": standard, "gain": gain},
        )
        for value, standard, gain, freedom in zip(
            (1.0, 1.1, 1.3), standards, gains, freedoms, strict=True
        )
    ]
    found = pool([visit(1.0, metrics={"energy_j": each}) for each in quantities])
    energy = found.metrics["energy_j"]
    terms = [
        (standard / 3, freedom or math.inf)
        for standard, freedom in zip(standards, freedoms, strict=True)
    ]
    standard = math.hypot(*(term for term, _ in terms))
    freedom = effective_degrees_of_freedom(terms)
    half = math.hypot(t_quantile(freedom) * standard, t_quantile(math.inf) * 0.04)
    assert (energy.value, energy.unit) == (pytest.approx(3.4 / 3), "J/pass")
    assert energy.uncertainty == pytest.approx(half)
    assert energy.degrees_of_freedom == pytest.approx(freedom)
    assert energy.budget == pytest.approx({"scatter": standard, "gain": 0.04})


def test_a_term_that_a_visit_does_not_have_is_zero_there() -> None:
    """The other visits' terms average out over all visits."""
    terms = [{}, {"unseen": 0.02}]
    quantities = [
        Quantity(value=1.0, unit="J/pass", uncertainty=0.1, budget=budget) for budget in terms
    ]
    found = pool([visit(1.0, metrics={"energy_j": each}) for each in quantities])
    assert found.metrics["energy_j"].budget == {"unseen": 0.01}


def test_values_that_state_no_uncertainty_have_a_mean_without_one() -> None:
    """Such as an accuracy; nothing is known of its budget either."""
    scores = [Quantity(value=value, unit="1") for value in (0.5, 0.7)]
    found = pool([visit(1.0, metrics={"accuracy": score}) for score in scores])
    assert found.metrics["accuracy"] == Quantity(value=0.6, unit="1")


def test_a_metric_that_a_visit_lacks_has_no_mean() -> None:
    """Of the others' values alone it would not be that of all visits."""
    score = {"accuracy": Quantity(value=0.5, unit="1")}
    first, last = visit(1.0), visit(1.1)
    more = [
        each.model_copy(update={"metrics": {**each.metrics, **score}}) for each in (first, last)
    ]
    assert "accuracy" not in pool([first, more[1]]).metrics
    assert "accuracy" in pool(more).metrics


def test_visits_without_any_meter_all_count() -> None:
    """Their seconds are averaged; an invalid visit among them is left out."""
    slow, fast = (
        visit(1.0, status="unmeasured", metrics={"latency_s": Quantity(value=value, unit="s")})
        for value in (3.0, 2.0)
    )
    invalid = visit(1.0, status="invalid", metrics={})
    assert pool([slow, fast, invalid]).metrics["latency_s"].value == 2.5
    assert len(pool([slow, fast, invalid]).rounds) == 6


def test_power_traces_of_all_visits_are_kept() -> None:
    """One after the other, also if a visit has none; without any there is no empty list."""
    common = {"channel": "gpu0", "source": "driver-ring", "samples": 2, "buckets": 1, "data": ""}
    traces = [Trace(start=start, **common) for start in (0, 9)]
    visits = [visit(1.0, trace=traces[:1]), visit(1.0), visit(1.0, trace=traces[1:])]
    assert pool(visits).trace == traces
    assert pool(visits[1:2]).trace is None


def remark(message: str, *, fatal: bool = True) -> Reason:
    """A remark on a visit."""
    return Reason(code=ReasonCode.CONTENDED, message=message, fatal=fatal)


def test_each_remark_is_made_once_and_fatal_if_it_was_so_in_a_visit_that_counts() -> None:
    """What spoilt a visit that is left out spoils nothing; what spoilt the only one, does."""
    spoilt = visit(9.0, status="invalid", metrics={}, reasons=[remark("a"), remark("b")])
    mild = visit(1.0, reasons=[remark("a", fatal=False)])
    severe = visit(1.0, reasons=[remark("a"), remark("c")])
    assert pool([spoilt, mild, severe]).reasons == [
        remark("a"),
        remark("b", fatal=False),
        remark("c"),
    ]
    assert pool([severe, mild]).reasons == [remark("a"), remark("c")]
    first = visit(9.0, status="invalid", metrics={}, reasons=[remark("d")])
    none_valid = pool([first, first, spoilt])
    assert none_valid.reasons == [remark("d", fatal=False), remark("a"), remark("b")]


def test_the_first_visit_is_left_out_if_it_does_not_belong_to_the_others() -> None:
    """The last one says so, after its own remarks; the others are as they were."""
    own = remark("own", fatal=False)
    first, *others = [visit(energy_j) for energy_j in (0.9, 1.0, 1.001, 0.998, 0.999)]
    others[-1] = others[-1].model_copy(update={"reasons": [own]})
    *kept, last = leave_out_outlying_first([first, *others])
    assert kept == others[:-1]
    message = "the first of 5 visits was left out: \u221210.0 % away from the mean of the others"
    assert last.metrics == others[-1].metrics
    assert last.reasons == [own, Reason(code=ReasonCode.NOTE, message=message, fatal=False)]
    assert leave_out_outlying_first(others) == others


@pytest.mark.parametrize("fields", [{"metrics": {}}, {"energy_j": 0.0}])
def test_without_joules_of_every_visit_none_is_left_out(fields: dict[str, object]) -> None:
    """Zero and nothing have no distance to the others."""
    spoilt = visit(**{"energy_j": 1.0, **fields})
    visits = [visit(1.5), *[visit(1.0)] * 4, spoilt]
    assert leave_out_outlying_first(visits) == visits


def test_rounds_are_told_apart_by_their_visit() -> None:
    """Each visit has estimates of what its rounds show, per unit of work as well."""
    measured = pool([visit(1.0), visit(1.2)]).model_copy(update={"units": {"token": 4.0}})
    assert count_visits(measured) == 2
    assert [[each.energy_j for each in rounds] for rounds in split_visits(measured)] == [
        [10.0] * 3,
        [12.0] * 3,
    ]
    per_visit = {
        "energy_j": [1.0, 1.2],
        "latency_s": [0.1, 0.1],
        "power_w": [10.0, 12.0],
        "energy_j_per_token": [0.25, 0.3],
        "tokens_per_joule": [4.0, 4 / 1.2],
        "accuracy": [],
    }
    for metric, values in per_visit.items():
        found = visit_estimates(measured, metric)
        assert [estimate.value for estimate in found] == pytest.approx(values)
    names = metrics_of_rounds(measured.rounds, measured).keys()
    assert names >= {"energy_j", "latency_s", "power_w", "energy_j_per_token", "tokens_per_joule"}
    assert metrics_of_rounds(measured.rounds, measured, "power_w").keys() == {"power_w"}


def test_a_visit_without_joules_above_zero_has_no_estimate() -> None:
    """Zero and negative values have no logarithm."""
    rounds = [
        Round(start=0, duration_s=1, passes=1, energy_j=energy_j, visit=number)
        for number, energy_j in enumerate((0.0, 1.0, -1.0), 1)
    ]
    found = visit_estimates(visit(1.0, rounds=rounds), "energy_j")
    assert [estimate.value for estimate in found] == [1.0]
