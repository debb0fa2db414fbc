"""How people use the page: filter, sort, choose, point, drag, print, and hold it in one hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.result import Result, Run, UnpassedTest

from .conftest import Shown
from .examples import ENVIRONMENT, MODELS, example_run, run_of, traced_run

Show = Callable[..., Shown]


@cache
def suite() -> Run:
    """A run with something in every section."""
    run = example_run(MODELS[:3], ("baseline", "blurpool"), batch_sizes=(1, 8), rounds=12)
    return traced_run(run, samples=500, distinct=1)


def older_runs(*factors: float) -> tuple[Run, ...]:
    """The suite some weeks ago, a week apart, with its joules times these factors."""
    return tuple(
        suite().model_copy(
            update={
                "created": f"2026-09-{7 * (week + 1):02d}T08:00:00Z",
                "benchmarks": [scaled(result, factor) for result in suite().benchmarks],
            }
        )
        for week, factor in enumerate(factors)
    )


def scaled(result: Result, factor: float) -> Result:
    """The result with its joules times ``factor``."""
    assert result.energy
    energy = result.energy.model_copy(update={"value": result.energy.value * factor})
    rounds = [
        done.model_copy(update={"energy_j": (done.energy_j or 0) * factor})
        for done in result.rounds
    ]
    return result.model_copy(
        update={"metrics": {**result.metrics, "energy_j": energy}, "rounds": rounds}
    )


def estimated(results: Sequence[Result]) -> list[Result]:
    """The results as estimates of ± 40 %."""
    return [
        result.model_copy(
            update={
                "status": "estimated",
                "metrics": {
                    name: known.model_copy(update={"uncertainty": known.value * 0.4})
                    if name == "energy_j"
                    else known
                    for name, known in result.metrics.items()
                },
            }
        )
        for result in results
    ]


def test_the_column_chooser_lies_above_the_header_and_closes(show: Show) -> None:
    """Nothing covers it; Esc closes it, and so does a click beside it."""
    page = show(suite()).page
    chooser, button = page.locator("#columns"), page.locator("#choose")
    button.click()
    covered = """menu => [...menu.querySelectorAll("input")].filter(box => {
        const { x, y } = box.getBoundingClientRect();
        return y < innerHeight && !menu.contains(document.elementFromPoint(x + 3, y + 3));
    }).length"""
    assert chooser.evaluate(covered) == 0
    page.keyboard.press("Escape")
    assert chooser.is_hidden()
    button.click()
    assert chooser.is_visible()
    page.mouse.click(1270, 5)
    assert chooser.is_hidden()


def test_the_whole_header_cell_sorts(show: Show) -> None:
    """A click into any corner of a cell of the header sorts by its column."""
    page = show(example_run(MODELS[:2])).page
    head = page.locator('#table th[data-column="latency_s"]')
    head.scroll_into_view_if_needed()
    box = head.bounding_box()
    assert box
    corners = ((2, 2), (box["width"] - 3, box["height"] - 3))
    for (x, y), way in zip(corners, ("ascending", "descending"), strict=True):
        head.click(position={"x": x, "y": y})
        assert head.get_attribute("aria-sort") == way


SHOWN = """() => [...document.querySelectorAll("main > section")].map(section => [
    section.id,
    section.querySelector(".filtered:not([hidden])")?.textContent ?? "",
    [...section.querySelectorAll("tbody th a")].filter(link => !link.closest("[hidden]"))
        .map(link => link.textContent),
    [...section.querySelectorAll("svg [data-of]")].filter(mark => !mark.closest("[hidden]"))
        .map(mark => mark.dataset.of),
])"""


def test_filter_and_cards_act_on_every_section(show: Show) -> None:
    """Only what matches is left in tables and figures, each section says so, and undoes it."""
    names = [result.id.partition("::")[2] for result in suite().benchmarks]
    page = show(suite(), older=older_runs(1.0, 1.1)).page
    page.fill("#filter", "resnet18")
    matching = {place for place, name in enumerate(names) if "resnet18" in name}
    sections = {section: rest for section, *rest in page.evaluate(SHOWN)}
    expected = {"changes", "two-runs", "trends", "results", "trade-offs", "distributions", "sweeps"}
    assert {section for section, (note, *_) in sections.items() if note} == expected
    for note, links, marks in sections.values():
        assert note in (
            "",
            *[text for text in (note,) if f"{len(matching)} of {len(names)}" in text],
        )
        assert all("resnet18" in link for link in links)
        assert all(matching & set(map(int, mark.split())) for mark in marks)
    assert page.locator("#scatter use").count() == len(matching)
    page.locator("#trade-offs .filtered button").click()
    assert page.locator(".filtered:visible").count() == 0
    page.locator("button.card.regressed").click()
    sections = {section: rest for section, *rest in page.evaluate(SHOWN)}
    regressed = [r for r in suite().benchmarks if r.verdict.outcome == "regressed"]
    assert len(sections["distributions"][1]) == len(regressed) < len(names)


def test_dragging_selects_no_text(show: Show) -> None:
    """A drag over a trace that ends in the text below it marks a span of time only."""
    page = show(suite()).page
    page.locator("#table tbody a").first.click()
    page.wait_for_selector("#drawer .power output")
    trace = page.locator("#drawer svg.trace")
    trace.scroll_into_view_if_needed()
    box = trace.bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + box["height"] + 60, steps=5)
    page.mouse.up()
    assert page.evaluate("getSelection().toString()") == ""
    assert page.locator("#drawer .power output").inner_text().count(" s") == 2


def test_tips_are_beside_the_mark(show: Show) -> None:
    """The text of a mark appears within a few pixels of it, with the uncertainty."""
    page = show(example_run(MODELS[:3], ("baseline",), batch_sizes=(1, 8))).page
    for figure in ("#scatter use", "#changes circle:visible", "#sweeps g > use"):
        mark, tip = page.locator(figure).last, page.locator("#tip")
        mark.scroll_into_view_if_needed()
        mark.hover()
        at, beside = mark.bounding_box(), tip.bounding_box()
        assert at
        assert beside
        assert re.search("±|% \\[", tip.inner_text())
        assert -1 <= at["y"] - (beside["y"] + beside["height"]) < 12
        assert beside["x"] - 2 <= at["x"] <= beside["x"] + beside["width"]
        if figure == "#scatter use":
            figures = r"Latency [\d.]+ ± [\d.]+ ms, Energy [\d.]+ ± [\d.]+ J/pass"
            assert re.search(figures, tip.inner_text())
        page.mouse.move(5, 5)
        assert tip.is_hidden()


def test_a_group_keeps_its_colour_when_the_script_draws(show: Show) -> None:
    """The figure of the script gives each benchmark the colour of the figures without it."""
    shown = show(example_run(MODELS[:3]))
    colour = "mark => (mark.getAttribute('class') ?? mark.parentElement.className.baseVal)"
    drawn = shown.page.locator("#scatter use").evaluate_all(f"marks => marks.map({colour})")
    still = shown.page.evaluate(
        """() => [...document.querySelector("#trade-offs .figures figure").querySelectorAll("use")]
            .filter(mark => mark.dataset.of).sort((a, b) => a.dataset.of - b.dataset.of)
            .map(mark => mark.parentElement.className.baseVal)"""
    )
    assert drawn == still


def test_details_are_not_listed_twice(show: Show) -> None:
    """With a script the table leads to the details, so their list is gone."""
    page = show(suite()).page
    assert page.locator("#benchmarks").is_hidden()
    assert "Benchmarks" not in page.locator("nav").inner_text().splitlines()
    page.locator("#table tbody a").nth(2).click()
    assert page.locator("#drawer .panel").is_visible()


def test_a_phone_shows_energy_change_and_outcome_first(show: Show) -> None:
    """Without scrolling sideways one reads these three of each benchmark, in that order."""
    page = show(suite(), width=390, height=800).page
    row = page.locator("#table tbody tr").first
    row.scroll_into_view_if_needed()
    cells = row.locator("> td:visible").evaluate_all(
        """cells => cells.map(cell => [cell.textContent.trim(), cell.getBoundingClientRect()])
            .map(([text, box]) => [text, box.left, box.right])"""
    )
    first = sorted(cells, key=lambda cell: cell[1])[:3]
    assert [text.removesuffix(" ★") for text, *_ in first] == [
        "0.3100 ± 0.0012 J/pass",
        "0.0 % [−0.9, +0.9]",
        "= within tolerance",
    ]
    assert first[-1][2] <= 390
    assert len(cells) > 3


def test_paper_gets_ten_columns(show: Show) -> None:
    """The first ten that are shown, or the first of those that the reader has chosen."""
    page = show(example_run(MODELS[:2])).page
    page.emulate_media(media="print")
    heads = page.locator("#table thead th:visible")
    assert heads.count() == 10
    page.emulate_media(media="screen")
    page.click("#choose")
    page.uncheck('input[value="latency_s"]')
    page.check('input[value="net_energy_j"]')
    page.keyboard.press("Escape")
    page.emulate_media(media="print")
    printed = heads.all_inner_texts()
    assert len(printed) == 10
    assert {"Net energy", "Energy", "Change"} < set(printed)
    assert "Latency" not in printed


def test_two_runs_are_chosen(show: Show) -> None:
    """Any two of the files can be compared, the later with the earlier one."""
    shown = show(suite(), older=older_runs(1.0, 1.2))
    page = shown.page
    pair = page.locator("#two-runs [data-pair]:visible")
    assert pair.locator("summary").first.inner_text().startswith("older1.json")
    page.select_option("#before", label=page.locator("#before option").nth(0).inner_text())
    page.select_option("#after", index=0)
    assert pair.count() == 1
    assert page.locator("#before option:checked").inner_text().startswith("older0.json")
    assert page.locator("#after option:checked").inner_text().startswith("older1.json")
    changes = pair.locator("tbody td:nth-of-type(3)").all_inner_texts()
    assert len(changes) == len(suite().benchmarks)
    assert all(change.startswith("+20 %") for change in changes)
    page.select_option("#before", index=1)
    assert page.locator("#after option:checked").inner_text().startswith("this run")
    assert shown.faultless()


def test_one_machine_of_several_is_picked(show: Show) -> None:
    """A merged run has a picker, which leaves the results of one machine in all sections."""
    results = example_run(MODELS[:2]).benchmarks
    other = {**ENVIRONMENT.identity, "device": "NVIDIA A100"}
    moved = [result.model_copy(update={"identity": other}) for result in results[:5]]
    page = show(run_of([*moved, *results[5:]])).page
    page.select_option("#machine", "nvidia-a100")
    assert page.locator("#shown").inner_text() == "5 of 12 shown"
    assert page.locator("#table tbody tr:visible").count() == 5
    assert "device NVIDIA A100" in (page.locator("#environment").text_content() or "")
    assert "NVIDIA A100, NVIDIA H200" in page.locator("#summary .subtitle").inner_text()


def test_a_failed_test_shows_its_failure_and_output(show: Show) -> None:
    """The traceback and what the test printed are on the page, as text."""
    failed = UnpassedTest(
        id="t.py::test_x",
        outcome="failed",
        reason="AssertionError",
        text=">   assert 1 == 2\nE   <b>no</b>",
        output="loss nan",
    )
    page = show(run_of([], unpassed=[failed], exit_status=1)).page
    for title, text in (("Failure", "E   <b>no</b>"), ("Captured output", "loss nan")):
        page.get_by_text(title, exact=True).click()
        assert text in page.locator(".tests pre:visible").last.inner_text()


def test_estimates_are_hollow_in_every_figure(show: Show) -> None:
    """Their marks have the colour of the page inside, and each has its interval."""
    results = estimated(example_run(MODELS[:3], ("baseline",), batch_sizes=(1, 8)).benchmarks)
    page = show(run_of(results)).page
    inside = "marks => marks.map(mark => getComputedStyle(mark).fill)"
    for figure in (
        "#changes circle",
        "#scatter use",
        "#sweeps [data-of].hollow",
        "#distributions td circle",
    ):
        fills = page.locator(figure).evaluate_all(inside)
        assert set(fills) == {"rgb(255, 255, 255)"}, figure
    assert page.locator("#scatter path.whiskers").count() == len(results)
    assert page.locator("#distributions .interval").count() == len(results)
    assert page.locator("#sweeps use.hollow").count() == page.locator("#sweeps g use").count()
    assert page.locator("#sweeps path.whiskers").count() > 0
    assert "not checked" in (page.locator("#quality").text_content() or "")


def test_windows_are_one_bar_with_joules_a_token(show: Show) -> None:
    """The windows of a test lie end to end, and a tip gives the joules of a token."""
    base = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    results = [
        base.model_copy(
            update={
                "id": f"t.py::test_it::{name}",
                "kind": "window",
                "workload": {"window": name},
                "metrics": {
                    "energy_j": Quantity(value=joules, unit="J/window", uncertainty=0.1),
                    "energy_j_per_token": Quantity(value=joules / 64, unit="J/token"),
                },
            }
        )
        for name, joules in (("prefill", 2.0), ("decode", 6.0))
    ]
    page = show(run_of(results)).page
    parts = page.locator("#windows rect.part")
    boxes = [box for box in (part.bounding_box() for part in parts.all()) if box]
    assert boxes[1]["x"] == pytest.approx(boxes[0]["x"] + boxes[0]["width"], abs=0.2)
    assert boxes[1]["width"] == pytest.approx(3 * boxes[0]["width"], rel=0.01)
    parts.first.hover()
    assert "31.25 mJ/token" in page.locator("#tip").inner_text()
    assert page.locator("#sweeps").count() == 0
