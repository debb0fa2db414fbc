"""The page in a real Chromium, offline."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from pytest_energy.model.result import Run, UnpassedTest
from pytest_energy.model.traces import decode
from pytest_energy.report.html.render import render_html

from .conftest import Shown
from .examples import (
    HOSTILE,
    MODELS,
    empty_run,
    example_run,
    hostile_run,
    power_trace,
    run_of,
    traced_run,
    trained_and_run,
    unmeasured_run,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Show = Callable[..., Shown]
CHARTS = {
    "changes": "#changes svg .interval",
    "trade-offs": "#scatter use.fill",
    "distributions": "#distributions path.soft",
    "sweeps": "#sweeps path.line",
    "power": ".power .mean",
    "temperature and clocks": ".power .lanes",
}


@cache
def rich_run() -> Run:
    """A run with data for every chart."""
    run = example_run(MODELS[:4], ("baseline", "blurpool"), batch_sizes=(1, 8), rounds=12)
    return traced_run(run, samples=3000, distinct=2)


@cache
def large_run() -> Run:
    """Two hundred benchmarks with traces of 100,000 samples."""
    run = example_run(batch_sizes=(1, 2, 4, 8, 16))
    return traced_run(run.model_copy(update={"benchmarks": run.benchmarks[:200]}), 100_000, 1)


ODD_RUNS = {
    "empty": empty_run,
    "one": partial(example_run, MODELS[:1], ("baseline",)),
    "no baseline": partial(example_run, MODELS[:2], baseline=False),
    "unmeasured": unmeasured_run,
    "hostile": hostile_run,
    "rich": rich_run,
}


@pytest.mark.parametrize("run", ODD_RUNS.values(), ids=ODD_RUNS)
def test_page_opens_without_complaint_or_request(run: Callable[[], Run], show: Show) -> None:
    """Every run gives a page with a verdict, an empty console and no request."""
    shown = show(run())
    assert shown.faultless()
    assert shown.page.locator(".headline").inner_text()
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_chart_is_there(show: Show) -> None:
    """Changes, trade-offs, distributions, sweeps, traces and conditions are drawn."""
    shown = show(rich_run(), older=(example_run(MODELS[:4], ("baseline",), seed=9),))
    shown.page.locator("#table tbody a").first.click()  # only then are its charts parsed
    for name, selector in CHARTS.items():
        assert shown.page.locator(selector).count() > 0, name


def test_hostile_text_runs_nothing(show: Show) -> None:
    """A test id that is markup is shown as text: no image, no dialog, no request."""
    shown = show(hostile_run())
    shown.page.locator("#table tbody a").first.click()
    assert HOSTILE in shown.page.locator("#drawer").inner_text()
    assert shown.page.locator("img").count() == 0
    assert shown.dialogs == []
    assert shown.faultless()


def test_each_drawer_is_that_of_its_benchmark(show: Show) -> None:
    """Drawers are parsed when they are opened, in any order and again, by whatever names them."""
    shown = show(hostile_run())
    assert shown.page.locator(".panel").count() == 0
    links = shown.page.locator("#table tbody a")
    for place in (2, 0, 3, 2):
        links.nth(place).click()
        assert shown.texts("#drawer h3") == [links.nth(place).inner_text()]
        shown.page.keyboard.press("Escape")
    assert shown.page.locator(".panel").count() == 3
    shown.page.goto(shown.page.url.split("#")[0] + "#" + quote(f"t.py::{'x' * 9}"))
    assert shown.page.locator("#drawer .panel").count() == 0  # no benchmark has this name
    assert shown.faultless()


def test_policy_blocks_injected_scripts(show: Show) -> None:
    """Markup that gets into the page cannot run: the policy allows one script only."""
    shown = show(example_run(MODELS[:1], ("baseline",)))
    shown.page.evaluate(
        """() => {
        document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.ran=1">');
        const script = document.createElement('script');
        script.textContent = 'window.ran = 1';
        document.body.append(script);
        }"""
    )
    assert shown.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in shown.complaints)


def energies(shown: Shown) -> list[float]:
    """The column of energy in joules, from top to bottom."""
    scales = {"": 1.0, "m": 1e-3, "k": 1e3}
    texts = shown.texts("#table tbody tr td:nth-child(3)")
    matches = [re.match(r"([\d.]+)(?: ± [\d.]+)? ([mk]?)J", text) for text in texts]
    return [float(match[1]) * scales[match[2]] for match in matches if match]


def test_table_sorts_by_a_column_and_keeps_it_in_the_address(show: Show) -> None:
    """Clicks sort up and down, then restore the order; a reload keeps the order of the address."""
    shown = show(example_run())
    before = energies(shown)
    button = shown.page.locator('#table th[data-column="energy_j"] button')
    button.click()
    assert energies(shown) == sorted(before)
    button.click()
    assert energies(shown) == sorted(before, reverse=True)
    assert "sort=energy_j%3Adown" in shown.page.url
    shown.page.reload()
    assert energies(shown) == sorted(before, reverse=True)
    shown.page.locator('#table th[data-column="energy_j"] button').click()
    assert energies(shown) == before


def test_filters_combine(show: Show) -> None:
    """Only rows that match both text and outcome stay, and the page counts them."""
    run = example_run()
    shown = show(run)
    shown.page.fill("#filter", "resnet")
    shown.page.locator("button.card.regressed").click()
    expected = [
        result.id
        for result in run.benchmarks
        if "resnet" in result.id and result.verdict.outcome == "regressed"
    ]
    names = shown.page.locator("#table tbody tr:visible th a").evaluate_all(
        "links => links.map(link => link.title)"
    )
    assert names == expected
    assert shown.page.locator("#shown").inner_text() == f"{len(expected)} of 48 shown"
    assert shown.page.locator("button.card.regressed").get_attribute("aria-pressed") == "true"
    shown.page.click("#reset")
    assert shown.page.locator("#shown").inner_text() == "48 of 48 shown"


def test_columns_are_chosen(show: Show) -> None:
    """A column that is hidden at first can be shown and hidden."""
    shown = show(example_run(MODELS[:1]))
    head = shown.page.locator('#table th[data-column="net_energy_j"]')
    assert not head.is_visible()
    shown.page.click("#choose")
    shown.page.check('input[value="net_energy_j"]')
    assert head.is_visible()
    shown.page.uncheck('input[value="net_energy_j"]')
    assert not head.is_visible()


def test_downloads_contain_the_visible_rows(show: Show) -> None:
    """CSV and JSON have the filtered rows with ten digits; no cell is a formula."""
    run = hostile_run()
    evil = run.benchmarks[0].model_copy(update={"id": "=1+1"})
    run = run.model_copy(update={"benchmarks": [evil, *run.benchmarks[1:]]})
    shown = show(run)
    with shown.page.expect_download() as download:
        shown.page.click("#csv")
    lines = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
    assert [line["id"] for line in lines] == [
        "'=1+1",
        *(result.id for result in run.benchmarks[1:]),
    ]
    assert run.benchmarks[1].energy is not None
    assert float(lines[1]["energy_j"]) == pytest.approx(run.benchmarks[1].energy.value, rel=1e-9)
    shown.page.fill("#filter", "resnet34")
    with shown.page.expect_download() as download:
        shown.page.click("#json")
    rows = json.loads(download.value.path().read_text("utf-8"))
    assert {row["workload"]["model"] for row in rows} == {"resnet34"}


def test_axes_of_the_trade_off_are_picked(show: Show) -> None:
    """Other metrics and logarithmic axes redraw the figure; the address keeps the choice."""
    run = example_run()
    shown = show(run)
    shown.page.select_option("#x", "params")
    shown.page.select_option("#y", "power_w")
    shown.page.check("#xlog")
    assert shown.page.locator("#scatter use.fill").count() == len(run.benchmarks)
    assert "Parameters" in shown.page.locator("#scatter").inner_html()
    assert shown.page.input_value("#preset") == ""
    before = shown.page.locator("#scatter").inner_html()
    shown.page.reload()
    assert shown.page.locator("#scatter").inner_html() == before


def test_the_explorer_draws_the_fronts_of_the_figures(show: Show) -> None:
    """Without and with the script, each data set has a front of its own."""
    results = [
        result.model_copy(
            update={
                "id": f"{result.id}-{name}",
                "workload": {**result.workload, "data": name},
            }
        )
        for name in ("cifar10", "mnist")
        for result in example_run().benchmarks
    ]
    page, title = show(run_of(results)).page, "Latency against parameters"
    page.select_option("#preset", label=title)
    drawn = page.locator("#scatter .front").get_attribute("d") or ""
    figure = page.locator("#trade-offs figure", has_text=title)
    assert drawn.count("M") == figure.locator(".front").count() == 2


def test_scores_of_training_are_an_axis_for_inference(show: Show) -> None:
    """Each kind has its own figures; inference has the accuracy of the training benchmarks."""
    shown = show(run_of(trained_and_run(MODELS[:3])))
    options = shown.page.locator("#preset option").all_inner_texts()
    assert "Accuracy against training energy" in options
    shown.page.select_option("#preset", label="Accuracy against CO₂")
    assert shown.page.input_value("#kind") == "inference"
    assert shown.page.locator("#scatter use.fill").count() == 3
    shown.page.select_option("#kind", "training")
    assert shown.page.locator("#scatter use.fill").count() == 0
    assert "No benchmark shown has both" in shown.page.locator("#none").inner_text()
    shown.page.select_option("#preset", label="Accuracy against training energy")
    assert shown.page.locator("#scatter use.fill").count() == 3
    assert shown.faultless()


TEXT_LEFT = """element => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect().left;
}"""
"""Where a text begins, in pixels."""


def test_a_comparison_with_an_older_file_is_shown(show: Show) -> None:
    """Without a baseline the page shows changes against the older file, and names it."""
    run = example_run(MODELS[:3], ("baseline",), baseline=False)
    older, oldest = (
        run.model_copy(update={"created": f"2026-{month:02}-01T08:00:00Z"}) for month in (10, 9)
    )
    shown = show(run, older=(older, oldest))
    assert "Compared with older0.json" in shown.page.locator(".headline").inner_text()
    assert shown.page.locator("#changes svg .interval").count() == 3
    heading, chart = (shown.page.locator(f"#trends {part}").first for part in (".plot", "svg"))
    assert heading.evaluate(TEXT_LEFT) < chart.bounding_box()["x"] + 20
    shown.page.locator("#table tbody a").first.click()
    assert "older0.json" in shown.page.locator("#drawer").inner_text()
    assert shown.faultless()


def open_trace(shown: Shown) -> None:
    """Open the first benchmark's drawer and wait for its trace."""
    shown.page.locator("#table tbody a").first.click()
    shown.page.wait_for_selector("#drawer .power output")


