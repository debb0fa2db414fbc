"""A suite that moves together, in whole sessions: with and without workers."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

BENCHMARKS = 24
BODY = f"""
import json
from pathlib import Path

FACTORS = json.loads(Path("factors.json").read_text())

@pytest.mark.parametrize("number", range({BENCHMARKS}))
def test_it(energy, number):
    scatter = 1 + (number % 5 - 2) / 1000
    energy(work, 0.01 * scatter * FACTORS.get(str(number), FACTORS["all"]))
"""


@pytest.fixture
def suite(project: Project) -> Project:
    """A suite with a baseline each, whose joules a file multiplies."""
    project.write(BODY)
    set_factors(project, 1.0)
    done = project.run("--energy-update", "--energy-baseline-runs=1")
    done.assert_outcomes(passed=BENCHMARKS)
    return project


def set_factors(project: Project, everything: float, **single: float) -> None:
    """Multiply the joules of all benchmarks, or of single ones by their number."""
    numbered = "".join(f', "{name[1:]}": {factor}' for name, factor in single.items())
    project.path("factors.json").write_text(f'{{"all": {everything}{numbered}}}')


def test_a_shift_is_reported_everywhere(suite: Project) -> None:
    """+3 % of everything fails nothing, and terminal, page and Markdown say so."""
    set_factors(suite, 1.03)
    markdown = suite.path("summary.md")
    done = suite.run(f"--energy-output=markdown:{markdown}")
    assert done.ret == 0
    assert suite.results()["run"]["suite_shift"]["change"] == pytest.approx(0.03, abs=1e-3)
    sentence = "he whole suite shifted by +3.0 %"
    assert sentence in done.stdout.str()
    assert sentence in markdown.read_text("utf-8")
    assert sentence in suite.path(".energy/report.html").read_text("utf-8")


def test_a_shift_beyond_the_tolerance_fails_the_session(suite: Project) -> None:
    """Although each test has passed; unless the policy does not fail what regressed."""
    set_factors(suite, 1.2)
    failed = suite.run()
    failed.assert_outcomes(passed=BENCHMARKS)
    assert failed.ret == 1
    assert "The whole suite regressed" in failed.stdout.str()
    assert suite.run("--energy-fail-on=invalid").ret == 0


@pytest.mark.slow
def test_the_shift_of_workers_is_that_of_all_their_benchmarks(suite: Project) -> None:
    """None of them has enough for a shift of its own; the session fails when it is merged."""
    # Wide tolerances of the benchmarks, so that the shift alone is beyond that of the session.
    suite.path("pyproject.toml").write_text('[tool.pytest-energy.tolerances]\n"*" = 0.5\n')
    set_factors(suite, 1.2)
    done = suite.run_apart("-p", "xdist", "-n2")
    done.assert_outcomes(passed=BENCHMARKS)
    shift = suite.results()["run"]["suite_shift"]
    assert shift["change"] == pytest.approx(0.2, abs=1e-3)
    assert (shift["outcome"], shift["benchmarks"]) == ("regressed", BENCHMARKS)
    assert done.ret == 1
    assert "The whole suite regressed" in done.stdout.str()


def test_a_strict_session_fails_for_a_test_that_had_passed(suite: Project) -> None:
    """The first test looks unchanged until the suite turns out to have fallen without it."""
    set_factors(suite, 0.93, _0=1.0)
    strict = suite.run("--energy-strict")
    strict.assert_outcomes(passed=BENCHMARKS)
    assert suite.benchmark("test_it[0]")["verdict"]["outcome"] == "inconclusive"
    assert strict.ret == 1
    assert "1 benchmark that has passed is inconclusive" in strict.stdout.str()
