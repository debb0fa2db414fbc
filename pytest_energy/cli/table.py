"""Print the tables of a published energy study from results of one's own.

A benchmark fills a row by its workload (paper, task, model, technique, data set), not by its name.
The study's own figures stand beside ours; a cell without a figure says why.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_energy.tables import PAPERS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="results.json; of several files, repeated benchmarks show their median",
    )
    parser.add_argument("--paper", choices=PAPERS, required=True, help="whose tables")
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown")
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")


def run(arguments: argparse.Namespace) -> int:
    """Read, fill, print."""
    from pytest_energy.files import write_atomically
    from pytest_energy.measurement import load_run
    from pytest_energy.tables import tables_of
    from pytest_energy.tables.render import render_csv, render_markdown

    results = [result for path in arguments.results for result in load_run(path).benchmarks]
    tables = tables_of(arguments.paper, results)
    text = render_csv(tables) if arguments.format == "csv" else render_markdown(tables)
    if arguments.output:
        write_atomically(arguments.output, text)
    else:
        sys.stdout.write(text)
    return 0
