"""No name, remark or value of one benchmark costs the results of another, in any output.

More of it: ``VALUE_FUZZ_EXAMPLES=200 pytest tests/plugin/test_odd_values.py``.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.plugin.conftest import Project
from tests.texts import CHARACTERS

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
ENDS = """
import json
from pathlib import Path
ends = {}
def pytest_runtest_logreport(report):
    ends.setdefault(report.nodeid, "")
    if report.failed:
        ends[report.nodeid] += report.longreprtext
def pytest_sessionfinish():
    Path("ends.json").write_text(json.dumps(ends))
"""
"""Writes how each test has failed; an empty text for one that has passed."""
RECORDING = ("--energy-update", "--energy-baseline-runs=1")
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


EXAMPLES = int(os.environ.get("VALUE_FUZZ_EXAMPLES", "2"))
"""Sessions of the test below."""
CASES = 40
"""Tests of such a session."""
DRAWN = """
import pickle
from pathlib import Path

CASES = pickle.loads(Path(__file__).with_name("cases.pickle").read_bytes())

def use(energy, use, name, value):
    if use == "window":
        with energy.window(name):
            work(1)
        return
    if use == "fact":
        energy.describe(**{name: value})
    energy(work, 1, units={name: value} if use == "unit" else None)
    if use == "metric":
        energy.record(**{name: value})
    if use == "remark":
        energy.remark(name)

@pytest.mark.parametrize("case", CASES, ids=[name for _, name, _ in CASES])
def test_drawn(energy, case):
    use(energy, *case)

def test_good(energy):
    energy(work, 1)
"""
NAMES = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.text(st.characters(categories=["Cs", "Cc", "Lo", "So", "Zl"]), min_size=1, max_size=4),
    st.from_regex(r"[a-z_]{1,12}", fullmatch=True, alphabet=CHARACTERS),
    st.sampled_from(
        ["energy_j", "a::b", "a/b", "../b", "a,b", "<b>", "| a |", "`", "'\"", "x" * 5000]
    ),
)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())
VALUES = st.one_of(
    NUMBERS,
    NUMBERS.map(np.asarray).map(lambda array: array[()]),  # NumPy's scalars
    st.floats(width=32).map(np.float32),
    st.sampled_from(
        [10**400, -0.0, 5e-324, 1.7e308, Decimal("0.1"), Fraction(1, 3), 1j, None, b"b", [1], "a"]
    ),
    st.text(CHARACTERS, max_size=6),
)
USES = st.sampled_from(["window", "metric", "metric", "fact", "unit", "remark"])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # an example is a session: a smaller one takes many
)
@given(st.lists(st.tuples(USES, NAMES, VALUES), min_size=CASES, max_size=CASES, unique_by=repr))
def test_drawn_names_and_values_cost_nothing_else(
    project: Project, cases: list[tuple[str, str, Any]]
) -> None:
    """Each use is refused in a sentence, or its result is in the results and all other outputs."""
    project.write(DRAWN)
    project.path("cases.pickle").write_bytes(pickle.dumps(cases))
    project.pytester.makeconftest(ENDS)
    project.run("--tb=short", "--junitxml=junit.xml", *RECORDING, *OUTPUTS)
    ends = json.loads(project.path("ends.json").read_text())
    measured = [result["id"] for result in project.results()["benchmarks"]]
    assert len(ends) == CASES + 1
    for test_id, text in ends.items():
        if text:
            assert "UsageError" in text or "cannot be a baseline" in text, text
            assert not re.search(r"^\S*pytest_energy/\S+:\d+: ", text, re.MULTILINE), text
        else:
            assert any(name.startswith(test_id) for name in measured), test_id
    check_outputs(project)
    assert project.benchmark("test_good")["verdict"]["accepted"]
    project.run("--tb=short", "--junitxml=junit.xml", *OUTPUTS)
    check_outputs(project)
    assert project.benchmark("test_good")["verdict"]["outcome"] == "unchanged"


def check_outputs(project: Project) -> None:
    """Each can be read by what it is for, and has the good benchmark."""
    for name in ("summary.md", "metrics.txt", "benchmark.json", ".energy/report.html"):
        assert "test_good" in project.path(name).read_text("utf-8"), name
    for name in ("quality.json", "benchmark.json"):
        json.loads(project.path(name).read_text("utf-8"))
    exposition = project.path("metrics.txt").read_bytes().decode()  # with its carriage returns
    assert list(text_string_to_metric_families(exposition))
    cases = ElementTree.parse(project.path("junit.xml")).findall(".//testcase")
    assert len(cases) == CASES + 1


def test_a_name_without_utf8_is_no_baseline(project: Project) -> None:
    """The other benchmarks become baselines, and the next session can read them."""
    project.write(ODD)
    result = project.run(*RECORDING, "-k", "test_name or test_good")
    result.assert_outcomes(passed=5, errors=1, deselected=9)
    result.stdout.fnmatch_lines(["*cannot be a baseline*give the test or window another name*"])
    assert project.benchmark("test_good")["verdict"]["accepted"]
    assert project.run("-k", "test_good").ret == 0


@pytest.mark.parametrize(
    "use",
    [
        'energy.record(**{"a\\udc80b": 2.0})',
        'energy.describe(**{"a\\udc80b": 1})',
        'energy.describe(layers="a\\udc80b")',
        'energy.remark("a\\udc80b")',
    ],
)
def test_a_baseline_can_be_read_whatever_it_holds(project: Project, use: str) -> None:
    """Half of a surrogate pair in a metric or a fact is escaped, and compared with its like."""
    before, after = (use, "") if "describe" in use else ("", use)
    project.write(f"def test_it(energy):\n    {before}\n    energy(work, 1)\n    {after}")
    assert project.run(*RECORDING).ret == 0
    result = project.run()
    assert result.ret == 0, result.stderr.str()
    assert project.benchmark()["verdict"]["outcome"] == "unchanged"


@pytest.mark.parametrize("hook", ["pytest_energy_workload", "pytest_energy_identity"])
@pytest.mark.parametrize(
    "returned",
    ["7", "'text'", "{1: 2}", "{'a': object()}", "{'a': float('nan')}", "{'a': {'b': 1}}"],
)
def test_a_hook_that_returns_no_facts_is_named(project: Project, hook: str, returned: str) -> None:
    """One line says which hook it was, and what was expected."""
    project.write("def test_it(energy):\n    energy(work, 1)")
    project.pytester.makeconftest(f"def {hook}():\n    return {returned}")
    result = project.run()
    text = result.stdout.str() + result.stderr.str()
    assert result.ret != 0
    assert f"{hook} in a conftest.py or plugin returned" in text
    assert "INTERNALERROR" not in text
