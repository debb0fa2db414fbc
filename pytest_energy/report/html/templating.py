"""Jinja2 with the page's templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.report import numbers
from pytest_energy.report.html.charts import geometry
from pytest_energy.report.html.content_security import JSON_OPTIONS
from pytest_energy.report.html.results_table import Cell
from pytest_energy.report.labels import humanized

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates_folder() -> Path:
    """``templates/`` inside the package, as in a wheel, or beside it, as in a checkout.

    Raises:
        FileNotFoundError: It is in neither place.
    """
    package = Path(__file__).parents[2]
    for parent in (package, package.parent):
        if (folder := parent / "templates").is_dir():
            return folder
    raise FileNotFoundError(f"no templates/ in {package} or beside it; reinstall pytest-energy")


@cache
def environment() -> Environment:
    """Jinja2 that escapes everything and refuses undefined names."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.ext import Extension

    class Unindented(Extension):
        """Drops the indentation of templates, which is a twentieth of a large page."""

        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
            return re.sub(r"\n\s+", "\n", source)

    jinja = Environment(
        extensions=[Unindented],
        loader=FileSystemLoader(templates_folder()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(px=_pixels, cells=_cells, coded=_coded, humanized=humanized)
    jinja.filters.update(unbroken=_unbroken, marked_cells=_marked_cells)
    jinja.policies["json.dumps_kwargs"] = JSON_OPTIONS
    jinja.globals.update(numbers=numbers, metric=metric, outcomes=tuple(Outcome), frames=geometry)
    return jinja


def _pixels(value: float) -> str:
    """A coordinate to a tenth of a pixel; a page holds tens of thousands of them."""
    return f"{value:.1f}".removesuffix(".0")


def _cells(texts: Iterable[str]) -> Markup:
    """All cells of a row. A page holds thousands, and a loop in a template is slow.

    Their texts are escaped at once, with a line feed between two cells; in a cell it is a space.
    """
    lines = str(escape("\n".join([text.replace("\n", " ") for text in texts])))
    return Markup("<td>{}</td>".format(lines.replace("\n", "</td><td>")))


def _marked_cells(cells: Iterable[Cell | None]) -> Markup:
    """All cells of a row of the table of results; those of good values are marked."""
    return Markup("".join(f"<td>{_marked(cell)}</td>" for cell in cells))


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return numbers.MISSING
    text = escape(cell.text)
    if cell.best:
        return f'<strong class="best">{text} <b title="best of its group">★</b></strong>'
    return f"<strong>{text}</strong>" if cell.better else text


def _coded(text: str) -> Markup:
    """Text whose parts in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _unbroken(text: str) -> Markup:
    """Text whose percentages stand on one line."""
    return Markup(re.sub(r"[\d.]+ %", r'<span class="keep">\g<0></span>', str(escape(text))))


def script() -> str:
    """The page's script. It is no template, so that its braces stay what they are."""
    return (templates_folder() / "report.js").read_text("utf-8").strip()
