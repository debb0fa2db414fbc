"""Candidates that one test compares: their ratio, claims on it, and where it is shown."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from pytest_energy.testing import SimulatedNvml
from tests.plugin.conftest import QUICK, Project

PAIR = """
def test_it(energy):
    found = energy.compare(eager=lambda: work(0.1), fast=lambda: work({fast}))
    {claim}
"""
MEASURING = ("--energy", "--energy-meter=scripted", "--energy-passes=5")
SHORT = ("--energy-window=0.001",)


def run_plain(project: Project, *arguments: str) -> pytest.RunResult:
    """Run without --energy, or with the given options alone."""
    return project.pytester.runpytest_inprocess(*QUICK, "-rs", *arguments)


CLAIMS = """
FALSE = pytest.raises(AssertionError, match="false, fast")

def test_less(energy):
    found = energy.compare(eager=lambda: work(0.1), fast=lambda: work(0.088))
    assert found.saves(0.05)
    assert found.costs_at_most(0.02)
    assert not found.saves(0.15)
    with FALSE:
        assert found.saves(0.15)

def test_more(energy):
    found = energy.compare(eager=lambda: work(0.1), fast=lambda: work(0.105))
    assert found.costs_at_most(0.06)
    assert not found.costs_at_most(0.02)
    with FALSE:
        assert found.costs_at_most(0.02)
    with FALSE:
        assert found.saves(0)

def test_equal(energy):
    found = energy.compare(eager=lambda: work(0.1), fast=lambda: work(0.1))
    assert found.costs_at_most(0.01)
    with FALSE:
        assert found.saves(0.01)
    with pytest.raises(AssertionError, match="undecided"):
        assert found.saves(0)
"""


def test_a_claim_is_decided_by_the_interval(project: Project) -> None:
    """Of candidates that truly use 12 % less, 5 % more, or as much."""
    project.write(CLAIMS)
    project.run(*SHORT).assert_outcomes(passed=3)
    pairs = [item["pair"] for item in project.results()["benchmarks"] if item["pair"]]
    for pair, truth in zip(pairs, (-0.12, 0.05, 0.0), strict=True):
        assert pair["low"] <= truth <= pair["high"]
        assert pair["change"] == pytest.approx(truth)
        assert len(pair["differences"]) == 6


@pytest.mark.parametrize("claim", ["assert found.saves(0.12)", "assert not found.saves(0.12)"])
def test_an_undecided_claim_fails_whatever_was_hoped_for(project: Project, claim: str) -> None:
    """The limit lies in the interval, and the failure says that no number of blocks decides."""
    project.write(PAIR.format(fast=0.088, claim=claim))
    result = project.run(*SHORT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*UndecidedError: fast saves at least 12 %: undecided, *any number*"]
    )


def test_an_undecided_claim_says_how_many_blocks_would_decide(project: Project) -> None:
    """By the width of the interval, with the seconds that they take."""
    project.script(uncertainty=0.02)
    project.write(PAIR.format(fast=0.088, claim="assert found.saves(0.115)"))
    result = project.run(*SHORT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*UndecidedError: *; about * blocks (*s) would decide: energy.compare(…, blocks=*)"]
    )


def test_a_false_claim_says_what_was_measured(project: Project) -> None:
    """In the message of the assert."""
    project.write(PAIR.format(fast=0.088, claim="assert found.saves(0.2)"))
    project.run(*SHORT).stdout.fnmatch_lines(
        ["*assert fast saves at least 20 %: false, fast saves 12.00 % ?*? against eager"]
    )


def test_the_pair_is_in_every_output(project: Project) -> None:
    """Terminal, page, Markdown and results."""
    project.write(PAIR.format(fast=0.088, claim="assert found.ratio < 1"))
    result = project.run(*SHORT, "--energy-output=markdown:summary.md")
    result.stdout.fnmatch_lines(
        ["*vs reference*", "compared in one test (1)", "*fast saves 12.00 % ?*? against eager"]
    )
    summary = project.path("summary.md").read_text("utf-8")
    assert "### Compared in one test (1)" in summary
    assert "fast saves 12.00 %" in summary
    page = project.path(".energy/report.html").read_text("utf-8")
    section = page[page.index('id="candidates"') : page.index('id="results"')]
    assert "fast saves 12.00 %" in section
    assert "10.0000 ± 0.0029 → 8.8000 ± 0.0025 J/call" in section
    assert project.benchmark("eager")["pair"] is None


def test_each_candidate_is_a_benchmark(project: Project) -> None:
    """With units, joules a call, a baseline and a gate of its own."""
    body = (
        "def test_it(energy):\n    energy.compare(eager=lambda: work(0.1), fast=lambda: work({}),"
        " units={{'token': 4}})\n    energy.record(loss=0.5)"
    )
    project.write(body.format(0.09))
    assert project.run(*SHORT, "--energy-update", "--energy-baseline-runs=1").ret == 0
    fast = project.benchmark("fast")
    assert (fast["kind"], fast["units"]) == ("candidate", {"token": 4})
    metrics = {name: metric["value"] for name, metric in fast["metrics"].items()}
    assert metrics["energy_j"] == pytest.approx(9)
    assert metrics["energy_j_per_token"] == pytest.approx(2.25)
    assert metrics["loss"] == 0.5
    assert metrics["loss"] == project.benchmark("eager")["metrics"]["loss"]["value"]
    project.write(body.format(0.11))
    result = project.run(*SHORT)
    assert result.ret == 1
    outcomes = [project.benchmark(name)["verdict"]["outcome"] for name in ("eager", "fast")]
    assert outcomes == ["unchanged", "regressed"]
    result.stdout.fnmatch_lines(["*in this run: fast costs 10.00 % ?*? more than eager"])


def test_several_candidates_and_a_chosen_reference(project: Project) -> None:
    """Names come from a mapping, a keyword, a function, or a lambda's place."""
    project.write(
        """
def naive():
    work(0.2)

def test_it(energy):
    found = energy.compare(
        naive, {"sdpa": lambda: work(0.1)}, lambda: work(0.15), flash=lambda: 3, reference="sdpa"
    )
    assert found.reference == "sdpa"
    assert found["naive"].ratio == pytest.approx(2)
    assert found["candidate 3"].interval[0] < 1.5 < found["candidate 3"].interval[1]
    assert found["flash"].ratio is None
    assert found["flash"].returned == 3
    assert found["flash"].measurement.id.endswith("test_it::flash")
    with pytest.raises(AssertionError, match="not above 0"):
        assert found["flash"].saves(0.1)
"""
    )
    project.run(*SHORT).assert_outcomes(passed=1)


