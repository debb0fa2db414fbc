"""Settings of the site. ``uv run --group docs sphinx-build -W docs site`` builds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_energy import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # where reference_tables is

project = "pytest-energy"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_tables"]
myst_heading_anchors = 4  # links name headings as on GitHub
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
html_theme = "furo"
html_title = f"pytest-energy {version}"
html_copy_source = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]

COLON = "\N{RATIO}"


def setup(app: Sphinx) -> None:
    """Keep napoleon from reading ``Whether it measures: True with …`` as a type and a text."""
    app.connect("autodoc-process-docstring", _hide_colon, priority=400)
    app.connect("autodoc-process-docstring", _show_colon, priority=600)  # napoleon has 500


def _hide_colon(_app: Any, what: str, _name: str, _member: Any, _opts: Any, lines: Any) -> None:
    if what in {"attribute", "data", "property"} and lines:
        lines[0] = lines[0].replace(": ", f"{COLON} ")


def _show_colon(_app: Any, _what: str, _name: str, _member: Any, _opts: Any, lines: Any) -> None:
    lines[:] = [line.replace(COLON, ":") for line in lines]
