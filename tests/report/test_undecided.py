"""What an inconclusive benchmark proposes, in the terminal, in Markdown and on the page."""

from __future__ import annotations

from typing import Literal

import pytest

from pytest_energy.model.measurement import Reason, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, Undecided, Verdict
from pytest_energy.report.html.render import render_html
from pytest_energy.report.sentences import retries, undecided
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.report.text.terminal import summary_lines
from tests.gate_data import measurement, run_of

Limit = Literal["time", "energy", "visits", "protocol"]


def open_result(
    limit: Limit,
    visits: int | None = 6,
    allowed: float | None = None,
    name: str = "a",
    **fields: object,
) -> Result:
    """An inconclusive benchmark whose further visits take 15 s and 4 kJ each."""
    cost = {"duration_s": 15.0 * visits, "energy_j": 4000.0 * visits} if visits else {}
    record = Undecided(limit=limit, visits=visits, allowed=allowed, **cost)
    verdict = Verdict(outcome=Outcome.INCONCLUSIVE, undecided=record)
    return Result.of(measurement(test_id=f"t.py::test_{name}", **fields), verdict)


CUT = Reason(code=ReasonCode.TIME_LIMIT, message="ran 1 of 3 rounds", fatal=False)


@pytest.mark.parametrize(
    ("result", "remedy"),
    [
        (open_result("time", allowed=600.0), "would decide: --energy-retry-time=690"),
        (open_result("energy", allowed=50_000.0), "would decide: --energy-retry-energy=74000"),
        (open_result("visits"), "would decide: no option allows more; compare with the other"),
        (open_result("protocol"), "measure it again with --energy-protocol=adaptive"),
        (
            open_result("protocol", status="estimated"),
            'add estimated to the list of --energy-fail-on, by default "regressed,over budget"',
        ),
        (open_result("visits", None), "no number of visits would decide: "),
        (open_result("time", None, 600.0), "--energy-against=REF, or record more runs"),
        (open_result("time", allowed=600.0, reasons=[CUT]), "raise --energy-max-time"),
    ],
)
def test_the_limit_that_ended_it_names_its_remedy(result: Result, remedy: str) -> None:
    """With the value that is needed, or another way where no value helps."""
    assert remedy in (undecided(result) or "")


def both() -> Run:
    """Two benchmarks that the limit of time ended, and one that no visits decide."""
    ended = [open_result("time", allowed=600.0, name=name) for name in ("a", "b")]
    return run_of(*ended, open_result("visits", None, name="c"))


def test_one_limit_is_for_all_that_it_ended() -> None:
    """They share it, so their needs add up; two limits are raised together."""
    assert retries(both()) == "to decide 2 benchmarks by further visits: --energy-retry-time=780"
    two = run_of(
        open_result("time", allowed=600.0), open_result("energy", allowed=50_000.0, name="b")
    )
    assert retries(two) == (
        "to decide 2 benchmarks by further visits:"
        " --energy-retry-time=780 --energy-retry-energy=98000"
    )
    assert retries(run_of(open_result("visits"))) is None


@pytest.mark.parametrize("show", ["terminal", "markdown", "page"])
def test_every_output_proposes_it(show: str) -> None:
    """Each benchmark's remedy, and the limit for all together."""
    run = both()
    texts = {
        "terminal": lambda: "\n".join(line.text for line in summary_lines(run, 100)),
        "markdown": lambda: render_markdown(run).replace("\\", ""),
        "page": lambda: render_html(run),
    }
    text = texts[show]()
    assert "--energy-retry-time=690" in text
    assert "o decide 2 benchmarks by further visits: --energy-retry-time=780" in text
    assert "no number of visits would decide" in text
    assert "--energy-against=REF" in text
