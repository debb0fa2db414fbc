"""One page with the tables and figures of all papers that a run has results of."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.tables import PAPERS, tables_of
from benchmarks.tables.conditions import grouped
from benchmarks.tables.drawing import svg
from benchmarks.tables.figures import figures_of
from benchmarks.tables.layout import Table
from pytest_energy.model.files import write_atomically
from pytest_energy.model.result import Result, Run

TITLES: Final = {
    "a": "Paper A: Burmester, Kalcher, Reil 2022",
    "b": "Paper B: Xu, Martínez-Fernández, Martinez, Franch 2023",
    "c": "Paper C: Badar, Varma, Staniec et al. 2021",
    "d": "Paper D: Edelman, Samsi, McDonald et al. 2023",
    "e": "Paper E: Jha 2025",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page."""

    name: str
    image: str
    """A data URI: a page needs no other file. Empty if the figure cannot be drawn."""
    missing: str


@dataclass(frozen=True)
class Part:
    """Tables and figures of results of the same conditions."""

    conditions: str
    tables: tuple[Table, ...]
    figures: tuple[Picture, ...]


@dataclass(frozen=True)
class Paper:
    """Everything of one paper."""

    letter: str
    title: str
    parts: tuple[Part, ...]


def write_page(runs: Sequence[Run], path: Path) -> bool:
    """Write the page, and return whether the runs have results of a paper.

    Raises:
        OSError: The file cannot be written.
    """
    papers = [Paper(name, TITLES[name], parts) for name in PAPERS if (parts := _parts(runs, name))]
    if papers:
        templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=StrictUndefined,
        )
        page = templates.get_template("papers.html.j2").render(papers=papers)
        write_atomically(path, page)
    return bool(papers)


def _parts(runs: Sequence[Run], paper: str) -> tuple[Part, ...]:
    return tuple(
        Part(str(conditions), tables_of(paper, results), tuple(_pictures(paper, results)))
        for conditions, results in grouped(runs, paper).items()
    )


def _pictures(paper: str, results: Sequence[Result]) -> Iterator[Picture]:
    for figure in figures_of(paper, results):
        image = ""
        if figure.drawing is not None:
            encoded = base64.b64encode(svg(figure.drawing, figure.name)).decode()
            image = f"data:image/svg+xml;base64,{encoded}"
        yield Picture(figure.name, image, figure.missing)
