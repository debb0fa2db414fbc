"""The files that a session writes: HTML always, others on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_energy.model.files import not_written, write_atomically
from pytest_energy.model.result import Run
from pytest_energy.settings import OUTPUT_FOLDER, Settings

if TYPE_CHECKING:
    from pytest_energy.report.comparison import Reference


def write_outputs(
    run: Run, settings: Settings, folder: str = "", older: Sequence[Reference] = ()
) -> tuple[list[Path], list[str]]:
    """Write all outputs of ``run`` except the results.

    Args:
        run: The run.
        settings: The paths.
        folder: The tests' root folder, relative to the root of the repository.
        older: Earlier runs for the history in the HTML report.

    Returns:
        The paths of the written files, and an error message for each other file. One bad path
        does not prevent the other outputs.
    """
    # Imported late: pytest imports this module at its start, and jinja2 takes long to import.
    from pytest_energy.report.ci.code_quality import render_code_quality
    from pytest_energy.report.ci.github_benchmark import render_github_benchmark
    from pytest_energy.report.ci.openmetrics import render_openmetrics
    from pytest_energy.report.html.render import collector_paused, html_parts
    from pytest_energy.report.text.markdown import render_markdown

    renderers: dict[str, Callable[[], str | Iterable[str]]] = {
        "html": lambda: html_parts(run, older),
        "markdown": lambda: render_markdown(run),
        "code-quality": lambda: render_code_quality(run, folder),
        "openmetrics": lambda: render_openmetrics(run),
        "github-benchmark": lambda: render_github_benchmark(run),
    }
    written: list[Path] = []
    failed: list[str] = []
    for name, render in renderers.items():
        path = settings.output.get(name)
        if path is None:
            continue
        try:
            with collector_paused():
                write_atomically(path, render())
            keep_out_of_git(path.parent)
            written.append(path)
        except OSError as error:
            failed.append(not_written(path, error))
        except Exception as error:  # a fault of ours, which costs no other output
            failed.append(
                f"could not render {path}: {type(error).__name__}: {error}; this is a fault of"
                " pytest-energy, and the results are saved"
            )
    return written, failed


def keep_out_of_git(folder: Path) -> None:
    """Write a ``.gitignore`` into the default folder of outputs, which nobody commits.

    Raises:
        OSError: It cannot be written.
    """
    ignored = folder / ".gitignore"
    if folder.name == OUTPUT_FOLDER.name and not ignored.exists():
        write_atomically(
            ignored, "# Outputs of pytest --energy; the baselines are what to commit.\n*\n"
        )
