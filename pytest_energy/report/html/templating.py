"""Where templates are: inside the installed package, or beside it in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from pytest_energy.model.metrics import metric
from pytest_energy.report import numbers
from pytest_energy.report.html.content_security import inert_json

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = Path(__file__).parents[2]
FOLDERS = (_PACKAGE / "templates", _PACKAGE.parent / "templates")


@cache
def environment() -> Environment:
    """Jinja2 that escapes everything and refuses what is not defined."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.ext import Extension

    class Unindented(Extension):
        """Drops the indentation of templates: it would be a twentieth of a large page."""

        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
            return re.sub(r"\n\s+", "\n", source)

    jinja = Environment(
        extensions=[Unindented],
        loader=FileSystemLoader(FOLDERS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters.update(px=_pixels, cells=_cells, inert=inert_json)
    jinja.globals.update(numbers=numbers, metric=metric)
    return jinja


def _pixels(value: float) -> str:
    """A coordinate to a tenth of a pixel, no digit more: a page holds tens of thousands."""
    return f"{value:.1f}".removesuffix(".0")


def _cells(texts: Iterable[str]) -> Markup:
    """A row's cells at once: a page holds thousands, and a loop in a template is slow."""
    return Markup("".join(f"<td>{escape(text)}</td>" for text in texts))


def source(name: str) -> str:
    """The text of a file among the templates, such as the style or the script.

    Raises:
        jinja2.TemplateNotFound: No folder has it.
    """
    jinja = environment()
    assert jinja.loader is not None
    return jinja.loader.get_source(jinja, name)[0]