def span(shown: Shown) -> tuple[float, float, float]:
    """The visible span as the page names it: begin and end in seconds, and joules."""
    text = shown.page.locator("#drawer .power output").inner_text()
    begin, end, joules = re.findall(r"[\d.]+(?:e\+\d+)?", text)[:3]
    return float(begin), float(end), float(joules)


def test_joules_of_a_zoomed_span_are_those_of_the_trace(show: Show) -> None:
    """The joules of a selected span agree with the trace within 0.1 %."""
    run = rich_run()
    shown = show(run)
    open_trace(shown)
    traces = run.benchmarks[0].trace
    assert traces
    buckets = decode(traces[0]).buckets
    whole = span(shown)
    assert whole[2] == pytest.approx(sum(bucket.energy_j for bucket in buckets), rel=1e-3)
    box = shown.page.locator("#drawer svg.trace").bounding_box()
    assert box
    shown.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
    shown.page.mouse.down()
    shown.page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 50, steps=3)
    shown.page.mouse.up()
    begin, end, joules = span(shown)
    assert 0.2 < (end - begin) / whole[1] < 0.3
    time, truth = 0.0, 0.0
    for bucket in buckets:
        if begin - 1e-3 < time + bucket.duration_s / 2 < end + 1e-3:
            truth += bucket.energy_j
        time += bucket.duration_s
    assert joules == pytest.approx(truth, rel=1e-3)