def test_blocks_can_be_asked_for(project: Project) -> None:
    """By the test, and before it by the marker; two windows of each candidate in a block."""
    body = (
        "def test_it(energy):\n    energy.compare(a=lambda: work(1), b=lambda: work(1), blocks=3)"
    )
    project.write(body)
    project.run(*SHORT)
    assert len(project.benchmark("a")["rounds"]) == 6
    project.write(f"@pytest.mark.energy(rounds=4)\n{body}")
    project.run(*SHORT)
    assert len(project.benchmark("b")["rounds"]) == 8


@pytest.mark.usefixtures("only_scripted")
@pytest.mark.parametrize(
    ("arguments", "script", "reason"),
    [
        ((), {}, "pytest runs without --energy"),
        ((*MEASURING, "--energy-meter=auto"), {"unavailable": "no card here"}, "no card here"),
        (MEASURING, {"estimated": True}, "the joules are estimated by scripted, not measured"),
    ],
    ids=["plain", "no-meter", "estimate"],
)
def test_a_claim_on_unmeasured_joules_skips_the_test(
    project: Project, arguments: tuple[str, ...], script: dict[str, Any], reason: str
) -> None:
    """It neither passes nor fails, and the reason is said."""
    project.script(**script)
    project.write(PAIR.format(fast=0.1, claim="assert found.saves(0.5)"))
    result = run_plain(project, *arguments, *(SHORT if arguments else ()))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*cannot say whether fast saves at least 50 %: {reason}"])
    if arguments:
        assert project.benchmark("fast")["pair"]["change"] is None


def test_a_test_that_skips_itself_by_unittest_leaves_no_result(project: Project) -> None:
    """As one that skips itself by pytest."""
    project.write(
        "import unittest\ndef test_it(energy):\n    energy(work, 1)\n"
        "    raise unittest.SkipTest('not today')"
    )
    project.run(*SHORT).assert_outcomes(skipped=1)
    assert project.results()["benchmarks"] == []


FLAG = """
from contextlib import contextmanager

flags = []

@contextmanager
def flag():
    flags.append(True)
    work(100.0)
    yield
    work(100.0)
    flags.pop()

def test_it(energy):
    found = energy.compare(
        off=lambda: work(0.1), on=lambda: work(0.05 if flags else 0.2), around={"on": flag}
    )
    assert flags == []
    if energy.enabled:
        assert found.ratio == pytest.approx(0.5)
"""


