"""Merge results.json of several shards or machines into one.

A benchmark that two machines measured is kept twice, each with its machine. One that comes twice
from one machine, or files of different commits, are conflicts: they are named, and nothing is
written unless --keep says which one wins.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("results", type=Path, nargs="+", help="results.json files")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("results.json"),
        metavar="FILE",
        help="where to write [%(default)s]",
    )
    parser.add_argument(
        "--keep",
        choices=("first", "last"),
        help="which result wins where a benchmark comes twice from one machine",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the merged results and say how many there are."""
    from pytest_energy.model.json_files import load_run, save_run
    from pytest_energy.model.merge import merge

    runs = [load_run(path) for path in arguments.results]
    merged = merge(runs, [str(path) for path in arguments.results], keep=arguments.keep)
    save_run(merged, arguments.output)
    print(f"{arguments.output}: {len(merged.benchmarks)} benchmarks of {len(runs)} files")
    return 0
