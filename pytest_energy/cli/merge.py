"""Merge the results.json files of several shards or machines.

A benchmark measured on two machines is kept twice, each with its machine. The same benchmark twice
from one machine is a conflict, and so are files of different commits. Conflicts are named, and
nothing is written, unless --keep chooses the result that wins.
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
        help="file to write [%(default)s]",
    )
    parser.add_argument(
        "--keep",
        choices=("first", "last"),
        help="the result to keep if a benchmark comes twice from one machine; also accepts files of"
        " different commits",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the merged results and print how many benchmarks they have."""
    from pytest_energy.model.json_files import save_run
    from pytest_energy.model.merge import merge_runs
    from pytest_energy.report.numbers import counted
    from pytest_energy.session.journal import load_results
    from pytest_energy.session.suite_shift import with_common_changes

    runs = [load_results(path) for path in arguments.results]
    merged = merge_runs(runs, [str(path) for path in arguments.results], keep=arguments.keep)
    merged = with_common_changes(merged)
    save_run(merged, arguments.output)
    benchmarks, files = counted(len(merged.benchmarks), "benchmark"), counted(len(runs), "file")
    print(f"{arguments.output}: {benchmarks} from {files}")
    return 0
