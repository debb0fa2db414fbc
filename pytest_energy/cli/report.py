"""Write the HTML report, and files for CI, from results.json.

Older results add the history of each benchmark, in any order. A benchmark without a baseline is
compared with the newest older file, by the rules of the gate; the page names that file. It also
compares any two of the newest five runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

CI_OUTPUTS = {
    "markdown": "Markdown summary",
    "openmetrics": "OpenMetrics text",
    "github-benchmark": "JSON for github-action-benchmark, tool customSmallerIsBetter",
    "code-quality": "GitLab code quality report",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("results", type=Path, help="results.json of the run")
    parser.add_argument("older", type=Path, nargs="*", help="results.json of older runs")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="page to write [report.html beside the results]",
    )
    for name, text in CI_OUTPUTS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{text} [not written]")


def run(arguments: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    from pytest_energy.model.files import check_apart
    from pytest_energy.report.ci.detection import repository_folder
    from pytest_energy.report.comparison import Reference
    from pytest_energy.report.outputs import write_outputs
    from pytest_energy.session.journal import load_results
    from pytest_energy.settings import Settings

    files: dict[str, Path | None] = {name: getattr(arguments, _dest(name)) for name in CI_OUTPUTS}
    files["html"] = arguments.output or arguments.results.with_name("report.html")
    output = {name: file for name, file in files.items() if file is not None}
    inputs = [arguments.results, *arguments.older]
    check_apart({"--output" if n == "html" else f"--{n}": f for n, f in output.items()}, inputs)
    newest = load_results(arguments.results)
    older = [Reference(path.name, load_results(path)) for path in arguments.older]
    settings = Settings(output={"json": arguments.results, **output})
    folder = repository_folder(Path.cwd(), os.environ)
    written, failed = write_outputs(newest, settings, folder, older)
    for path in written:
        print(path)
    for line in failed:
        print(f"pytest-energy report: error: {line}", file=sys.stderr)
    return 2 if failed else 0


def _dest(option: str) -> str:
    """Where argparse stores an option's value."""
    return option.replace("-", "_")
