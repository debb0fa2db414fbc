"""One run as one page: a single file that needs no network and sends nothing anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from pytest_energy.model.result import Run
from pytest_energy.report.comparison import Reference
from pytest_energy.report.html.charts.scatter import build_explorer
from pytest_energy.report.html.content_security import content_security_policy, inert_json
from pytest_energy.report.html.page import build_page
from pytest_energy.report.html.results_table import export
from pytest_energy.report.html.templating import environment, source


def render_html(run: Run, older: Sequence[Reference] = ()) -> str:
    """The whole page.

    Args:
        run: What to report.
        older: Earlier runs, for the history of each benchmark; the newest of them is what
            benchmarks without a baseline are compared with.
    """
    page = build_page(run, older)
    style, script = source("report.css").strip(), source("report.js").strip()
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            run=page.run,
            explorer=build_explorer(page.table.rows),
            policy=content_security_policy(script, style),
            style=Markup(style),
            script=Markup(script),
            data=inert_json(export(page.table)),
        )
    )
