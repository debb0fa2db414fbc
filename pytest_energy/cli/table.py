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
    parser.add_argument(
        "--hourly-intensity",
        type=Path,
        metavar="FILE",
        help="CSV of hour (0 to 23) and g_per_kwh: adds training at low-carbon hours to paper e",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")


def run(arguments: argparse.Namespace) -> int:
    """Read, fill, print."""
    from pytest_energy.errors import UsageError
    from pytest_energy.model.files import write_atomically
    from pytest_energy.model.json_files import load_run
    from pytest_energy.tables import tables_of
    from pytest_energy.tables.hours import read_hours
    from pytest_energy.tables.paper_e import low_carbon
    from pytest_energy.tables.render import render_csv, render_markdown

    results = [result for path in arguments.results for result in load_run(path).benchmarks]
    tables = tables_of(arguments.paper, results)
    if arguments.hourly_intensity:
        if arguments.paper != "e":
            raise UsageError(f"--hourly-intensity is for --paper e, not {arguments.paper}")
        tables += (low_carbon(results, read_hours(arguments.hourly_intensity)),)
    text = render_csv(tables) if arguments.format == "csv" else render_markdown(tables)
    if arguments.output:
        write_atomically(arguments.output, text)
    else:
        sys.stdout.write(text)
    return 0
