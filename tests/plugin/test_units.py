"""Joules per unit of work, in results, tables, baselines and the gate."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.conftest import QUICK, Project


def per_token(benchmark: dict[str, Any]) -> tuple[float, float]:
    """Joules per token and tokens per joule."""
    metrics = benchmark["metrics"]
    return metrics["energy_j_per_token"]["value"], metrics["tokens_per_joule"]["value"]


@pytest.mark.parametrize(
    "call",
    [
        'energy(work, 0.01, units={"token": 4})',
        'energy.pedantic(work, (0.01,), rounds=3, units={"token": 4})',
        'energy.training(lambda: work(0.01), units={"token": 4})',
    ],
)
def test_units_of_a_pass_give_joules_per_unit(project: Project, call: str) -> None:
    """1 J for 4 tokens; the relative uncertainty is that of the joules."""
    project.write(f"def test_it(energy):\n    {call}")
    project.run().assert_outcomes(passed=1)
    benchmark = project.benchmark()
    assert per_token(benchmark) == (pytest.approx(0.25), pytest.approx(4.0))
    metrics = benchmark["metrics"]
    relative = [
        metrics[name]["uncertainty"] / metrics[name]["value"]
        for name in ("energy_j", "energy_j_per_token", "tokens_per_joule")
    ]
    assert relative == pytest.approx([relative[0]] * 3)
    assert metrics["energy_j_per_token"]["unit"] == "J/token"
    assert metrics["tokens_per_joule"]["unit"] == "token/J"


def test_units_may_be_known_only_after_the_window(project: Project) -> None:
    """Each window has its own number; joules per token are those of all tokens together."""
    project.write(
        """
def test_it(energy):
    for tokens in (100, 300):
        with energy.window("decode") as w:
            work(0.01 * tokens)
        w.units(token=tokens)
        assert w.per("token").value == pytest.approx(1.0)
    with energy.window("prefill", units={"token": 50}):
        work(1)
"""
    )
    result = project.run()
    result.assert_outcomes(passed=1)
    assert per_token(project.benchmark("decode")) == (pytest.approx(1.0), pytest.approx(1.0))
    assert per_token(project.benchmark("prefill")) == (pytest.approx(2.0), pytest.approx(0.5))
    result.stdout.fnmatch_lines(["benchmark * per unit *", "*prefill * J/token *"])


@pytest.mark.parametrize(
    ("metric", "tokens", "outcome"),
    [
        ("energy_j_per_token", 2, "regressed"),
        ("tokens_per_joule", 2, "regressed"),
        ("energy_j_per_token", 8, "improved"),
        ("tokens_per_joule", 8, "improved"),
    ],
)
def test_joules_per_unit_gate_in_their_direction(
    project: Project, metric: str, tokens: int, outcome: str
) -> None:
    """Half of the tokens for the same joules is a regression, twice as many an improvement."""

    def write(tokens: int) -> None:
        project.write(
            f"""
@pytest.mark.energy(tolerances={{"{metric}": 0.1}})
def test_it(energy):
    energy(work, 0.01, units={{"token": {tokens}}})
"""
        )

    write(4)
    assert project.run("--energy-update").ret == 0
    baseline = next(project.path("baselines").rglob("test_it.json")).read_text()
    assert baseline.count(f'"{metric}"') >= 8  # in each of the eight accepted runs
    write(tokens)
    assert project.run().ret == (outcome == "regressed")
    verdict = project.benchmark()["verdict"]
    assert verdict["outcome"] == outcome
    # What follows from the joules does not explain them.
    assert "token" not in (verdict["cause"] or "")


def test_a_call_keeps_the_facts_that_the_test_knows(project: Project) -> None:
    """A count of one call is a metric beside its joules, and exact where the test says so."""
    project.write(
        """
from pytest_energy.model.measurement import Quantity

def test_it(energy):
    energy(work, 0.01, facts={"flops": Quantity(value=8.0, unit="FLOP", exact=True)})
"""
    )
    project.run().assert_outcomes(passed=1)
    flops = project.benchmark()["metrics"]["flops"]
    assert (flops["value"], flops["unit"], flops["exact"]) == (8.0, "FLOP", True)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("energy(work, 1, units={'token': 0})", "energy: token=0: expected a finite number above"),
        ("energy(work, 1, units=512)", "energy(units=512): expected a mapping"),
        ("energy(work, 1, units={'a b': 1})", "energy: unit 'a b': expected a name"),
        ("energy(lambda units: 1, units={'token': 1})", "has a parameter units, too"),
        ("energy(lambda facts: 1, facts={})", "has a parameter facts, too"),
        ("energy.pedantic(work, (1,), units={'token': -1})", "energy.pedantic: token=-1: expected"),
        ("energy.training(work, units={'step': 'x'})", "energy.training: step='x': expected"),
        (
            "energy.window('a', units={'token': float('nan')}).__enter__()",
            "energy.window('a'): token=nan: expected",
        ),
        (
            "with energy.window('a') as w: pass\n    w.units(token=None)",
            "energy.window('a'): w.units: token=None: expected",
        ),
        (
            "with energy.window('a') as w: pass\n    w.per('token')",
            "energy.window('a'): no unit 'token'; tell it by units=",
        ),
    ],
)
def test_bad_units_are_refused(project: Project, call: str, message: str, measured: bool) -> None:
    """The error names the call, the unit and its value, with and without --energy."""
    project.write(f"def test_it(energy):\n    {call}")
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()


def test_units_of_some_windows_are_refused(project: Project) -> None:
    """A mean over the others would be wrong, and no metric at all would be silent."""
    project.write(
        """
def test_it(energy):
    for _ in range(3):
        with energy.window("decode") as w:
            work(0.01)
    w.units(token=3)
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*::decode: 1 of 3 windows have the unit 'token'*"])
