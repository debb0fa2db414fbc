"""The first sentence of a run: it agrees with the exit status and the counts, wherever it stands.

The terminal, Markdown and the page of made-up runs are read back.
"""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_energy.model.measurement import MeterInfo
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, UnpassedTest, Verdict
from pytest_energy.report.html.render import render_html
from pytest_energy.report.summary import failing_results, headline
from pytest_energy.report.text.markdown import escape, render_markdown
from pytest_energy.report.text.terminal import summary_lines

from .examples import MODELS, example_run
from .handmade import result
from .handmade import run as run_by_hand

METERS = {
    "measured": MeterInfo(name="nvml", source="counter"),
    "estimated": MeterInfo(name="codecarbon", source="model", estimated=True),
    "unmeasured": None,
}
BY_FACTS = {Outcome.REGRESSED: 0.1, Outcome.IMPROVED: -0.1, Outcome.UNCHANGED: 0.0}
"""The changes of exact metrics, which gate without a meter."""


def unpassed(id: str, outcome: str, reason: str = "no data") -> UnpassedTest:
    """A test that failed or was skipped."""
    return UnpassedTest(id=id, outcome=outcome, reason=reason)


def of_failed_test(id: str) -> Result:
    """A result within its tolerance, of a test that failed for a reason of its own."""
    inside = result(id=id)
    failed = inside.verdict.model_copy(update={"outcome": Outcome.TEST_FAILED})
    return inside.model_copy(update={"verdict": failed})


def by_facts(outcome: Outcome, id: str) -> Result:
    """A result of a session without a meter, whose parameters were compared."""
    change = BY_FACTS[outcome]
    facts = MetricVerdict(
        metric="params", outcome=outcome, baseline=1000, value=1000 * (1 + change),
        change=change, low=change, high=change, tolerance=0,
    )  # fmt: skip
    verdict = Verdict(outcome=outcome, metrics=[facts])
    return result(Outcome.UNMEASURED, id=id, verdict=verdict)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A finished or interrupted session, with the exit status that pytest gives it."""
    meter = draw(st.sampled_from(sorted(METERS)))
    strict = draw(st.booleans())
    results, tests = [], []
    for number, outcome in enumerate(draw(st.lists(st.sampled_from(Outcome), max_size=6))):
        id = f"a.py::test_{number}"
        if outcome is Outcome.TEST_FAILED:
            results.append(of_failed_test(id))
            tests.append(unpassed(id, draw(st.sampled_from(["failed", "error", "xfailed"]))))
            continue
        without = meter == "unmeasured" and outcome in BY_FACTS
        made = by_facts(outcome, id) if without else result(outcome, id=id)
        fails = outcome is Outcome.REGRESSED or (strict and outcome.traits.fails != "never")
        if fails and draw(st.booleans()):
            tests.append(unpassed(id, "xfailed", "failed as expected: a known rise"))
        if made.has_joules and meter == "estimated":
            made = made.model_copy(update={"status": "estimated"})
        verdict = made.verdict.model_copy(update={"fails": fails})
        results.append(made.model_copy(update={"verdict": verdict}))
    others = draw(st.lists(st.sampled_from(["failed", "error", "skipped", "xfailed"]), max_size=4))
    tests += [unpassed(f"b.py::test_{number}", each) for number, each in enumerate(others)]
    expected = {test.id for test in tests if test.outcome == "xfailed"}
    failures = draw(st.sampled_from([[], ["2 baselines were not compared"]]))
    by_tests = any(test.failed for test in tests) or any(
        each.verdict.fails and each.id not in expected for each in results
    )
    return run_by_hand(
        *results,
        meter=METERS[meter],
        unpassed=tests,
        failures=failures,
        exit_status=1 if by_tests else draw(st.sampled_from([0, 0, 0, 1])),
        complete=draw(st.booleans()),
    )


def first_sentences(run: Run) -> set[str]:
    """The verdict as the terminal, Markdown and the page have it, as plain text."""
    (marked,) = re.findall(r'<p class="headline \w+">(.*?)</p>', render_html(run))
    page = html.unescape(re.sub(r"<[^>]+>", "", marked))
    verdict = headline(run)
    markdown = render_markdown(run).splitlines()[0]
    assert markdown == f"## {verdict.symbol} {escape(str(verdict))}"
    lines = summary_lines(run, 100)
    terminal = {lines[-1].text} if lines else set()
    return {page, f"{verdict.symbol} {verdict}", *terminal}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_the_first_sentence_agrees_with_exit_status_and_counts(run: Run) -> None:
    """A cross stands where pytest fails, a tick only elsewhere, and the counts are right."""
    (sentence,) = first_sentences(run)
    fails = run.run.exit_status == 1 or bool(run.run.failures)
    assert sentence.startswith("✗") == fails
    assert not (fails and "Gate passed" in sentence)
    failing, total = len(failing_results(run)), len(run.benchmarks)
    shares = {f"{failing} of {total} benchmarks", f"all {total} benchmarks"}
    shares |= {"the benchmark"} if total == 1 else {"both benchmarks"} if total == 2 else set()
    assert not failing or any(f"Gate failed: {share} " in sentence for share in shares)
    assert "of 1 benchmark " not in sentence
    by_outcome = dict.fromkeys(("failed", "error", "skipped", "xfailed"), 0)
    for test in run.run.unpassed:
        by_outcome[test.outcome] += 1
    for pattern, number in (
        (r"(\d+) tests? failed(?! as expected)", by_outcome["failed"]),
        (r"(\d+) errors?", by_outcome["error"]),
        (r"(\d+) tests? (?:was|were) skipped", by_outcome["skipped"]),
        (r"(\d+) tests? failed as expected", by_outcome["xfailed"]),
        (
            r"(\d+) benchmarks? could not be measured",
            sum(each.verdict.outcome is Outcome.INVALID for each in run.benchmarks),
        ),
    ):
        assert re.findall(pattern, sentence) == ([str(number)] if number else []), pattern
    assert "did not finish" in sentence or run.run.complete


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            run_by_hand(
                *[result(id=f"a.py::test_{number}") for number in range(12)],
                of_failed_test("a.py::test_x"),
                unpassed=[unpassed("a.py::test_x", "failed")],
            ),
            "✗ 1 test failed; energy within tolerance (12).",
        ),
        (
            run_by_hand(
                result(), unpassed=[unpassed(f"b.py::test_{n}", "skipped") for n in range(19)]
            ),
            "✓ Gate passed: the benchmark is within 5 %. 19 tests were skipped.",
        ),
        (
            run_by_hand(result(), result(Outcome.INVALID, id="a.py::test_b")),
            "✓ Gate passed: the benchmark compared is within 5 %. 1 benchmark could not be"
            ' measured; in CI --energy-fail-on="regressed,over budget,invalid" would fail it.',
        ),
        (
            run_by_hand(result().model_copy(update={"status": "estimated"})),
            "≈ Estimates only: the benchmark is within 5 %.",
        ),
        (
            run_by_hand(
                result(Outcome.REGRESSED),
                unpassed=[unpassed(result().id, "xfailed", "failed as expected: known")],
            ),
            "∅ Nothing measured: the run holds no benchmarks. 1 test failed as expected.",
        ),
        (
            run_by_hand(result(), exit_status=1),
            "✗ pytest failed: no test did, so another plugin failed the session; energy within"
            " tolerance (1).",
        ),
    ],
)
def test_what_did_not_pass_is_in_the_first_sentence(run: Run, sentence: str) -> None:
    """Failed and skipped tests, benchmarks without a measurement and estimates are not hidden."""
    assert first_sentences(run) == {sentence}


def test_the_advice_on_invalid_benchmarks_adds_to_what_fails() -> None:
    """A policy of the project's own stays, and the outcome is added to it."""
    policy = {"fail_on": "regressed,over budget,estimated,inconclusive>20%"}
    run = run_by_hand(result(), result(Outcome.INVALID, id="a.py::test_b"), settings=policy)
    (sentence,) = first_sentences(run)
    assert f'--energy-fail-on="{policy["fail_on"]},invalid" would fail it' in sentence


