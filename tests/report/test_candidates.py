"""Candidates that one test compared, in words and as rows."""

from __future__ import annotations

import pytest

from pytest_energy.model.measurement import Pair, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.report.candidates import candidate_rows, pair_sentence
from pytest_energy.report.html.render import render_html
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.report.text.terminal import summary_lines
from tests.report.handmade import result, run

TEST = "benchmarks/test_knobs.py::test_knob[layout]"


def pair(change: float | None, low: float | None, high: float | None) -> Pair:
    """A pair with this change."""
    return Pair(
        candidate="channels_last", reference="contiguous", change=change, low=low, high=high
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((-0.12, -0.13, -0.11), "channels_last saves 12.0 % [11.0, 13.0] against contiguous"),
        ((0.05, 0.041, 0.059), "channels_last costs 5.0 % [4.1, 5.9] more than contiguous"),
        (
            (-0.003, -0.01, 0.004),
            "channels_last against contiguous: −0.3 % [−1.0, +0.4], no proven difference",
        ),
        ((None, None, None), "channels_last against contiguous: no ratio"),
    ],
)
def test_a_pair_says_who_saves(
    change: tuple[float | None, float | None, float | None], sentence: str
) -> None:
    """Who uses less, by how much, and nothing where the interval contains zero."""
    assert pair_sentence(pair(*change)) == sentence


def energy(value: float) -> dict[str, Quantity]:
    """The metrics of one candidate."""
    return {"energy_j": Quantity(value=value, unit="J/call", uncertainty=0.004)}


RUN = run(
    result(Outcome.NEW, f"{TEST}::contiguous", kind="candidate", metrics=energy(1.0)),
    result(
        Outcome.NEW,
        f"{TEST}::channels_last",
        kind="candidate",
        metrics=energy(0.88),
        pair=pair(-0.12, -0.13, -0.11).model_copy(update={"differences": [-0.128] * 6}),
    ),
    result(
        Outcome.NEW,
        f"{TEST}::unmeasured",
        kind="candidate",
        metrics={},
        pair=pair(None, None, None),
    ),
)
SENTENCE = "channels_last saves 12.0 % [11.0, 13.0] against contiguous"


def test_a_row_has_both_joules_and_the_blocks() -> None:
    """Of the candidates that have a ratio, the reference first."""
    (row,) = candidate_rows(RUN)
    assert row.energy == "1.000 ± 0.004 → 0.880 ± 0.004 J/call"
    assert (row.sentence, row.difference, row.blocks) == (SENTENCE, "−12.0 % [−13.0, −11.0]", "6")


def test_every_output_has_the_pair() -> None:
    """The terminal, Markdown, and the page with its details by block."""
    lines = [line.text for line in summary_lines(RUN, 120)]
    assert "compared in one test (1)" in lines
    assert f"  test_knob[layout]: {SENTENCE}" in lines or f"  {SENTENCE}" in lines
    assert SENTENCE.replace("[", r"\[").replace("]", r"\]").replace("_", r"\_") in render_markdown(
        RUN
    )
    page = render_html(RUN)
    assert page.count(SENTENCE) == 2
    assert "blocks: −12.01 %, −12.01 %" in page


def test_a_run_without_candidates_has_no_section() -> None:
    """Nothing is said of comparisons."""
    assert candidate_rows(run(result())) == []
    assert "ompared in one test" not in render_html(run(result()))
