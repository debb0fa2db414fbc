"""The suite has every row of the papers: the checklist against pytest's collection."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import deselect_by_keyword, deselect_by_mark

from benchmarks.conftest import QUICK
from benchmarks.tables import PAPERS, tables_of
from benchmarks.tables.figures import figures_of
from benchmarks.tables.paper_e import low_carbon

ROOT = Path(__file__).parents[2]


def expand(pattern: str) -> list[str]:
    """All texts that a pattern with nested {a,b} stands for."""
    innermost = re.search(r"\{([^{}]*)\}", pattern)
    if innermost is None:
        return [pattern]
    before, after = pattern[: innermost.start()], pattern[innermost.end() :]
    choices = innermost.group(1).split(",")
    texts = (text for choice in choices for text in expand(before + choice + after))
    return list(dict.fromkeys(texts))  # a choice beside inner braces repeats for each of theirs


def listed() -> dict[str, list[str]]:
    """Names of tests by row of the checklist, such as ``c: BlurPool``."""
    return {
        f"{paper}: {row}": expand(pattern)
        for paper, parts in checklist().items()
        for row, pattern in parts["rows"].items()
    }


def checklist() -> dict[str, dict[str, dict[str, str]]]:
    """By paper, by ``rows``, ``tables`` and ``figures``: the entries of the checklist."""
    entries: dict[str, dict[str, dict[str, str]]] = tomllib.loads(
        (ROOT / "benchmarks/checklist.toml").read_text("utf-8")
    )
    return entries


def working(paper: str, part: str) -> list[str]:
    """The begins of titles or names that work, braces expanded.

    Raises:
        AssertionError: An entry neither works nor gives a reason.
    """
    begins = []
    for entry, state in checklist()[paper][part].items():
        verdict, _, detail = state.partition(": ")
        assert verdict in ("works", "cannot"), f"{paper}: {entry}: {state}"
        assert len(detail) > (30 if verdict == "cannot" else 0), f"{paper}: {entry}: no reason"
        begins += expand(detail) if verdict == "works" else []
    return begins


def unmatched(begins: list[str], names: list[str]) -> tuple[list[str], list[str]]:
    """Begins that no name has, and names that no begin has."""
    idle = [begin for begin in begins if not any(name.startswith(begin) for name in names)]
    return idle, [name for name in names if not name.startswith(tuple(begins))]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_table_is_listed_and_every_listed_table_is_made(paper: str) -> None:
    """The checklist and the titles of the tables agree in both directions."""
    tables = [*tables_of(paper, []), *([low_carbon([], [1.0] * 24)] if paper == "e" else [])]
    assert unmatched(working(paper, "tables"), [table.title for table in tables]) == ([], [])


@pytest.mark.parametrize("paper", PAPERS)
def test_every_figure_is_listed_and_every_listed_figure_is_made(paper: str) -> None:
    """The checklist and the names of the figures agree in both directions."""
    names = [figure.name for figure in figures_of(paper, [])]
    assert unmatched(working(paper, "figures"), names) == ([], [])


class Collector:
    """A plugin that collects the markers of each test, by the test's name."""

    def __init__(self) -> None:
        self.markers: dict[str, set[str]] = {}
        self.items: list[pytest.Item] = []
        self.config: Any = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items, self.config = [*session.items], session.config
        for item in session.items:
            self.markers[item.name] = {marker.name for marker in item.iter_markers()}


@pytest.fixture(scope="module")
def suite() -> Collector:
    """Every test that pytest collects in ``benchmarks/``."""
    collector = Collector()
    pytest.main(["--collect-only", "-qq", str(ROOT / "benchmarks")], plugins=[collector])
    return collector


@pytest.fixture(scope="module")
def collected(suite: Collector) -> dict[str, set[str]]:
    """The markers of every test of the suite."""
    return suite.markers


def selected(suite: Collector, command: str) -> list[pytest.Item]:
    """The tests that a command of pytest runs, by its path, ``-k`` and ``-m``."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("path")
    arguments.add_argument("-k", dest="keyword", default="")
    arguments.add_argument("-m", dest="markexpr", default="")
    option, _ = arguments.parse_known_args(shlex.split(command))
    found = [item for item in suite.items if item.nodeid.startswith(option.path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite.config, "option", option)
        deselect_by_keyword(found, suite.config)
        deselect_by_mark(found, suite.config)
    return found


@pytest.mark.slow
def test_the_commands_of_the_page_select_benchmarks(suite: Collector) -> None:
    """Those of docs/suite.md measure for minutes to days: here each finds what it is to measure.

    Their other options are read in tests/test_doc_blocks.py, and tests/suite/ runs the rows.
    """
    page = (ROOT / "docs" / "suite.md").read_text("utf-8").replace("\\\n", " ")
    commands = re.findall(r"^[^`\n]*\bpytest (benchmarks[^#\n]*)", page, re.MULTILINE)
    numbers = {command.strip(): len(selected(suite, command)) for command in commands}
    assert len(numbers) > 6
    assert numbers["benchmarks/ --energy"] == len(suite.items) == 288
    assert {command: number for command, number in numbers.items() if not number} == {}
    assert sum(number == len(suite.items) for number in numbers.values()) == 1


def test_a_pattern_stands_for_every_choice() -> None:
    """Braces nest: each choice of the outer ones is expanded by itself."""
    assert sorted(expand("t[{a-{1,2},b}]")) == ["t[a-1]", "t[a-2]", "t[b]"]


@pytest.mark.slow
def test_every_row_has_its_benchmarks(collected: dict[str, set[str]]) -> None:
    """No row of the checklist lacks a benchmark."""
    missing = {row: sorted(set(names) - collected.keys()) for row, names in listed().items()}
    assert {row: names for row, names in missing.items() if names} == {}


@pytest.mark.slow
def test_the_quick_benchmarks_come_first(collected: dict[str, set[str]]) -> None:
    """Every quick name is a benchmark, and a run of the suite begins with these."""
    assert set(list(collected)[: len(QUICK)]) == set(QUICK)
    assert {name for name, markers in collected.items() if "quick" in markers} == set(QUICK)


@pytest.mark.slow
def test_every_benchmark_belongs_to_one_row(collected: dict[str, set[str]]) -> None:
    """Pytest collects no benchmark that the checklist lacks or has twice."""
    counts = Counter(name for names in listed().values() for name in names)
    assert {name for name, count in counts.items() if count > 1} == set()
    assert collected.keys() == counts.keys()


@pytest.mark.slow
@pytest.mark.parametrize("paper", ["a", "b", "c", "d", "e"])
def test_a_papers_marker_selects_its_rows(collected: dict[str, set[str]], paper: str) -> None:
    """-m paper_x selects the benchmarks that the checklist has under that letter."""
    rows = (names for row, names in listed().items() if row.startswith(f"{paper}: "))
    selected = {name for name, markers in collected.items() if f"paper_{paper}" in markers}
    assert selected == {name for names in rows for name in names}


@pytest.mark.slow
def test_the_marker_of_sweeps_selects_every_knob(collected: dict[str, set[str]]) -> None:
    """-m sweep selects all of paper D, including depth, and the sweeps that no paper has."""
    swept = (
        names
        for row, names in listed().items()
        if row.startswith("d: ") or row.endswith("of inference")
    )
    selected = {name for name, markers in collected.items() if "sweep" in markers}
    assert selected == {name for names in swept for name in names}
