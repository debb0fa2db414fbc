"""Which CI system this is, and the outputs that it gets by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pytest_energy.model.result import Run
from pytest_energy.options import OUTPUT_FILES
from pytest_energy.settings import Settings

FOR_GITLAB: Final = ("code-quality", "openmetrics")
"""The outputs that a job of GitLab names as its reports."""


def for_this_ci(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with the CI system's defaults; options that the user gave stay.

    Args:
        settings: The user's settings.
        environ: The environment of the process.
    """
    annotations = settings.annotations
    if annotations == "auto":
        annotations = "on" if environ.get("GITHUB_ACTIONS") == "true" else "off"
    settings = replace(settings, annotations=annotations)
    if environ.get("GITLAB_CI") != "true":
        return settings
    folder = settings.json.parent
    reports = {name: folder / OUTPUT_FILES[name] for name in FOR_GITLAB}
    return replace(settings, output={**reports, **settings.output})


def add_job_summary(run: Run, environ: Mapping[str, str]) -> list[str]:
    """Add the run to GitHub's job summary, if there is one, within the rest of its size limit.

    Returns:
        An error message if the summary cannot be written.
    """
    from pytest_energy.report.text.markdown import STEP_SUMMARY_BYTES, render_markdown

    if not environ.get("GITHUB_STEP_SUMMARY"):
        return []
    path = Path(environ["GITHUB_STEP_SUMMARY"])
    try:
        # Other tools of the step write into this file, and GitHub drops all of it above the limit.
        written = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(render_markdown(run, STEP_SUMMARY_BYTES - written - 1) + "\n")
    except OSError as error:
        return [f"could not add to GITHUB_STEP_SUMMARY={path}: {error.strerror or error}"]
    return []


def repository_folder(root: Path, environ: Mapping[str, str]) -> str:
    """The tests' root folder, relative to the root of the CI system's checkout."""
    checkout = environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR")
    if not checkout or not root.resolve().is_relative_to(Path(checkout).resolve()):
        return ""
    return root.resolve().relative_to(Path(checkout).resolve()).as_posix()
