"""The summary of a CI job."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Verdict
from pytest_energy.report.text.markdown import (
    BY_IMPORTANCE,
    STEP_SUMMARY_BYTES,
    code,
    escape,
    render_markdown,
)

GITHUB = MarkdownIt("commonmark").enable("table")
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


def cells(markdown):
    """The text of each cell of each table, as a Markdown parser reads it."""
    tokens = GITHUB.parse(markdown)
    inline = [after for before, after in pairwise(tokens) if before.type == "td_open"]
    return ["".join(child.content for child in token.children) for token in inline]


def test_every_outcome_has_its_place(make_run, make_result):
    """Each outcome has a heading and a table; regressions come first."""
    results = [make_result(outcome, id=f"a.py::test_{outcome}") for outcome in Outcome]
    text = render_markdown(make_run(*results))
    places = [text.index(f"`test_{outcome}`") for outcome in BY_IMPORTANCE]
    assert places == sorted(places)
    assert set(BY_IMPORTANCE) == set(Outcome)


def test_opening_lines_have_the_verdict(make_run, make_result):
    """The first lines have the verdict of the gate, the counts, the device and the commit."""
    text = render_markdown(make_run(make_result(Outcome.REGRESSED), make_result(id="a.py::test_b")))
    assert text.splitlines()[:3] == [
        "## ✗ Gate failed: 1 of 2 benchmarks exceeds its baseline by more than 5 %.",
        "",
        "▲ 1 regressed · = 1 within tolerance",
    ]
    assert "NVIDIA H200 · `0123456789ab` · this run used 1.50 Wh · in 75.0 s" in text


def test_passing_run_says_so(make_run, make_result):
    """A run without a failure begins with that."""
    assert render_markdown(make_run(make_result())).startswith("## ✓ Gate passed: ")


def test_run_without_benchmarks_is_no_success(make_run):
    """The headline of a run without benchmarks has no tick."""
    assert render_markdown(make_run()).startswith("## ∅ Nothing measured: ")


def test_unfinished_run_says_so(make_run, make_result):
    """The summary of a killed run says that benchmarks are missing."""
    assert "did not finish" in render_markdown(make_run(make_result(), complete=False))


@pytest.mark.parametrize("limit", [2_000, 10_000, 50_000, 100_000])
def test_text_stays_within_its_limit_by_whole_sections(make_run, make_result, limit):
    """Whole sections are left out and named if they do not fit; no table is cut."""
    results = [
        make_result(outcome, id=f"a.py::test_{outcome}[{n}]")
        for outcome in Outcome
        for n in range(200)
    ]
    text = render_markdown(make_run(*results), limit)
    assert len(text.encode()) <= limit
    left_out = re.findall(r"Too long for this summary: (.*)\. The report", text)[0]
    for outcome in Outcome:
        rows = text.count(f"| `test_{outcome}[")
        assert rows == (0 if f"{outcome.label} (200)" in left_out else 200)


def test_largest_suite_fits_the_job_summary(make_run, make_result):
    """The summary of 3,000 benchmarks with long names fits GitHub's limit, and has the regressions.

    With a row for each it would be twice as long.
    """
    name = f"test_{'x' * 600}"
    results = [make_result(id=f"a.py::{name}[{n}]") for n in range(3_000)]
    worse = make_result(Outcome.REGRESSED, id="a.py::test_worse")
    run = make_run(*results, worse)
    assert render_markdown(run, 10 * STEP_SUMMARY_BYTES).count(name) == 3_000
    text = render_markdown(run)
    assert len(text.encode()) <= STEP_SUMMARY_BYTES
    assert "`test_worse`" in text
    assert "within tolerance (3000)" in text


def test_hostile_id_stays_text(make_run, make_result):
    """Markup in a test id is shown as text."""
    id = "a.py::test_x[</td><script>alert(1)</script>|`*\\|]"
    text = render_markdown(make_run(make_result(Outcome.REGRESSED, id=id)))
    assert "<script>" not in text
    assert "</td>" not in text


@given(TEXT)
def test_escaped_text_reads_as_it_was(text):
    """A Markdown parser reads any escaped text in a table unchanged."""
    assert cells(f"| a | b |\n|---|---|\n| {escape(text)} | last |\n") == [text, "last"]


@given(TEXT)
def test_code_reads_as_it_was(text):
    """A Markdown parser reads any text as code in a table unchanged, within its cell."""
    parsed = cells(f"| a | b |\n|---|---|\n| {code(text)} | last |\n")
    assert [re.sub("</?code>", "", cell) for cell in parsed[:1]] + parsed[1:] == [text, "last"]


def test_what_is_not_comparable_says_why(make_run, make_result):
    """The facts that differ stand below the table, also beside a metric with a tolerance."""
    metrics = [MetricVerdict(metric="energy_j", outcome=Outcome.INCOMPARABLE, tolerance=0.05)]
    facts = [Difference(name="identity.device", before="NVIDIA A100", after="NVIDIA H200")]
    verdict = Verdict(outcome=Outcome.INCOMPARABLE, metrics=metrics, differences=facts)
    text = render_markdown(make_run(make_result(Outcome.INCOMPARABLE, verdict=verdict)))
    assert "- `test_inference[resnet50]`: device NVIDIA A100 → NVIDIA H200\n" in text
    assert "tolerance" not in text
