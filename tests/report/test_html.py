"""The page as text: whole, inert, and written by the command."""

from __future__ import annotations

import gc
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pytest_energy.cli import main
from pytest_energy.model.json_files import save_run
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, Run
from pytest_energy.report import numbers
from pytest_energy.report.html.drawer import rows_with_charts
from pytest_energy.report.html.render import render_html
from pytest_energy.report.html.results_table import build_table
from pytest_energy.report.html.templating import environment
from pytest_energy.report.sentences import accept_command
from pytest_energy.uncertainty.units import per_unit

from .examples import (
    HOSTILE,
    MODELS,
    empty_run,
    example_run,
    hostile_run,
    run_of,
    unmeasured_run,
)
from .handmade import result
from .handmade import run as run_by_hand

VOID = {"meta", "link", "input", "img", "br", "hr", "path", "line", "rect", "circle"}


class Outline(HTMLParser):
    """Elements of a page, checked to be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, (tag, self.getpos())


def outline(page: str) -> Outline:
    """The elements of ``page``."""
    parsed = Outline()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed


RUNS = {
    "many": example_run(batch_sizes=(1, 8)),
    "one": example_run(MODELS[:1], ("baseline",)),
    "empty": empty_run(),
    "no baseline": example_run(MODELS[:2], baseline=False),
    "unmeasured": unmeasured_run(),
    "hostile": hostile_run(),
}


def as_json(value: object) -> str:
    """The value as templates write it."""
    return environment().from_string("{{ value | tojson }}").render(value=value)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_page_is_well_formed_and_asks_for_nothing(run: Run) -> None:
    """Every element is closed, ids are unique, links have targets, and no address is external."""
    elements = outline(render_html(run)).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        assert not {"style", "onclick", "onerror", "onload"} & attributes.keys()
        for name in ("src", "href", "action", "data"):
            target = attributes.get(name) or "#main"
            assert target == "data:," or unquote(target.removeprefix("#")) in ids, (name, target)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_a_page(enabled: bool) -> None:
    """A page, and one that cannot be made, leave Python's collector on or off."""
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        render_html(example_run(MODELS[:1]))
        assert gc.isenabled() == enabled
        with pytest.raises(AttributeError):
            render_html(None)  # type: ignore[arg-type]
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_hostile_text_stays_text() -> None:
    """Ids, facts and messages cannot add an element or end a block."""
    page = render_html(hostile_run())
    elements = outline(page).elements
    assert not [tag for tag, _ in elements if tag in ("img", "s")]
    assert sum(tag == "script" and "type" not in attributes for tag, attributes in elements) == 2
    assert page.count("</noscript") == 1
    assert "49" not in page.split("test_evil[")[1][:80]
    assert HOSTILE not in page


def test_data_block_is_json_that_ends_no_element() -> None:
    """The script reads the original data, and the text has no angle bracket."""
    text = as_json({"id": HOSTILE})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"id": HOSTILE}


def test_data_block_refuses_numbers_that_json_does_not_know() -> None:
    """NaN is an error when the page is written, because JSON.parse would fail in the browser."""
    with pytest.raises(ValueError, match="Out of range float"):
        as_json({"x": float("nan")})


def test_verdict_table_and_environment_are_shown() -> None:
    """The text has the verdict, joules with uncertainty, change with interval, and differences."""
    page = render_html(example_run())
    for text in (
        "<strong>Gate failed:</strong> 5 of 48 benchmarks",
        "0.3100 ± 0.0012 J/pass",
        "+9.0 % [+8.1, +9.9]",
        "25.6 M",
        '<tr class="differs"><th scope="row">torch</th>',
        "<dt>tolerance</dt><dd>5 %</dd>",
    ):
        assert text in page, text


def test_command_writes_the_page_beside_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``pytest-energy report results.json`` writes report.html and prints its path."""
    save_run(example_run(MODELS[:1]), tmp_path / "results.json")
    assert main(["report", str(tmp_path / "results.json")]) == 0
    written = tmp_path / "report.html"
    assert capsys.readouterr().out == f"{written}\n"
    assert written.read_text("utf-8") == render_html(example_run(MODELS[:1]))


def test_command_writes_every_output_from_the_same_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each output is at its path; an output that cannot be written does not prevent the others."""
    monkeypatch.chdir(tmp_path)
    save_run(example_run(MODELS[:1]), Path("results.json"))
    options = ("--markdown=a.md", "--openmetrics=b.txt", "--github-benchmark=c.json")
    assert main(["report", "results.json", *options, "--code-quality=d.json"]) == 0
    files = ["report.html", "a.md", "d.json", "b.txt", "c.json"]
    assert capsys.readouterr().out.splitlines() == files
    assert all(MODELS[0].name in Path(file).read_text("utf-8") for file in files)
    Path("taken").mkdir()
    assert main(["report", "results.json", "--markdown=taken", "--openmetrics=e.txt"]) == 2
    assert "could not write taken: " in capsys.readouterr().err
    assert Path("e.txt").exists()


