"""Make the HTML report from results.json.

Older results, in any order, give the history of each benchmark. Benchmarks that had no baseline are
compared with the newest of them, by the gate's own rules; the page says with which.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("results", type=Path, help="results.json of the run to report")
    parser.add_argument("older", type=Path, nargs="*", help="results.json of older runs")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="page to write [report.html beside the results]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from pytest_energy.files import write_atomically
    from pytest_energy.measurement import load_run
    from pytest_energy.report.comparison import Reference
    from pytest_energy.report.html import render_html

    newest = load_run(arguments.results)
    older = [Reference(path.name, load_run(path)) for path in arguments.older]
    output = arguments.output or arguments.results.with_name("report.html")
    write_atomically(output, render_html(newest, older))
    print(output)
    return 0
