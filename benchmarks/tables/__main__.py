"""Print the tables of a published energy study, filled from your results.

A row of a table is found by the workload of a benchmark (paper, task, model, technique, data set),
not by its name. The study's own figures stand beside yours. A cell without a figure says why.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.tables import PAPERS, tables_of
from benchmarks.tables.conditions import Conditions, grouped
from benchmarks.tables.drawing import save
from benchmarks.tables.figures import figures_of
from benchmarks.tables.hours import read_hours
from benchmarks.tables.layout import Table
from benchmarks.tables.page import write_page
from benchmarks.tables.paper_e import low_carbon
from benchmarks.tables.render import render_csv, render_markdown
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.model.environment import slug
from pytest_energy.model.files import write_atomically
from pytest_energy.model.json_files import load_run
from pytest_energy.model.result import Result

PROGRAM = "python -m benchmarks.tables"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read results, fill the tables, print them; expected errors end in one line and status 2."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not (options.paper or options.html):
        parser.error("expected --paper, --html or both")
    try:
        if options.html and not write_page(
            [load_run(path) for path in options.results], options.html
        ):
            raise UsageError(f"no results of a paper in {', '.join(map(str, options.results))}")
        if not options.paper:
            return 0
        groups = grouped([load_run(path) for path in options.results], options.paper)
        tables = filled_tables(options, groups)
        if options.figures:
            draw_figures(options.figures, options.paper, groups)
        text = render_csv(tables) if options.format == "csv" else render_markdown(tables)
        if options.output:
            write_atomically(options.output, text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()  # a closed pipe must raise here, inside `try`
    except BrokenPipeError:
        # The reader, for example `head`, has closed the pipe. Python would complain about that on
        # stderr while it shuts down.
        sys.stderr.close()
        return 2
    except (EnergyError, OSError) as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 2
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        metavar="RESULTS",
        help="results.json; a benchmark that is in several files shows its median; runs of other "
        "devices, meters, scales or locations get tables of their own",
    )
    parser.add_argument("--paper", choices=PAPERS, help="the paper whose tables are printed")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a page with the tables and figures of all papers",
    )
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown")
    parser.add_argument(
        "--hourly-intensity",
        type=Path,
        metavar="FILE",
        help="CSV of hour (0 to 23) and g_per_kwh; adds training at low-carbon hours to paper e",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="DIR",
        help="also draw the paper's figures into this folder, as SVG",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write to this file instead of standard output"
    )
    return parser


Groups = Mapping[Conditions, Sequence[Result]]


def filled_tables(options: argparse.Namespace, groups: Groups) -> tuple[Table, ...]:
    """The tables that the options ask for, from results by their conditions.

    Raises:
        UsageError: Hours are given for a paper that has no table of them.
        FileFormatError: A file is not what its option expects.
        OSError: A file cannot be read.
    """
    if options.hourly_intensity and options.paper != "e":
        raise UsageError(f"--hourly-intensity is for --paper e, not {options.paper}")
    hours = read_hours(options.hourly_intensity) if options.hourly_intensity else None
    tables: list[Table] = []
    for conditions, results in groups.items() or ((None, []),):
        filled = tables_of(options.paper, results)
        if hours:
            filled = (*filled, low_carbon(results, hours))
        several = conditions is not None and len(groups) > 1
        tables += [titled(table, str(conditions)) if several else table for table in filled]
    return tuple(tables)


def titled(table: Table, conditions: str) -> Table:
    """The table with its conditions in the title."""
    return replace(table, title=f"{table.title} ({conditions})")


def draw_figures(folder: Path, paper: str, groups: Groups) -> None:
    """Draw the figures of each group into ``folder``; say on stderr which are missing and why.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for conditions, results in groups.items() or ((None, []),):
        suffix = f"-{slug({'device': str(conditions)})}" if len(groups) > 1 else ""
        for figure in figures_of(paper, results):
            path = folder / f"{figure.name}{suffix}.svg"
            if figure.drawing is None:
                print(f"{path.name}: not drawn: {figure.missing}", file=sys.stderr)
            else:
                save(figure.drawing, path)


if __name__ == "__main__":
    sys.exit(main())