def test_rounds_and_conditions_zoom_with_the_power(show: Show) -> None:
    """Rounds, temperature and clocks use the time axis of the visible span."""
    shown = show(rich_run())
    open_trace(shown)
    page = shown.page
    paths = {name: page.locator(f"#drawer .power {name}").first for name in (".round", ".lanes")}
    before = {name: path.get_attribute("d") for name, path in paths.items()}
    page.locator('#drawer [data-zoom="in"]').click()
    for name, path in paths.items():
        assert path.get_attribute("d") != before[name], name
    page.locator('#drawer [data-zoom="all"]').click()
    steps = re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", paths[".lanes"].get_attribute("d") or "")
    shades = re.findall(r"M([\d.]+) \d+H([\d.]+)", paths[".round"].get_attribute("d") or "")
    assert steps == shades * 2


def test_keyboard_reaches_everything(show: Show) -> None:
    """Skip link, sorting, opening a drawer, zooming its trace and closing it need no mouse."""
    shown = show(rich_run())
    page = shown.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator('#table th[data-column="energy_j"] button').focus()
    page.keyboard.press("Enter")
    assert page.get_attribute('#table th[data-column="energy_j"]', "aria-sort") == "ascending"
    page.locator("#table tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer .power output")
    whole = span(shown)
    page.locator("#drawer svg.trace").focus()
    page.keyboard.press("+")
    begin, end, _ = span(shown)
    assert (end - begin) == pytest.approx((whole[1] - whole[0]) / 2, rel=0.01)
    page.keyboard.press("ArrowLeft")
    assert span(shown)[0] < begin
    page.keyboard.press("0")
    assert span(shown) == whole
    page.keyboard.press("Escape")
    assert not page.locator("#drawer").is_visible()
    assert page.evaluate("document.activeElement.matches('#table tbody a')")
    assert shown.faultless()


