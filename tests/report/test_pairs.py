"""Comparisons of two revisions on the page and in Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

from pytest_energy.model.result import Run
from pytest_energy.report.html.charts.sides import build_sides
from pytest_energy.report.html.page import build_page
from pytest_energy.report.html.render import render_html
from pytest_energy.report.sentences import rerun_command
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.report.text.terminal import summary_lines

from .conftest import Shown
from .examples import compared_run, run_of

Show = Callable[..., Shown]
RUN = compared_run(0.12, 0.01, None)


def rows_of(markdown: str) -> dict[str, list[str]]:
    """The cells of each benchmark's row, by name."""
    tables = markdown.partition("<summary>Blocks")[0]
    lines = [line.strip("| ").split(" | ") for line in tables.splitlines() if "test_it" in line]
    return {cells[0].strip("`"): cells[1:] for cells in lines if len(cells) > 1}


def test_markdown_has_one_row_for_each_pair() -> None:
    """A row has both sides with ±, the difference with its interval, the blocks, the outcome."""
    rows = rows_of(render_markdown(RUN))
    assert rows["test_it[0]"] == [
        "1.000 ± 0.003 → 1.120 ± 0.004 J/pass",
        "+12.0 % \\[+11.0, +13.0\\]",
        "4",
        "▲ regressed",
    ]
    assert rows["test_it[1]"][-1] == "= within tolerance"
    assert rows["test_it[2]"] == ["1.000 ± 0.004 J/pass", "–", "–", "+ new"]


def test_markdown_has_the_blocks_of_what_changed() -> None:
    """Folded: who began, the rounds of both sides, and the difference; the unchanged have none."""
    text = render_markdown(RUN)
    blocks = text.partition("<summary>Blocks (4)</summary>")[2].partition("</details>")[0]
    rows = [line.strip("| ").split(" | ") for line in blocks.splitlines() if "test_it" in line]
    comparison = RUN.benchmarks[0].comparison
    assert comparison
    assert [(name, number, begins) for name, number, begins, *_ in rows] == [
        ("`test_it[0]`", str(block.number), block.first) for block in comparison.blocks
    ]
    assert rows[0][3:] == [
        "1.001, 0.9994, 0.9996 J",
        "1.121, 1.121, 1.120 J",
        "+11.63 %",
    ]


def test_markdown_says_things_once() -> None:
    """Base, control, what is gone and why a benchmark is new appear once, however many pairs."""
    text = render_markdown(compared_run(0.12, 0.11, None, 0.01))
    for once in (
        "Compared with main (1a2b3c4d5) in 4 blocks.",
        "benchmarks/test\\_x.py::test\\_it\\[0\\] within tolerance, +0.2 %",
        "gone: benchmarks/test\\_x.py::test\\_old",
        "no such test",
        "Measure again:",
    ):
        assert text.count(once) == 1, once
    assert "--energy-against=main" in text
    assert "--energy-update" not in text


def test_the_terminal_gives_a_reason_once_for_all_that_share_it() -> None:
    """A base that cannot be imported has one line, however many benchmarks are new."""
    lines = [line.text for line in summary_lines(compared_run(0.12, None, None), 100)]
    (line,) = [line for line in lines if "no such test" in line]
    assert line == "  test_it[1], test_it[2]: does not run on main (1a2b3c4d5): no such test"


def test_the_command_repeats_the_same_comparison() -> None:
    """With the environments of the sides, quoted for a shell."""
    result = RUN.benchmarks[0]
    assert result.comparison
    options = ["--energy-against-setup=uv sync --frozen", "--energy-meter=none"]
    same = result.comparison.model_copy(update={"options": options})
    command = rerun_command(result.model_copy(update={"comparison": same}))
    assert shlex.split(command)[3:] == ["--energy-against=main", *options]


