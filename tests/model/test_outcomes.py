"""Each fact about an outcome stands in one module."""

from __future__ import annotations

import pytest

from pytest_energy.model.outcomes import SEVERITY, TRAITS, Outcome
from tests.model.changed_package import output_of

MEMBER = '    UNMEASURED = "unmeasured"\n'
NEW_MEMBER = MEMBER + '    PAUSED = "paused"\n'
TABLE = "TRAITS: Final = (\n"
NEW_ROW = f"""{TABLE}    Traits(
        Outcome.PAUSED,
        symbol="‖",
        meaning="Somebody paused it; see `docs`.",
        terminal_style="magenta",
        page_colour="unsure",
        section="paused by somebody",
        next_step="Resume it with `--resume`.",
    ),
"""
SHOW = """
import json
from pytest_energy.model.outcomes import Outcome
from pytest_energy.report.ci.annotations import render_annotations
from pytest_energy.report.ci.code_quality import render_code_quality
from pytest_energy.report.html.render import render_html
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.report.text.terminal import summary_lines
from pytest_energy.settings import FAILING, Settings, load_settings
from tests.report.handmade import result, run as run_of

run = run_of(result(Outcome("paused")))
print(json.dumps({
    "terminal": [list(line) for line in summary_lines(run, 120)],
    "markdown": render_markdown(run),
    "page": render_html(run),
    "annotations": render_annotations(run),
    "code quality": render_code_quality(run),
    "fail-on": FAILING,
    "strict": sorted(Settings(strict=True).failing),
    "default": sorted(Settings().failing),
}))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """All outputs for a benchmark with the outcome ``paused``."""
    folder = tmp_path_factory.mktemp("paused")
    return output_of(folder, "outcomes.py", SHOW, (MEMBER, NEW_MEMBER), (TABLE, NEW_ROW))


def test_every_outcome_has_one_row() -> None:
    """The table has each outcome once, each with its own symbol."""
    assert sorted(SEVERITY) == sorted(Outcome)
    assert len({traits.symbol for traits in TRAITS}) == len(Outcome)


def test_a_new_outcome_is_in_the_terminal(shown: dict[str, list[list[str]]]) -> None:
    """The table shows its symbol and colour, and it has a section."""
    lines = dict(shown["terminal"])
    (row,) = (text for text in lines if text.endswith("‖ paused"))
    assert lines[row] == lines["paused by somebody (1)"] == "magenta"


def test_a_new_outcome_is_in_markdown(shown: dict[str, str]) -> None:
    """It is counted, and has a heading and a next step."""
    assert "‖ 1 paused" in shown["markdown"]
    assert "### ‖ Paused (1)" in shown["markdown"]
    assert "Resume it with `--resume`." in shown["markdown"]


def test_a_new_outcome_is_on_the_page(shown: dict[str, str]) -> None:
    """It has a card, a colour and an explanation."""
    assert 'class="card paused"' in shown["page"]
    assert ".paused { --outcome: var(--unsure); }" in shown["page"]
    assert "<b>‖</b> paused" in shown["page"]
    assert "Somebody paused it; see <code>docs</code>." in shown["page"]


def test_a_new_outcome_is_in_the_settings(shown: dict[str, list[str]]) -> None:
    """``--energy-fail-on`` takes it; it fails in strict mode and not by default."""
    assert "paused" in shown["fail-on"]
    assert "paused" in shown["strict"]
    assert shown["default"] == ["over budget", "regressed"]


def test_a_new_outcome_is_annotated(shown: dict[str, list[str]]) -> None:
    """CI shows a warning."""
    assert shown["annotations"][0].startswith("::warning ")
    assert "energy-paused" in shown["code quality"]
