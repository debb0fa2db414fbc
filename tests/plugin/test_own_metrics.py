"""Metrics of a test's own: which direction is better must be known before they gate."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

BODY = """
@pytest.mark.energy(tolerances={{"{metric}": 0.05}}{better})
def test_it(energy):
    energy(work, 0.01)
    energy.record({metric}={value})
"""


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        ("items_per_joule", "", 0.5),
        ("throughput", "", 0.5),
        ("val_loss", "", 1.5),
        ("frobs", ', better={"frobs": "higher"}', 0.5),
        ("frobs", ', better={"frobs": "lower"}', 1.5),
        ("val_loss", ', better={"val_loss": "higher"}', 0.5),
    ],
)
def test_a_metric_gates_in_its_direction(
    project: Project, metric: str, better: str, worse: float
) -> None:
    """By its name, or by the marker, which wins; the other direction is an improvement."""
    project.write(BODY.format(metric=metric, better=better, value=2.0))
    assert project.run("--energy-update", "--energy-baseline-runs=1").ret == 0
    project.write(BODY.format(metric=metric, better=better, value=2.0 * worse))
    assert project.run().ret == 1
    assert project.benchmark()["verdict"]["outcome"] == "regressed"
    project.write(BODY.format(metric=metric, better=better, value=2.0 * (2 - worse)))
    assert project.run().ret == 0
    assert project.benchmark()["verdict"]["outcome"] == "improved"


@pytest.mark.parametrize(
    ("marker", "arguments", "place"),
    [
        ("tolerances={'frobs': 0.05}", (), "test_it.py::test_it: tolerances['frobs']"),
        ("rounds=1", ("--energy-tolerance=frobs=0.05",), "--energy-tolerance=frobs"),
    ],
)
def test_a_tolerance_without_a_direction_is_refused(
    project: Project, marker: str, arguments: tuple[str, ...], place: str
) -> None:
    """Before anything is measured, with the way to say it."""
    project.write(
        f"""
@pytest.mark.energy({marker})
def test_it(energy):
    print("it ran")
    energy(work, 0.01)
"""
    )
    result = project.run("-s", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{place}: nobody says whether more or less of frobs is better" in result.stderr.str()
    assert "better={'frobs': 'higher'}" in result.stderr.str()
    result.stdout.no_fnmatch_line("*it ran*")


@pytest.mark.parametrize(
    ("better", "message"),
    [
        ("'higher'", "better='higher': expected metric names and 'higher' or 'lower'"),
        ("{'frobs': 'up'}", "better['frobs']=up: expected higher or lower"),
        ("{'energy_j': 'higher'}", "better['energy_j']: the direction of this metric is fixed"),
    ],
)
def test_a_direction_that_cannot_be_is_refused(project: Project, better: str, message: str) -> None:
    """The error names metric, value and what was expected."""
    project.write(
        f"@pytest.mark.energy(better={better})\ndef test_it(energy):\n    energy(work, 0.01)"
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
