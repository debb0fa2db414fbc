"""The pages that studies write have the text of the studies."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.power import simulate

sys.path.insert(0, str(Path(__file__).parent))

import run

TEMPLATES = (
    run.INTRODUCTION,
    run.ERROR_AND_INTERVAL,
    run.SETTLING_STUDY,
    run.SETTLING_REASONS,
    run.EDGES,
    run.EDGE_COST,
    run.COMPARISON,
    run.COMPARISON_BY_CASE,
    run.PERTURBATION,
    run.TRACES,
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_page_on_accuracy_is_what_the_study_writes(template: str) -> None:
    """A sentence that is changed in the study is changed on the page, and the other way round."""
    page = run.TARGET.read_text("utf-8")
    parts = re.split(r"\{\w+(?::[^}]*)?\}", template)
    assert [part for part in parts if part not in page] == []


def test_the_page_on_the_gate_has_the_table_that_the_simulation_writes() -> None:
    """The table's columns are those of the simulation."""
    table = simulate.DOCUMENT.read_text("utf-8").partition(simulate.BEGIN)[2]
    assert f"| {simulate.HEADER}\n" in table


def test_one_section_is_replaced_and_the_others_stay() -> None:
    """A study that runs alone changes its own part of the page."""
    page = "# Page\n\n## One\n\nold\n\n### Part\n\n## Two\n\nkept\n"
    assert run.replaced(page, "## One\n\nnew\n") == "# Page\n\n## One\n\nnew\n\n## Two\n\nkept\n"
    assert run.replaced(page, "## Two\n\nnew\n").endswith("### Part\n\n## Two\n\nnew\n")
    with pytest.raises(ValueError, match="no section '## Three'"):
        run.replaced(page, "## Three\n")
