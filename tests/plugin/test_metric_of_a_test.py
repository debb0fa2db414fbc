"""Metrics of a test's own that say their unit, direction and uncertainty."""

from __future__ import annotations

import pytest

from pytest_energy import Metric
from pytest_energy.errors import UsageError
from tests.plugin.conftest import MEASURING, QUICK, Project

UPDATE = ("--energy-update", "--energy-baseline-runs=1")


def test_a_metric_says_what_it_is(project: Project) -> None:
    """Unit, uncertainty and direction are in the results."""
    project.write(
        """
from pytest_energy import Metric

def test_it(energy):
    energy(work, 0.01)
    energy.record(Metric("frobs", 3.1, unit="frob/J", better="higher", uncertainty=0.1), wups=2)
"""
    )
    project.run().assert_outcomes(passed=1)
    benchmark = project.benchmark()
    frobs = benchmark["metrics"]["frobs"]
    assert (frobs["value"], frobs["unit"], frobs["uncertainty"]) == (3.1, "frob/J", 0.1)
    assert benchmark["metrics"]["wups"]["value"] == 2
    assert benchmark["better"] == {"frobs": "higher"}


def test_what_a_window_records_belongs_to_it(project: Project) -> None:
    """As the mean over its uses; what is recorded outside belongs to the test."""
    project.write(
        """
from pytest_energy import Metric

def test_it(energy):
    for loss in (1.0, 2.0):
        with energy.window("train"):
            work(0.01)
            energy.record(Metric("loss", loss, uncertainty=loss / 10))
    for w in energy.repeat("decode", seconds=0.001):
        work(0.01)
        energy.record(depth=3)
"""
    )
    project.run().assert_outcomes(passed=1)
    train, decode = project.benchmark("train"), project.benchmark("decode")
    assert (train["metrics"]["loss"]["value"], train["metrics"]["loss"]["uncertainty"]) == (
        1.5,
        0.2,
    )
    assert "depth" not in train["metrics"]
    assert "loss" not in decode["metrics"]
    assert decode["metrics"]["depth"]["value"] == 3


GATED = """
@pytest.mark.energy(tolerances={{"reward": 0.1}}, better={{"reward": "higher"}})
def test_it(energy):
    energy(work, 0.01)
    energy.record(reward={value})
"""


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0.0, 0.0, "unchanged"),
        (0.0, 0.5, "improved"),
        (0.0, -0.5, "regressed"),
        (-2.0, -2.1, "unchanged"),
        (-2.0, -2.5, "regressed"),
        (-2.0, -1.0, "improved"),
        (-2.0, 3.0, "improved"),
        (2.0, -3.0, "regressed"),
    ],
)
def test_zero_and_negative_values_are_compared_by_their_difference(
    project: Project, before: float, after: float, outcome: str
) -> None:
    """They are never new for ever; a change is a share of the baseline's absolute value."""
    project.write(GATED.format(value=before))
    assert project.run(*UPDATE).ret == 0
    project.write(GATED.format(value=after))
    result = project.run()
    assert result.ret == (outcome == "regressed")
    if outcome == "regressed":
        result.stdout.fnmatch_lines(["  reward: * → *"])
    (reward,) = [
        verdict
        for verdict in project.benchmark()["verdict"]["metrics"]
        if verdict["metric"] == "reward"
    ]
    assert (reward["outcome"], reward["baseline"]) == (outcome, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 1.0), "Metric('', …): expected a name"),
        (("a", float("nan")), "Metric('a', …): value=nan: expected a finite number"),
        (("a", "3"), "value='3': expected a finite number"),
        (("a", 1.0, ""), "unit='': expected a unit"),
        (("a", 1.0, "1", "up"), "better='up': expected 'higher', 'lower' or None"),
        (("accuracy", 1.0, "1", "lower"), "better='lower': expected 'higher', which is fixed"),
        (("a", 1.0, "1", None, -1), "uncertainty=-1: expected a finite number of at least 0"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(arguments: tuple[object, ...], message: str) -> None:
    """When it is made, so the same with and without --energy."""
    with pytest.raises(UsageError) as refused:
        Metric(*arguments)  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ("3.1", "energy.record(3.1): expected a Metric, such as"),
        ("Metric('a', 1), a=2", "energy.record: 'a' twice in one call"),
        ("Metric('energy_j', 1)", "'energy_j' is measured; give the metric another name"),
        ("Metric('up', 1, better='lower')", "'up' has better='lower' here, and 'higher'"),
    ],
)
@pytest.mark.parametrize("measured", [True, False])
def test_a_record_that_cannot_be_is_refused(
    project: Project, recorded: str, message: str, measured: bool
) -> None:
    """The error names metric and value, the same with and without --energy."""
    project.write(
        f"""
from pytest_energy import Metric

@pytest.mark.energy(better={{"up": "higher"}})
def test_it(energy):
    energy(work, 0.01)
    energy.record({recorded})
"""
    )
    arguments = MEASURING if measured else QUICK
    result = project.pytester.runpytest_inprocess(*arguments)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()
