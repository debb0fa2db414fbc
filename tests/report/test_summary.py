"""The verdict on a run in words."""

from __future__ import annotations

import pytest

from pytest_energy.gate.pooling import leave_out_outlying_first, pool
from pytest_energy.model.comparison import Comparison
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, Verdict
from pytest_energy.report.html.render import render_html
from pytest_energy.report.labels import short_names
from pytest_energy.report.sentences import first_visits
from pytest_energy.report.summary import best, cause, counts, headline, worst
from pytest_energy.report.text.markdown import escape, render_markdown
from pytest_energy.report.text.terminal import summary_lines
from tests.gate_data import measurement as gate_measurement

from .examples import MODELS, empty_run, example_run, run_of, unmeasured_run
from .handmade import result
from .handmade import run as run_by_hand


def with_outcome(result: Result, outcome: Outcome, *, fails: bool) -> Result:
    """``result`` with another verdict."""
    return result.model_copy(update={"verdict": Verdict(outcome=outcome, fails=fails)})


def strict_run() -> Run:
    """One benchmark fails because it is inconclusive, one passes."""
    first, second = example_run(MODELS[:2], ("baseline",)).benchmarks
    return run_of([with_outcome(first, Outcome.INCONCLUSIVE, fails=True), second])


def new_with_facts() -> Run:
    """A benchmark without an energy baseline, and with FLOPs that match."""
    (first,) = example_run(MODELS[:1], ("baseline",), baseline=False).benchmarks
    flops = MetricVerdict(metric="flops", outcome=Outcome.UNCHANGED, change=0.0, tolerance=0.0)
    verdict = first.verdict.model_copy(update={"metrics": [*first.verdict.metrics, flops]})
    return run_of([first.model_copy(update={"verdict": verdict})])


def timed(outcome: Outcome) -> Result:
    """A benchmark that was compared with another revision by time alone."""
    found = result(Outcome.UNMEASURED)
    latency = MetricVerdict(metric="latency_s", outcome=outcome, change=0.01, tolerance=0.1)
    return found.model_copy(
        update={
            "verdict": Verdict(outcome=outcome, metrics=[latency]),
            "comparison": Comparison(reference="main", seed=1),
        }
    )


def undecided() -> Result:
    """Energy rose by 6 % [+3, +9], with a tolerance of 5 %."""
    return result(Outcome.INCONCLUSIVE, id="a.py::test_b", low=0.03, high=0.09, change=0.06)


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([undecided()], "the benchmark is undecided."),
        ([undecided(), result()], "1 of 2 benchmarks is within 5 %, 1 is undecided."),
        (
            [undecided(), result(), result(Outcome.IMPROVED), result(Outcome.NEW)],
            "1 of 3 benchmarks compared is within 5 %, 1 improved, 1 is undecided (1 new).",
        ),
        ([result()], "the benchmark is within 5 %."),
        ([result()] * 3, "all 3 benchmarks are within 5 %."),
        ([result(), result(Outcome.NEW)], "the benchmark compared is within 5 % (1 new)."),
        ([result(Outcome.IMPROVED)], "the benchmark improved by more than 5 %."),
    ],
)
def test_passing_claims_no_more_than_was_decided(results: list[Result], sentence: str) -> None:
    """An interval across the tolerance counts as undecided, not as within the tolerance."""
    run = run_by_hand(*results)
    assert str(headline(run)) == f"Gate passed: {sentence}"
    assert summary_lines(run, 100)[-1].text == f"✓ Gate passed: {sentence}"
    assert f"Gate passed: {escape(sentence)}" in render_markdown(run).splitlines()[0]
    page = render_html(run).replace('<span class="keep">', "").replace("</span>", "")
    assert f"<strong>Gate passed:</strong> {sentence}" in page


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (
            example_run(MODELS[:2]),
            "Gate failed: 1 of 12 benchmarks exceeds its baseline by more than 5 %.",
        ),
        (
            example_run(MODELS[:1], ("baseline", "blurpool")),
            "Gate passed: both benchmarks are within 5 %.",
        ),
        (
            example_run(MODELS[:1], ("baseline", "blurpool"), baseline=False),
            "Nothing compared: none of 2 benchmarks could be compared (2 new).",
        ),
        (
            new_with_facts(),
            "Gate passed: exact metrics match in 1 benchmark; no joules were compared (1 new).",
        ),
        (
            run_of([timed(Outcome.UNCHANGED), timed(Outcome.INCONCLUSIVE)]),
            "Gate passed: 1 benchmark compared by time alone: none is slower by more than 10 %"
            " (1 inconclusive).",
        ),
        (strict_run(), "Gate failed: 1 of 2 benchmarks is undecided."),
        (empty_run(), "Nothing measured: the run holds no benchmarks."),
    ],
)
def test_verdict_is_one_sentence(run: Run, sentence: str) -> None:
    """The first line has the decision, the number of benchmarks and the tolerance."""
    assert str(headline(run)) == sentence


