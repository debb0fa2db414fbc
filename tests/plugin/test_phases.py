"""The outcome of a test decides what becomes of its measurement, whatever runs the test."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import QUICK, Project

UPDATE = ("--energy-update", "--energy-baseline-runs=1")
CASE = """
import unittest
class TestModel(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _energy(self, energy):
        self.energy = energy
    def test_it(self):
        self.energy(work, 0.01)
        {then}
"""
FAILING = {
    "the body": "def test_it(energy):\n    energy(work, 0.01)\n    assert False",
    "a subtest": "def test_it(energy, subtests):\n    energy(work, 0.01)\n"
    "    with subtests.test('size'):\n        assert False",
    "a teardown": "@pytest.fixture\ndef served(energy):\n    yield\n    assert False\n"
    "def test_it(energy, served):\n    energy(work, 0.01)",
    "a method of a TestCase": CASE.format(then="self.fail('no')"),
    "a subtest of a TestCase": CASE.format(then="with self.subTest(size=1): self.fail('no')"),
    "the tearDown of a TestCase": CASE.format(then="self.addCleanup(self.fail, 'no')"),
}


UNMEASURED = "import pytest\n" + CASE.replace(
    "self.energy(work, 0.01)", "self.energy.record(score=1)"
)
UNMEASURED_FAILING = {
    "a subtest": "def test_it(energy, subtests):\n    energy.record(score=1)\n"
    "    with subtests.test('size'):\n        assert False",
    "a subtest of a TestCase": UNMEASURED.format(
        then="with self.subTest(size=1): self.assertTrue(False)"
    ),
}


@pytest.mark.parametrize("failing", UNMEASURED_FAILING)
def test_a_failed_test_is_not_refused_as_well(pytester: pytest.Pytester, failing: str) -> None:
    """Without --energy, a test whose subtest fails may have left its measurement out for that."""
    pytester.makepyfile(UNMEASURED_FAILING[failing])
    failed = pytester.runpytest_inprocess(*QUICK)
    failed.stdout.no_fnmatch_line("*measures nothing*")
    assert failed.ret == pytest.ExitCode.TESTS_FAILED
    pytester.makepyfile(UNMEASURED_FAILING[failing].replace("False", "True"))
    refused = pytester.runpytest_inprocess(*QUICK)
    refused.stdout.fnmatch_lines(["*energy.record(score=…) in a test that measures nothing*"])


@pytest.mark.parametrize("body", FAILING.values(), ids=list(FAILING))
def test_nothing_of_a_failed_test_is_accepted(project: Project, body: str) -> None:
    """Its measurement stays in the results with a remark, and it is not measured again."""
    project.write(body)
    result = project.run("--energy-update", "--energy-baseline-runs=3")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    benchmark = project.benchmark()
    assert benchmark["status"] == "measured"
    assert [reason["code"] for reason in benchmark["reasons"]] == ["test-failed"]
    assert {measured.get("visit", 1) for measured in benchmark["rounds"]} == {1}
    assert not project.path("baselines").exists()
    assert "recording" not in result.stdout.str()


def test_a_method_of_a_testcase_is_gated(project: Project) -> None:
    """Recorded at 100 W, regressed at 150 W."""
    project.write(CASE.format(then="pass"))
    assert project.run(*UPDATE).ret == 0
    project.script(power_w=150.0)
    result = project.run("--energy-protocol=fixed")
    result.assert_outcomes(failed=1)
    assert project.benchmark()["verdict"]["outcome"] == "regressed"


def test_a_skipped_method_of_a_testcase_leaves_nothing(project: Project) -> None:
    """As a function that skips itself."""
    project.write(CASE.format(then="self.skipTest('enough')"))
    project.run().assert_outcomes(skipped=1)
    assert project.results()["benchmarks"] == []


def test_an_expected_failure_may_be_that_of_the_verdict(project: Project) -> None:
    """``xfail`` covers a regression as it covers an assertion."""
    test = "def test_it(energy):\n    energy(work, 0.01)"
    project.write(test)
    assert project.run(*UPDATE).ret == 0
    project.script(power_w=150.0)
    project.write(f"@pytest.mark.xfail(reason='known')\n{test}")
    project.run("--energy-protocol=fixed").assert_outcomes(xfailed=1)


WIDE = """
import pytest
from scripted_meter import work
from conftest import loaded
@pytest.fixture(scope="module", params=["small", "large"])
def model(request, weights):
    loaded.append(request.param)
@pytest.fixture(scope="class")
def head():
    loaded.append("head")
def test_model(energy, model): energy(work, 0.01)
class TestHead:
    def test_head(self, energy, head): energy(work, 0.01)
def test_weights(energy, weights): energy(work, 0.01)
"""
LOADED = """
import pytest
loaded = []
@pytest.fixture(scope="session")
def weights():
    loaded.append("weights")
    yield
    assert loaded == ["weights", *2 * ["small", "large", "head"]]
"""


def test_wider_fixtures_are_made_once(project: Project) -> None:
    """Three visits of each benchmark load each model once, and what the session shares once."""
    project.pytester.makepyfile(test_one=WIDE, test_two=WIDE)
    project.pytester.makeconftest(LOADED)
    result = project.run("--energy-update", "--energy-baseline-runs=3")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["*8 passed, 16 recording*"])
