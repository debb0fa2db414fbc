"""What a baseline holds of the runs that it accepted."""

from __future__ import annotations

import math
import re

import pytest
from pydantic import ValidationError

from pytest_energy.gate.baseline import (
    AcceptedRun,
    estimate_of,
    freedom_of,
    standard_within,
)
from pytest_energy.model.measurement import Quantity
from pytest_energy.uncertainty.change import Estimate
from pytest_energy.uncertainty.gum import t_quantile
from tests.gate_data import baseline_of


def run(energy_j: float, *, step: bool = False, rounds: int = 3, **values: float) -> AcceptedRun:
    """An accepted run of three rounds."""
    return AcceptedRun(
        rounds=rounds,
        step=step,
        values={"energy_j": energy_j, **values},
        standard={"energy_j": 0.02},
    )


def test_an_accepted_change_begins_a_level() -> None:
    """A new run is compared with the last level; a first run that is a step begins the first."""
    kept = baseline_of(run(1.0, step=True), run(1.1), run(2.0, step=True), run(2.1))
    levels = [[each.value for each in level] for level in kept.levels("energy_j")]
    assert levels == [[1.0, 1.1], [2.0, 2.1]]
    assert kept.level("energy_j") == [Estimate(2.0, 0.02, 2), Estimate(2.1, 0.02, 2)]
    assert kept.values("energy_j") == [2.0, 2.1]
    assert baseline_of().levels("energy_j") == [[]]


def test_a_single_round_states_its_uncertainty_itself() -> None:
    """It has no scatter with degrees of freedom; what states none is taken as exact."""
    level = baseline_of(run(1.0, rounds=1, accuracy=0.5), run(1.0, rounds=2)).level
    assert level("energy_j") == [Estimate(1.0, 0.02, math.inf), Estimate(1.0, 0.02, 1)]
    assert level("accuracy") == [Estimate(0.5, 0.0, math.inf)]


def test_runs_without_a_metric_above_zero_have_no_logarithm() -> None:
    """Zero and negative values are kept as values, and a run that lacks the metric is not."""
    kept = baseline_of(run(1.0, loss=0.0), run(1.0), run(1.0, loss=-0.5), run(1.0, loss=0.25))
    assert [each.value for each in kept.level("loss")] == [0.25]
    assert kept.values("loss") == [0.0, -0.5, 0.25]


def test_the_seconds_of_a_round_are_the_median_of_the_runs_that_tell_them() -> None:
    """Joules by watts, by the rounds; runs without joules or watts tell nothing."""
    runs = [
        AcceptedRun(rounds=rounds, spent_j=spent_j, values=values)
        for rounds, spent_j, values in [
            (2, 1200.0, {"power_w": 100.0}),
            (4, 1200.0, {"power_w": 100.0}),
            (1, 100.0, {"power_w": 100.0}),
            (1, None, {"power_w": 100.0}),
            (1, 100.0, {"power_w": 0.0}),
            (1, 100.0, {}),
        ]
    ]
    assert baseline_of(*runs).round_s == 3.0
    assert baseline_of(*runs[3:]).round_s is None
    assert baseline_of(AcceptedRun(spent_j=1.0, values={"power_w": 0.5})).round_s == 2.0


def test_values_that_no_run_can_have_had_are_all_named() -> None:
    """As a merge or an editor may leave them, in the newest values and in those of each run."""
    negative = Quantity(value=-1.0, unit="J/pass")
    with pytest.raises(ValidationError) as caught:
        baseline_of(run(-2.0), run(1.0, latency_s=-3.0), metrics={"energy_j": negative})
    assert re.findall(r"(accepted: )?(\w+): (-\d)", str(caught.value)) == [
        ("", "energy_j", "-1"),
        ("accepted: ", "energy_j", "-2"),
        ("accepted: ", "latency_s", "-3"),
    ]


def test_values_that_are_too_large_to_be_compared_are_named() -> None:
    """Their fourth power is no number; so it is with an uncertainty."""
    spoilt = AcceptedRun(values={"energy_j": 1.0}, standard={"energy_j": 1e61})
    with pytest.raises(ValidationError, match=r"accepted: energy_j: 1\.0 is too large"):
        baseline_of(spoilt)


def test_a_unit_that_the_metric_cannot_have_is_named_once() -> None:
    """By the newest values, which state it; the runs do not."""
    kilojoules = Quantity(value=1.0, unit="kJ/pass")
    with pytest.raises(ValidationError, match="unit 'kJ/pass' found, 'J' expected") as caught:
        baseline_of(run(1.0), run(1.0), metrics={"energy_j": kilojoules})
    assert str(caught.value).count("unit 'kJ/pass'") == 1


def test_a_baseline_of_nothing_is_refused() -> None:
    """Every later run would look new beside it."""
    with pytest.raises(ValidationError, match="metrics: a baseline of nothing; remove the file"):
        baseline_of(metrics={})


def test_the_gain_of_the_sensor_is_no_uncertainty_within_a_run() -> None:
    """All runs on a board share it, so it is taken off; without an uncertainty there is none."""
    quantity = Quantity(
        value=2.0,
        unit="J",
        uncertainty=t_quantile(4) * 0.5,
        degrees_of_freedom=4,
        budget={"gain": 0.3, "scatter": 0.4},
    )
    assert standard_within(quantity) == pytest.approx(0.4)
    assert estimate_of(quantity) == Estimate(2.0, standard_within(quantity), 4)
    assert standard_within(quantity.model_copy(update={"budget": {"gain": 0.6}})) == 0
    assert standard_within(quantity.model_copy(update={"budget": {}})) == pytest.approx(0.5)
    bare = Quantity(value=2.0, unit="J", budget={"gain": 0.3})
    assert (standard_within(bare), freedom_of(bare)) == (0.0, math.inf)