def test_dots_are_reached_by_keyboard(show: Show) -> None:
    """Tab stops once at the dots; arrows select one, Enter opens it, and Escape returns."""
    shown = show(rich_run())
    page = shown.page
    dots = page.locator("#scatter use.fill")
    assert page.locator('#scatter [tabindex="0"]').count() == 1
    page.locator("#group").focus()
    page.keyboard.press("Tab")
    first = page.locator("#tip").inner_text()
    assert first == dots.nth(0).get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text() == dots.nth(1).get_attribute("aria-label")
    page.keyboard.press("Enter")
    assert rich_run().benchmarks[1].id in page.locator("#drawer").inner_text()
    page.keyboard.press("Escape")
    assert dots.nth(1).evaluate("dot => dot === document.activeElement")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tip").inner_text() == first
    assert shown.faultless()


def test_a_drawer_opens_from_its_address(show: Show) -> None:
    """A link that names the test opens its drawer, with its commands."""
    run = example_run(MODELS[:2])
    name = run.benchmarks[3].id.partition("::")[2]
    for at in (f"#{name}", f"#open={name}&sort=energy_j%3Aup"):
        text = show(run, at=at).page.locator("#drawer").inner_text()
        assert run.benchmarks[3].id in text
        assert f"pytest '{run.benchmarks[3].id}' --energy --energy-update" in text