def test_command_names_a_file_that_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file gives one line of error and exit status 2, and no page is written."""
    path = tmp_path / "results.json"
    path.write_text("{", "utf-8")
    assert main(["report", str(path), "-o", str(tmp_path / "page.html")]) == 2
    assert "not a results file" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_reading_counts_the_gain_where_the_gate_does() -> None:
    """± excludes the gain of a sensor; the change includes it only between two boards."""
    page = render_html(example_run(MODELS[:1], ("baseline",)))
    reading = " ".join(re.sub(r"<[^>]+>", " ", page.partition('id="reading"')[2]).split())
    assert "It does not include the gain of a GPU's sensor" in html.unescape(reading)
    assert "own board the sensor's gain cancels and is not counted" in html.unescape(reading)
    assert "the interval includes it: up to ± 5 % for each sensor" in reading


def test_joules_per_unit_of_work_are_in_the_table_and_in_the_details() -> None:
    """The column is beside the energy, and the details have both directions."""
    run = example_run()
    measured = next(result for result in run.benchmarks if result.energy is not None)
    units = {"token": 4.0}
    result = measured.model_copy(
        update={"units": units, "metrics": {**measured.metrics, **per_unit(measured.energy, units)}}
    )
    page = render_html(run.model_copy(update={"benchmarks": [result]}))
    heads = re.findall(r'<th scope="col" data-column="(\w+)"', page)
    assert heads[heads.index("energy_j") + 1] == "energy_j_per_token"
    (line,) = re.findall(r"<p>Per unit of work: (.*)</p>", page)
    per_token, per_joule = line.split(" · ")
    assert per_token == numbers.quantity(result.metrics["energy_j_per_token"])
    assert per_token.endswith("J/token")
    assert per_joule.endswith("token/J")
    assert page.count(per_token) >= 2


def test_charts_of_power_are_left_out_before_a_page_grows_too_large() -> None:
    """Those of the worst outcomes stay; the drawers of the others say where their power is."""
    run = example_run()
    large = [run.benchmarks[place % len(run.benchmarks)] for place in range(1_020)]
    renamed = [
        result.model_copy(update={"id": f"test_x.py::test_{place}"})
        for place, result in enumerate(large)
    ]
    rows = build_table(renamed, {result.id: result.id for result in renamed}).rows
    drawn = [rows[place].result.verdict.outcome for place in rows_with_charts(rows)]
    assert 0 < len(drawn) < len(rows)
    assert set(drawn) <= {"regressed", "improved"}
    assert len(rows_with_charts(rows[:300])) == 300


def test_a_page_says_once_that_charts_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many it has room for stands below the table, not in each drawer."""
    run = example_run(MODELS[:2])
    assert "The page has room" not in render_html(run)
    monkeypatch.setattr("pytest_energy.report.html.page.rows_with_charts", lambda rows: {0})
    page = render_html(run)
    assert (
        page.count(f"The page has room for the power over time of 1 of {len(run.benchmarks)}") == 1
    )


def test_only_what_changes_a_baseline_can_be_accepted() -> None:
    """Nothing is to accept within the tolerance, beyond a budget, or after a failed test."""
    accepted = {each.value for each in Outcome if accept_command(result(each))}
    assert accepted == {"regressed", "improved", "inconclusive", "new", "incomparable"}
    page = render_html(run_by_hand(result(), result(Outcome.IMPROVED, id="a.py::test_b")))
    assert re.findall("Accept: <code>(.*?)</code>", page) == [
        "pytest a.py::test_b --energy --energy-update"
    ]


def test_changed_facts_are_said_once() -> None:
    """The sentence of a drawer names them, but for one that is within its tolerance."""
    changed = [Difference(name="context.power_limit_w", before=700, after=600)]
    for outcome in (Outcome.REGRESSED, Outcome.UNCHANGED):
        calm = result(outcome)
        verdict = calm.verdict.model_copy(update={"context": changed})
        page = render_html(run_by_hand(calm.model_copy(update={"verdict": verdict})))
        drawer = page.partition('id="benchmarks"')[2]
        assert drawer.count("power limit 700 → 600 W") == 1, outcome


def test_the_status_is_not_said_twice() -> None:
    """Beside the outcome stands the status only where it is another word."""
    assert 'class="status"' not in render_html(unmeasured_run())
    first = example_run(MODELS[:1], ("baseline",)).benchmarks[0]
    estimated = run_of([first.model_copy(update={"status": "estimated"})])
    assert '<span class="status">estimated</span>' in render_html(estimated)