def test_a_recording_says_what_to_commit() -> None:
    """After a recording the verdict names the number of baselines and their folder."""
    new = result(Outcome.NEW)
    recorded = new.model_copy(update={"verdict": Verdict(outcome=Outcome.NEW, accepted=True)})
    run = run_by_hand(recorded, accepted=["baselines/facts/a/test_x.json"])
    assert first_sentences(run) == {"✓ Recorded 1 baseline; commit baselines/."}


def test_reasons_of_skips_and_failures_are_shown() -> None:
    """The terminal counts skips by reason, and Markdown and the page also have the failures."""
    tests = [unpassed("b.py::test_x", "failed", "ValueError: no such layer")]
    tests += [unpassed(f"b.py::test_{n}", "skipped", "skipped: no GPU") for n in range(3)]
    run = run_by_hand(result(), unpassed=tests)
    assert "  3: no GPU" in [line.text for line in summary_lines(run, 100)]
    assert "- 3: no GPU" in render_markdown(run)
    assert "ValueError: no such layer" in render_markdown(run)
    assert "<code>b.py::test_x</code>: ValueError: no such layer" in render_html(run)


def test_estimates_have_a_banner_everywhere() -> None:
    """Terminal, Markdown and page say that estimates are no joules of a GPU, and what to do."""
    rounds = example_run(MODELS[:1], ("baseline",)).benchmarks[0].rounds
    estimate = result().model_copy(update={"status": "estimated", "rounds": rounds})
    run = run_by_hand(estimate, meter=METERS["estimated"], settings={"scale": "small"})
    banner = "ESTIMATED, small scale: these are not joules of a GPU"
    assert any(banner in line.text for line in summary_lines(run, 100))
    assert banner in render_markdown(run)
    assert f'<p class="banner" role="note"><strong>{banner}' in render_html(run)
    assert "not checked" in render_html(run)
