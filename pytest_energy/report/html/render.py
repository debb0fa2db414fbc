"""One run as one page: a single file that needs no network and sends nothing anywhere."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from markupsafe import Markup

from pytest_energy.model.result import Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html import templating
from pytest_energy.report.html.charts.geometry import FOR_SCRIPT
from pytest_energy.report.html.charts.scatter import build_explorer
from pytest_energy.report.html.content_security import content_security_policy
from pytest_energy.report.html.page import build_page
from pytest_energy.report.html.results_table import export

BLOCKS: Final = "td|th|tr|thead|tbody|table|p|div|details|h3|h4|g|path|use|rect|text"
"""Elements that no white space separates from the one before."""
LEAVE_DRAWERS: Final = 'document.write("<noscript>")'
"""A script that makes the browser's parser leave what follows as text, up to ``</noscript>``.

The page's script parses one drawer when it is opened. Without scripts, or where their host forbids
them, all drawers are parsed.
"""
PIECES: Final = 10_000
"""Pieces of the template's text in a part of the page."""


def render_html(run: Run, older: Sequence[Reference] = ()) -> str:
    """The whole page; see :func:`html_parts`."""
    with collector_paused():
        return "".join(html_parts(run, older))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause Python's search for cycles, which takes a tenth of the time of a large page.

    A page makes hundreds of thousands of values without any cycle, beside those of the run.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def html_parts(run: Run, older: Sequence[Reference] = ()) -> Iterator[str]:
    """The page in parts: the text of a large one, with its copies, would take 100 MB.

    Args:
        run: What to report.
        older: Earlier runs for the history of each benchmark. Benchmarks without a baseline are
            compared with the newest of them.
    """
    page = build_page(run, older)
    jinja = templating.environment()
    # The policy names their hashes, so both must enter the page exactly as they are hashed.
    style = jinja.get_template("report.css.j2").render(table=page.table).strip()
    script = templating.script()
    pieces = jinja.get_template("report.html.j2").stream(
        page=page,
        run=page.run,
        explorer=build_explorer(page.table.rows),
        policy=content_security_policy((LEAVE_DRAWERS, script), style),
        leave=Markup(LEAVE_DRAWERS),
        style=Markup(style),
        script=Markup(script),
        data={**export(page.table), "frames": FOR_SCRIPT},
    )
    pieces.enable_buffering(PIECES)
    return _closed_up(pieces)


def _closed_up(parts: Iterable[str]) -> Iterator[str]:
    """Leave out line feeds between blocks: each is a node for the browser, a third of a page."""
    between = re.compile(rf">\n+(?=</?(?:{BLOCKS})\b)")
    rest = ""
    for part in parts:
        text = rest + part
        end = max(text.rfind(">"), 0)  # what follows it may be in the next part
        yield between.sub(">", text[:end])
        rest = text[end:]
    yield between.sub(">", rest)