NAMES = ("test_a[x=1&open=y]", "test_b[50 %-ü]", "summary", "test_d[a b]", "test_d[a_b]")


def test_the_address_names_the_open_benchmark(show: Show) -> None:
    """Opening a drawer puts the test's name into the address, which opens it again."""
    results = example_run(MODELS[: len(NAMES)], ("baseline",)).benchmarks
    ids = {other: f"t.py::{other}" for other in NAMES}
    renamed = [
        result.model_copy(update={"id": ids[other]})
        for result, other in zip(results, NAMES, strict=True)
    ]
    shown = show(run_of(renamed))
    for place, name in enumerate(NAMES):
        shown.page.locator("#table tbody a").nth(place).click()
        assert "open=" not in shown.page.url.split("#")[1].partition("[")[0]
        shown.page.reload()
        shown.page.wait_for_selector("html[data-ready]")
        assert f"t.py::{name}" in shown.page.locator("#drawer .subtitle").inner_text()
        shown.page.keyboard.press("Escape")


def test_sentence_and_commands_come_first(show: Show) -> None:
    """Above all tables and charts, the drawer says the verdict and what to type."""
    shown = show(example_run(MODELS[:2]))
    shown.page.locator("#table tbody a").nth(3).click()
    text = shown.page.locator("#drawer .panel").inner_text()
    assert "+9.0 %" in text[: text.index("Measure again")]
    assert text.index("Measure again") < text.index("Accept") < text.index("Outcome")


def test_the_rounds_of_a_suspect_share_one_chart(show: Show) -> None:
    """Thirty visits give one chart of all rounds; their own charts are folded away."""
    result = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    visits = [
        result.model_copy(
            update={
                "rounds": [
                    done.model_copy(update={"start": done.start + 1000 * visit, "visit": visit})
                    for done in result.rounds
                ]
            }
        )
        for visit in range(1, 31)
    ]
    suspect = result.model_copy(
        update={
            "trace": [power_trace(visit, 500, seed) for seed, visit in enumerate(visits)],
            "rounds": [done for visit in visits for done in visit.rounds],
        }
    )
    shown = show(run_of([suspect]))
    shown.page.locator("#table tbody a").first.click()
    assert shown.page.locator("#drawer .overlay path.line").count() == 90
    assert shown.page.locator("#drawer .power").first.is_hidden()
    assert shown.page.locator("#drawer .panel").evaluate("panel => panel.scrollHeight") < 2000
    shown.page.get_by_text("30 charts").click()
    charts = shown.page.locator("#drawer .power")
    for visit in (0, 29):
        shown.page.locator("#drawer .visit > summary").nth(visit).click()
        assert [at for at in range(30) if charts.nth(at).is_visible()] == [visit]
    assert shown.page.locator("#drawer .panel").evaluate("panel => panel.scrollHeight") < 3500
    assert shown.faultless()


def test_dark_mode_is_dark_and_light_is_light(show: Show) -> None:
    """The page follows the system's scheme, charts included."""
    luminance = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)"
    )
    dark = show(rich_run(), scheme="dark")
    assert dark.page.evaluate(luminance) < 150
    fill = "getComputedStyle(document.querySelector('#scatter use.fill')).fill"
    dark_fill = dark.page.evaluate(fill)
    light = show(rich_run(), scheme="light")
    assert light.page.evaluate(luminance) > 700
    assert light.page.evaluate(fill) != dark_fill


def test_without_script_everything_is_readable(show: Show) -> None:
    """Charts, tables, drawers and commands are visible; controls without effect are hidden."""
    shown = show(rich_run(), scripts=False)
    page = shown.page
    for name, selector in CHARTS.items():
        if name != "trade-offs":
            assert page.locator(selector).count() > 0, name
    assert page.locator(".figures figure svg .fill use").first.is_visible()
    assert not page.locator("#filter").is_visible()
    assert not page.locator("#explorer").is_visible()
    assert page.locator("button.card").count() > 0
    assert page.locator("button:visible:enabled").count() == 0
    page.locator("details.drawer summary").first.click()
    assert page.locator(".panel .mean").first.is_visible()
    assert shown.faultless()


JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"


class _Jenkins(SimpleHTTPRequestHandler):
    """Serves files as Jenkins serves archived pages."""

    policy = JENKINS

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(params=[JENKINS, JENKINS.removeprefix("sandbox; ")])
def jenkins(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server with Jenkins' default policy, or with one that only blocks scripts.

    To a parser, scripts are enabled in the second case.
    """
    handler = type("_Handler", (_Jenkins,), {"policy": request.param})
    server = HTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_readable_under_jenkins_policy(jenkins: str, tmp_path: Path, browser: Browser) -> None:
    """With scripts and styles blocked, marks keep colour and size, and whiskers keep strokes."""
    (tmp_path / "report.html").write_text(render_html(rich_run()), "utf-8")
    page = browser.new_page()
    page.goto(f"{jenkins}/report.html")
    assert page.locator(".headline").is_visible()
    style = "mark => ['stroke', 'strokeWidth', 'fill'].map((key) => getComputedStyle(mark)[key])"
    whisker = page.locator("#changes path.interval").first
    assert whisker.evaluate(style)[:2] == ["rgb(74, 85, 104)", "2px"]
    assert page.locator("figure .fill use").first.evaluate(style)[2] == "rgb(11, 98, 196)"
    assert page.evaluate("document.documentElement.dataset.ready") is None
    page.locator("details.drawer summary").first.click()
    assert page.locator(".panel .mean").first.is_visible()
    page.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_no_violation(scheme: str, width: int, show: Show) -> None:
    """The page and an open drawer meet the rules of axe-core: light, dark, and on a telephone."""
    from axe_playwright_python.sync_playwright import Axe

    small = example_run(MODELS[:2], ("baseline", "blurpool"), batch_sizes=(1, 8), rounds=12)
    failed = UnpassedTest(id="t.py::test_x", outcome="failed", reason="no", text="E no", output="x")
    run = traced_run(run_of(small.benchmarks, unpassed=[failed]), samples=500, distinct=1)
    older = tuple(small.model_copy(update={"created": f"2026-0{m}-01T00:00:00Z"}) for m in (5, 6))
    shown = show(run, older=older, scheme=scheme, width=width)
    shown.page.fill("#filter", "test")
    shown.page.evaluate(
        "document.querySelectorAll('details').forEach(each => { each.open = true })"
    )
    for part in (None, "#drawer"):
        if part:
            open_trace(shown)
        violations = Axe().run(shown.page, context=part).response["violations"]
        assert [
            (violation["id"], violation["nodes"][0]["html"][:200]) for violation in violations
        ] == []


def pages_of(shown: Shown) -> list[int]:
    """The number of characters on each printed page."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(shown.page.pdf(format="A4")))
    return [len(page.extract_text()) for page in reader.pages]


def test_printed_pages_are_filled(show: Show) -> None:
    """No page but the last is nearly empty."""
    pages = pages_of(show(example_run(MODELS[:4])))
    assert len(pages) > 2
    assert min(pages[:-1]) > 400


def test_the_whole_table_is_printed(show: Show) -> None:
    """Paper cannot be scrolled, so the last column is on the page, too."""
    page = show(example_run(MODELS[:2])).page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins
    assert page.evaluate("document.querySelector('#table').getBoundingClientRect().right") <= 718


def test_narrow_screens_do_not_scroll_sideways(show: Show) -> None:
    """At the width of a telephone only tables scroll, within their frames."""
    shown = show(rich_run(), older=(rich_run(),) * 2, width=390)
    assert shown.page.locator("#two-runs select").count() == 2  # with the long names of runs
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_round_takes_one_line_on_a_telephone(show: Show) -> None:
    """Its energy is beside its number, on the screen."""
    shown = show(rich_run(), width=390)
    open_trace(shown)
    rounds = shown.page.locator("#drawer .rounds")
    assert rounds.locator("thead th").all_inner_texts()[:3] == ["Round", "Energy", "A pass"]
    energy = rounds.locator("tbody tr").first.locator("td").nth(1)
    line_px = float(energy.evaluate("cell => parseFloat(getComputedStyle(cell).lineHeight)"))
    box = energy.bounding_box() or {}
    assert box["height"] < 2 * line_px
    assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize(("width", "wider"), [(1080, False), (1440, True), (1920, True)])
def test_the_table_takes_the_room_beside_the_text(width: int, wider: bool, show: Show) -> None:
    """It has many columns; its heading stays above the other headings, and no page is too wide."""
    page = show(example_run(MODELS[:2])).page
    page.set_viewport_size({"width": width, "height": 800})
    table, title, other = (
        page.locator(place).bounding_box() or {}
        for place in ("#results > .scroll", "#results > h2", "#changes > h2")
    )
    assert (table["width"] > title["width"]) == wider
    assert title["x"] == other["x"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_two_hundred_benchmarks_with_long_traces(show: Show) -> None:
    """The largest supported page is below 4 MB, can be sorted, and opens a drawer."""
    shown = show(large_run())
    assert shown.path.stat().st_size <= 4_000_000
    shown.page.locator('#table th[data-column="energy_j"] button').click()
    assert energies(shown) == sorted(energies(shown))
    open_trace(shown)
    assert shown.faultless()


READ_FOREST = """
table => {
  const centre = element => {
    const box = element.getBoundingClientRect();
    return box.x + box.width / 2;
  };
  const labels = [...table.querySelectorAll("thead .tick text")];
  const ticks = labels.map(text => [text.textContent, centre(text)]);
  const rows = [...table.querySelectorAll("tbody tr")].map(row => [
    row.querySelector("td:nth-of-type(3)").textContent, centre(row.querySelector("circle")),
  ]);
  return [ticks, rows];
}
"""


def fraction(text: str) -> float:
    """The number at the beginning of ``−5 %`` or ``+9.0 % [+7.0, +11.0]``."""
    return float(text.split(" %")[0].replace("−", "-")) / 100


@pytest.mark.parametrize("width", [390, 768, 1080, 1280, 1440, 1920])
def test_marks_of_the_forest_lie_at_their_values(width: int, show: Show) -> None:
    """By the axis above it, each dot reads as the number beside it, at every width."""
    shown = show(example_run(MODELS[:3]), width=width)
    unfold = (
        "document.querySelectorAll('#changes details.more').forEach(more => { more.open = true })"
    )
    shown.page.evaluate(unfold)
    tables = shown.page.locator("#changes details[open] > .scroll table.forest").all()
    assert len(tables) > 1
    for table in tables:
        table.scroll_into_view_if_needed()
        ticks, rows = table.evaluate(READ_FOREST)
        (low, left), (high, right) = ((fraction(text), at) for text, at in (ticks[0], ticks[-1]))
        for text, at in rows:
            value = low + (at - left) / (right - left) * (high - low)
            assert value == pytest.approx(fraction(text), abs=0.004)
        assert rows


def test_the_axis_of_a_table_stands_above_its_drawings(show: Show) -> None:
    """Zero in the table's head is exactly above the zero lines of its rows."""
    shown = show(example_run(MODELS[:2], rounds=4))
    for section in ("changes", "distributions"):
        table = shown.page.locator(f"#{section} table.forest").last
        table.evaluate("table => table.closest('details').open = true")
        table.scroll_into_view_if_needed()
        middles = table.locator("svg").evaluate_all(
            "drawings => drawings.map(svg => svg.getBoundingClientRect().x)"
        )
        assert len(set(middles)) == 1, section