@pytest.mark.parametrize("arguments", [(), (*MEASURING, *SHORT)], ids=["plain", "measured"])
def test_a_candidate_runs_inside_its_context(project: Project, arguments: tuple[str, ...]) -> None:
    """In its warm-up and its windows, whose joules are without those of entering and leaving."""
    project.write(FLAG)
    run_plain(project, *arguments).assert_outcomes(passed=1)


def test_without_energy_each_body_runs_once(project: Project) -> None:
    """As a plain test, in their order."""
    project.write(
        "def test_it(energy):\n    ran = []\n"
        "    found = energy.compare(a=lambda: ran.append('a'), b=lambda: ran.append('b'))\n"
        "    assert ran == ['a', 'b']\n    assert found.ratio is None and found.interval is None"
    )
    run_plain(project).assert_outcomes(passed=1)


def test_an_invalid_candidate_fails_its_claim(project: Project) -> None:
    """With the reason."""
    project.script(faults=["throttled"])
    project.write(PAIR.format(fast=0.1, claim="assert not found.saves(0.5)"))
    result = project.run(*SHORT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*UndecidedError: *could not be measured: scripted throttled"])


MISUSES = [
    ("energy.compare(f)", "expected at least two candidates"),
    ("energy.compare()", "expected at least two candidates"),
    ("energy.compare({'a': f}, a=f)", "two candidates are called 'a'"),
    ("energy.compare(f, f)", "two candidates are called 'f'"),
    ("energy.compare(a=f, b=3)", "energy.compare(3): expected a function, got int"),
    ("energy.compare(a=f, b=f())", "energy.compare(None): expected a function"),
    ("energy.compare(a=f, b=later)", "later is a coroutine function"),
    ("energy.compare(a=f, b=lambda: later())", "returned a coroutine"),
    ("energy.compare(a=f, b=many)", "many is a generator function"),
    ("energy.compare(a=f, b=f, reference='c')", "expected the name of a candidate: a, b"),
    ("energy.compare(a=f, b=f, reference=f)", "expected the name of a candidate: a, b"),
    ("energy.compare({1: f, 2: f})", "energy.compare(1): expected a name of one line"),
    ("energy.compare({'a::b': f, 'c': f})", "expected a name of one line without '::'"),
    ("energy.compare(a=f, b=f, blocks=1)", "blocks=1): expected a whole number of at least 2"),
    ("energy.compare(a=f, b=f, units={'token': 0})", "token=0: expected a finite number"),
    ("energy.compare(a=f, b=f, synchronize=3)", "expected a function, got int"),
    ("energy.compare(a=f, b=f, around=[f])", "around=[<function f at"),
    ("energy.compare(a=f, b=f, around={'c': f})", "around['c']: expected the name of a candidate"),
    ("energy.compare(a=f, b=f, around={'a': 1})", "around['a'](1): expected a function, got int"),
    ("energy.compare(a=f, b=f).saves(5)", "saves(5): expected a share such as 0.05"),
    ("energy.compare(a=f, b=f)['a'].saves(0.1)", "a is the reference of the comparison"),
    ("energy.compare(a=f, b=f).saves(-0.1)", "saves(-0.1): expected a share"),
    ("energy.compare(a=f, b=f).costs_at_most('2')", "costs_at_most('2'): expected a share"),
    ("assert energy.compare(a=f, b=f)", "a comparison is no condition"),
    ("energy.compare(a=f, b=f)['c']", "comparison['c']: expected one of a, b"),
    ("energy.compare(a=f, b=f, c=f).ratio", "choose one: comparison['b'].ratio"),
    ("energy.compare(a=f, b=f, c=f).saves(0.1)", "it has 2 candidates beside the reference"),
    ("energy.compare(a=f, b=f)\n    energy.measurement", "comparison[name].measurement"),
]
"""What is written, and a part of the error."""
FUNCTIONS = """
import re
from pytest_energy.errors import UsageError

def f(): work(0.1)
async def later(): ...
def many(): yield
"""
REFUSED = """
def test_{number}(energy):
    with pytest.raises(UsageError, match=re.escape({message!r})):
        {body}
"""


AGAIN = "measures one benchmark a test"
OTHERS = [
    ("energy.compare(a=f, b=f)\n    energy(f)", AGAIN),
    ("energy.compare(a=f, b=f)\n    energy.compare(a=f, b=f)", AGAIN),
    ("energy(f)\n    energy.compare(a=f, b=f)", AGAIN),
    ("energy.compare(a=f, b=f)\n    energy.window('w').__enter__()", "after another measurement"),
    ("with energy.window('w'):\n        energy.compare(a=f, b=f)", AGAIN),
    ("energy.compare(a=f, b=lambda: energy(f))", AGAIN),
]


def refused(misuses: list[tuple[str, str]]) -> str:
    """A file with a test for each misuse, which expects its error."""
    tests = (
        REFUSED.format(number=number, message=message, body=body.replace("\n", "\n    "))
        for number, (body, message) in enumerate(misuses)
    )
    return FUNCTIONS + "".join(tests)


@pytest.mark.parametrize("measured", [True, False])
def test_misuse_is_refused(project: Project, measured: bool) -> None:
    """The same with and without --energy; that nothing is measured then is a warning."""
    project.write(refused(MISUSES))
    measuring = (*MEASURING, *SHORT) if measured else ()
    result = run_plain(project, "-W", "default", *measuring)
    result.assert_outcomes(passed=len(MISUSES))


def test_a_comparison_is_the_only_measurement_of_its_test(project: Project) -> None:
    """Another one is refused, before and after it and inside.

    The test fails although its body expects the refusal: a test that hid it would seem measured.
    """
    project.write(refused(OTHERS))
    result = project.run(*SHORT)
    result.assert_outcomes(failed=len(OTHERS))
    text = result.stdout.str()
    for number, (_, message) in enumerate(OTHERS):
        assert re.search(rf"^test_it\.py::test_{number}: .*{message}", text, re.MULTILINE)


PROGRAMS = """
from scripted_meter import programs, work

def test_candidates(energy):
    energy.compare(eager=lambda: work(0.1), fast=lambda: work(0.1), blocks=2)
    assert len(programs) == 8
    assert len(set(programs)) == 2
    assert programs[:4] == programs[3::-1]  # in the order ABBA

def test_a_call(energy):
    del programs[:]
    energy(work, 0.1)
    assert len(set(programs)) == 1
    assert "test_a_call" in programs[0]

def test_rounds(energy):
    del programs[:]
    energy.pedantic(work, args=(0.1,), rounds=2)
    assert len(programs) == 2
    assert len(set(programs)) == 1
    assert "test_rounds" in programs[0]

def test_windows(energy):
    del programs[:]
    for name in ("a", "b", "a"):
        with energy.window(name):
            work(0.1)
    assert programs[0] == programs[2] != programs[1]
"""


def test_the_meter_is_told_which_windows_are_of_one_program(project: Project) -> None:
    """Candidates of equal joules may end otherwise: one shows nothing of the other."""
    project.write(PROGRAMS)
    project.run(*SHORT).assert_outcomes(passed=4)


CARD = """
import time
from contextlib import contextmanager
from functools import partial
from pytest_energy.testing import Machine

def task(watts):
    with Machine.attached().load(watts):
        time.sleep(0.1)

@contextmanager
def capped(energy):
    Machine.attached().configure(power_limit_mw=500_000)
    energy.accept_settings()
    yield
    Machine.attached().configure(power_limit_mw=700_000)
    energy.accept_settings()

def test_card(energy):
    found = energy.compare(
        eager=lambda: task(400.0),
        fast=lambda: task(352.0),
        same=lambda: task(400.0),
        around={"fast": partial(capped, energy)},
        blocks=3,
    )
    assert found["fast"].saves(0.05)
    assert not found["fast"].saves(0.2)
    assert found["same"].costs_at_most(0.02)
    assert not found["same"].saves(0.02)
"""


@pytest.mark.usefixtures("forks")
def test_the_truth_lies_in_the_interval_on_a_card(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated H100 with ticks: 12 % less is found, under a power limit that the test sets.

    An equal candidate saves nothing.
    """
    pytester.makepyfile(test_it=CARD)
    machine = SimulatedNvml("hopper", virtual_clock=True, clock_read_cost_s=2e-5)
    with machine, monkeypatch.context() as patch:
        for name, value in {**os.environ, **machine.environment()}.items():
            patch.setenv(name, value)
        result = pytester.runpytest_subprocess("--energy", *QUICK)
    result.assert_outcomes(passed=1)
    benchmarks = json.loads((pytester.path / ".energy/results.json").read_text())["benchmarks"]
    pairs = {pair["candidate"]: pair for item in benchmarks if (pair := item["pair"])}
    for name, truth in {"fast": -0.12, "same": 0.0}.items():
        low, high = pairs[name]["low"], pairs[name]["high"]
        # One of twenty intervals misses the truth; none is wrong by its whole width.
        assert low - (high - low) / 2 <= truth <= high + (high - low) / 2
        assert high - low < 0.02