def test_a_run_without_joules_is_not_called_passed() -> None:
    """Without a meter the sentence claims no success, and its symbol is no tick."""
    verdict = headline(unmeasured_run())
    assert str(verdict) == (
        "Nothing compared: none of 2 benchmarks could be compared (2 unmeasured)."
    )
    assert verdict.symbol == "∅"


def test_an_interrupted_run_says_so() -> None:
    """A verdict on half of a suite must not look like one on the whole suite."""
    results = example_run(MODELS[:1], ("baseline",)).benchmarks
    assert "did not finish" in str(headline(run_of(results, complete=False)))


def test_counts_add_up_to_the_benchmarks() -> None:
    """Each benchmark is counted once."""
    run = example_run()
    assert sum(counts(run).values()) == len(run.benchmarks)


def test_worst_and_best_are_ordered_by_change_and_name_a_cause() -> None:
    """The largest rise and the largest fall come first, with the cause as power × time."""
    run = example_run()
    rises = [standout.verdict.change for standout in worst(run)]
    falls = [standout.verdict.change for standout in best(run)]
    assert rises
    assert falls
    assert all(rise is not None and rise > 0.05 for rise in rises)
    assert all(fall is not None and fall < -0.05 for fall in falls)
    assert cause(worst(run)[0].result) == "mean power +1.8 % × time +7.2 %"


def test_a_first_visit_that_was_left_out_is_named_everywhere() -> None:
    """In the remark that the gate writes; a run without one says nothing."""
    visits = [gate_measurement(1.1), *(gate_measurement(1.0) for _ in range(6))]
    reasons = pool(leave_out_outlying_first(visits)).reasons
    calm, hot = example_run(MODELS[:2], ("baseline",)).benchmarks
    run = run_of([calm, hot.model_copy(update={"reasons": reasons})])
    sentence = "1 benchmark was measured without its first visit, which was far off"
    assert f"{sentence}: {hot.id}" in [line.text for line in summary_lines(run, 80)]
    assert sentence in render_markdown(run)
    assert sentence in render_html(run)
    assert first_visits(run_of([calm])) is None


def test_names_lose_only_what_is_not_needed() -> None:
    """Folders and modules are omitted if the names still differ; brackets are never cut."""
    assert list(short_names(["a/b.py::t[1]", "a/c.py::u[1]"]).values()) == ["t[1]", "u[1]"]
    assert list(short_names(["a.py::t::fill", "a.py::t::go"]).values()) == ["fill", "go"]
    names = short_names(["a/b.py::test_x[c/d::e]", "a/b.py::test_y"])
    assert list(names.values()) == ["test_x[c/d::e]", "test_y"]
    assert short_names(["a/b.py::test_x"]) == {"a/b.py::test_x": "test_x"}
    assert short_names(["a/b.py::t", "a/c.py::t"]) == {
        "a/b.py::t": "b.py::t",
        "a/c.py::t": "c.py::t",
    }
