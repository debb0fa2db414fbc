"""The files that a session leaves: HTML always, others where they were asked for."""

from __future__ import annotations

from pathlib import Path

from pytest_energy.files import write_atomically
from pytest_energy.measurement import Run
from pytest_energy.settings import Settings


def write_outputs(run: Run, settings: Settings) -> list[Path]:
    """Write all outputs of ``run`` but the results themselves.

    Returns:
        The paths of the results and of what was written.
    """
    from pytest_energy.report.html import render_html
    from pytest_energy.report.markdown import render_markdown

    write_atomically(settings.html, render_html(run))
    written = [settings.json, settings.html]
    if settings.markdown is not None:
        write_atomically(settings.markdown, render_markdown(run))
        written.append(settings.markdown)
    return written
