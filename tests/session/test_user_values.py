"""Values that a test provides."""

from __future__ import annotations

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.session.user_values import check_facts, evaluation, mean_metrics, own_metrics

WHERE = "t.py::test_a: energy.record"


@pytest.mark.parametrize("value", ["many", None, float("nan"), float("inf"), [1.0, 2.0]])
def test_a_metric_is_a_finite_number(value: object) -> None:
    """The message names the place, the metric and the value."""
    with pytest.raises(UsageError, match=r"energy\.record: 'loss' is .*: expected a finite number"):
        own_metrics({"loss": value}, WHERE)


def test_a_measured_metric_cannot_be_recorded() -> None:
    """Otherwise a test could replace its own joules."""
    with pytest.raises(UsageError, match="'energy_j' is measured"):
        own_metrics({"energy_j": 1.0}, WHERE)


def test_the_mean_is_over_the_epochs_that_have_the_metric() -> None:
    """An accuracy of every second epoch is divided by half of the epochs."""
    epochs = [{"loss": 4, "accuracy": 0.5}, {"loss": 2}]
    assert mean_metrics(epochs, WHERE) == {"accuracy": 0.5, "loss": 3.0}


def test_a_single_score_is_an_accuracy() -> None:
    """A mapping keeps its names; without an evaluation there is nothing."""
    assert evaluation(lambda: 0.9, WHERE) == {"accuracy": 0.9}
    assert evaluation(lambda: {"miou": 0.5}, WHERE) == {"miou": 0.5}
    assert evaluation(None, WHERE) == {}


@pytest.mark.parametrize(
    ("facts", "workload", "message"),
    [
        ({"flops": 8}, None, r"energy\.call\(facts=…\): 'flops' is 8: expected a Quantity"),
        (True, {"model": object()}, r"energy\.call\(workload=…\): 'model' is <object"),
        (True, [1], r"\[1\] is not a mapping"),
    ],
)
def test_what_results_cannot_hold_is_refused(facts: object, workload: object, message: str) -> None:
    """Before anything is measured."""
    check_facts("call", True, {"model": "resnet50", "shape": [1, 3]})
    with pytest.raises(UsageError, match=message):
        check_facts("call", facts, workload)
