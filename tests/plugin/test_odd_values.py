"""No name, remark or value of one benchmark costs the results of another, in any output."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import Project

ODD = """
NAMES = ["a\\udc80b", "a\\x00b", "x" * 3000, "\\x1b[31m"]

@pytest.mark.parametrize("number", range(len(NAMES)))
def test_name(energy, number):
    with energy.window(NAMES[number]):
        work(1)

@pytest.mark.parametrize("number", range(len(NAMES)))
def test_remark(energy, number):
    energy(work, 1)
    energy.remark(NAMES[number])

class Broken:
    def __repr__(self):
        raise ValueError

VALUES = [Broken(), 10 ** 5000, float("nan"), float("inf"), [1]]

@pytest.mark.parametrize("number", range(len(VALUES)))
def test_metric(energy, number):
    energy(work, 1)
    energy.record(score=VALUES[number])

def test_good(energy):
    energy(work, 1)
"""
OUTPUTS = (
    "--energy-output=markdown:summary.md",
    "--energy-output=code-quality:quality.json",
    "--energy-output=openmetrics:metrics.txt",
    "--energy-output=github-benchmark:benchmark.json",
)


def test_odd_names_and_values_cost_nothing_else(project: Project) -> None:
    """Every output is written and has the good benchmark; only the refused values fail a test."""
    project.write(ODD)
    result = project.run("--tb=line", "--junitxml=junit.xml", *OUTPUTS)
    result.assert_outcomes(passed=9, failed=5)
    assert "could not" not in result.stdout.str()
    assert project.benchmark("test_good")["status"] == "measured"
    assert len(project.results()["benchmarks"]) == 14
    for name in ("summary.md", "metrics.txt", "benchmark.json", ".energy/report.html"):
        assert "test_good" in project.path(name).read_text("utf-8"), name
    json.loads(project.path("quality.json").read_text("utf-8"))
    assert len(ElementTree.parse(project.path("junit.xml")).findall(".//testcase")) == 14


def test_a_name_without_utf8_is_no_baseline(project: Project) -> None:
    """The other benchmarks become baselines, and the next session can read them."""
    project.write(ODD)
    recording = ("--energy-update", "--energy-baseline-runs=1", "-k", "test_name or test_good")
    result = project.run(*recording)
    result.assert_outcomes(passed=5, errors=1, deselected=9)
    result.stdout.fnmatch_lines(["*cannot be a baseline*give the test or window another name*"])
    assert project.benchmark("test_good")["verdict"]["accepted"]
    assert project.run("-k", "test_good").ret == 0


@pytest.mark.parametrize("hook", ["pytest_energy_workload", "pytest_energy_identity"])
@pytest.mark.parametrize("returned", ["7", "'text'", "{1: 2}"])
def test_a_hook_that_returns_no_facts_is_named(project: Project, hook: str, returned: str) -> None:
    """One line says which hook it was, and what was expected."""
    project.write("def test_it(energy):\n    energy(work, 1)")
    project.pytester.makeconftest(f"def {hook}():\n    return {returned}")
    result = project.run()
    text = result.stdout.str() + result.stderr.str()
    assert result.ret != 0
    assert f"{hook} in a conftest.py or plugin returned" in text
    assert "INTERNALERROR" not in text