def test_dots_of_the_blocks_lie_at_their_values() -> None:
    """Each block has three rounds a side and one difference, on the axes of their charts."""
    result = RUN.benchmarks[0]
    chart = build_sides(result)
    assert chart is not None
    assert chart.rounds is not None
    assert result.comparison is not None
    blocks = result.comparison.blocks
    base, head = chart.sides
    assert [dot.y for dot in base.dots] == pytest.approx(
        [chart.rounds.at(done.energy_j or 0) for block in blocks for done in block.base]
    )
    assert [dot.y for dot in head.dots] == pytest.approx(
        [chart.rounds.at(done.energy_j or 0) for block in blocks for done in block.head]
    )
    changes, control = chart.differences
    assert len(changes.dots) == 4
    assert len(control.dots) == 2
    assert changes.mean is not None
    assert changes.mean == pytest.approx([changes.y.at(end) for end in (0.12, 0.13, 0.11)])
    assert changes.band == (changes.y.at(0.05), changes.y.at(-0.05))
    assert "+0.2 %" in control.about


def test_a_comparison_by_time_shows_seconds() -> None:
    """Where the latency decided, the rounds and their axis are in seconds."""
    chart = build_sides(compared_run(0.12, metric="latency_s").benchmarks[0])
    assert chart is not None
    assert chart.rounds is not None
    assert chart.label == "Latency"
    assert all(re.search(r" m?s$", tick.text) for tick in chart.rounds.ticks)


def test_a_new_benchmark_has_no_charts() -> None:
    """Without a block there is nothing to draw."""
    assert build_sides(RUN.benchmarks[2]) is None


def test_the_page_names_base_controls_new_and_gone() -> None:
    """The section says what was compared; no column speaks of a baseline."""
    page = render_html(RUN)
    section = page[page.index('id="revisions"') : page.index('id="changes"')]
    for text in ("main (1a2b3c4d5)", "seed 11", "+0.2 % [", "no such test", "test_old exists on"):
        assert text in section, text
    assert "Base → head" in page
    assert "Baseline → now" not in page
    assert "Change against main (1a2b3c4d5)" in page
    assert "--energy-update</code></p>" not in page


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1080, "dark"), (1440, "light")])
def test_the_drawer_shows_both_sides(width: int, scheme: str, show: Show) -> None:
    """Charts of rounds and of differences, at any width; axe finds nothing; blocks as numbers."""
    from axe_playwright_python.sync_playwright import Axe

    shown = show(RUN, width=width, scheme=scheme)
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown.page.locator("#table tbody a").first.click()
    drawer = shown.page.locator("#drawer")
    assert drawer.locator(".sides use").count() == 2 * 3 * 4 + 2
    assert drawer.locator(".differences circle").count() == 4 + 2
    drawer.get_by_text("The 4 blocks as numbers").click()
    assert drawer.get_by_text("Begins").is_visible()
    assert [found["id"] for found in Axe().run(shown.page).response["violations"]] == []
    assert shown.faultless()


def test_the_comparison_is_readable_without_script(show: Show) -> None:
    """The section, and the charts in an opened benchmark, need no script."""
    shown = show(RUN, scripts=False)
    assert shown.page.locator("#revisions").is_visible()
    shown.page.locator("details.drawer summary").first.click()
    assert shown.page.locator(".sides").first.is_visible()
    assert shown.page.locator(".differences").first.is_visible()


@pytest.mark.parametrize("run", [compared_run(0.12, blocks=1), compared_run(0.12, blocks=24)])
def test_few_and_many_blocks_are_drawn(run: Run, show: Show) -> None:
    """One block and the largest number both give a page without complaint."""
    assert show(run).faultless()


def test_the_environment_is_compared_with_the_revision() -> None:
    """The table of facts names the base; where baselines decided a part, these, too."""
    assert build_page(RUN).compared == "main (1a2b3c4d5)"
    baseline = run_of([result.model_copy(update={"comparison": None}) for result in RUN.benchmarks])
    assert build_page(baseline).compared == "Baseline"
    mixed = run_of([baseline.benchmarks[0], *RUN.benchmarks[1:]])
    assert build_page(mixed).compared == "Baseline or main (1a2b3c4d5)"
    assert '<th scope="col">main (1a2b3c4d5)</th>' in render_html(RUN)
