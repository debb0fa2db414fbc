"""Keep the results of many runs, query them, and find the changes in them.

The store is a folder, or a URL such as s3://bucket/history. `add` only ever appends to it, and
several machines may do so at once. Needs the extra `history`: pip install "pytest-energy[history]".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_energy.history.queries import Answer, Queries
    from pytest_energy.history.store import Store
    from pytest_energy.model.result import Run

STORE: Final = "energy-history"
EXAMPLE: Final = 'for example "SELECT test, avg(energy_j) FROM points GROUP BY test"'
RECENT: Final = 10
"""Runs within which a rise fails `changes`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand for each action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = _action(actions, "add", "append runs; a run that the store has is left out")
    add.add_argument("results", type=Path, nargs="+", help="results.json files")
    add.add_argument("--report", metavar="URL", help="link to the run's report, for the dashboard")
    _action(actions, "compact", "join the store's files now; add does it now and then")
    listing = _action(actions, "list", "list the runs, the newest first")
    listing.add_argument("-n", type=int, default=20, metavar="N", help="runs to show [%(default)s]")
    show = _action(actions, "show", "show the joules of benchmarks, the newest run first")
    show.add_argument("test", help="a test's id, or a part of it")
    show.add_argument("-n", type=int, default=20, metavar="N", help="points to show [%(default)s]")
    query = _action(actions, "query", "run SQL on the views points and runs")
    query.add_argument(
        "sql",
        nargs="?",
        default="SELECT * FROM runs",
        help=EXAMPLE,
    )
    query.add_argument("--columns", action="store_true", help="describe the columns of points")
    export = _action(actions, "export", "write the points to a file")
    export.add_argument("file", type=Path, help="ends in .parquet, .csv or .json")
    export.add_argument(
        "--query", default="SELECT * FROM points", metavar="SQL", help="[%(default)s]"
    )
    changes = _action(actions, "changes", "find changes that last; status 1 after a recent rise")
    changes.add_argument("--test", metavar="ID", help="only of this benchmark [all]")
    changes.add_argument(
        "--recent",
        type=int,
        default=RECENT,
        metavar="RUNS",
        help="a rise fails for so many runs of its machine [%(default)s]",
    )
    changes.add_argument("--all", action="store_true", help="show older changes, too")
    bisect = _action(actions, "bisect", "find the first commit that costs energy", store=False)
    bisect.add_argument("test", help="a test's id")
    bisect.add_argument("good", help="commit with the old joules")
    bisect.add_argument("bad", help="later commit with the new joules")
    bisect.add_argument(
        "--setup", metavar="COMMAND", help="prepare each commit, for example 'pip install -e .'"
    )
    bisect.add_argument("options", nargs="*", help="options for pytest, after --")
    bisect.set_defaults(after_dashes="options")
    report = _action(actions, "report", "write the dashboard, a folder of static pages")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("site"),
        metavar="DIR",
        help="folder to write [%(default)s]",
    )
    report.add_argument(
        "--since",
        metavar="WHEN",
        help="compare with a tag, a commit or a date such as 2026-11-01 [the first runs]",
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    store: bool = True,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    if store:
        parser.add_argument(
            "--store", default=STORE, metavar="URL", help="folder or URL [%(default)s]"
        )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "add": _add,
        "compact": _compact,
        "list": _list,
        "show": _show,
        "query": _query,
        "export": _export,
        "changes": _changes,
        "bisect": _bisect,
        "report": _report,
    }
    return actions[arguments.action](arguments)


def _store(arguments: argparse.Namespace) -> Store:
    """The store.

    Raises:
        UsageError: The extra is not installed.
    """
    from pytest_energy.errors import UsageError

    for library in ("duckdb", "fsspec", "pyarrow"):
        if find_spec(library) is None:
            raise UsageError(
                f'{library} is not installed; run pip install "pytest-energy[history]"'
            )
    from pytest_energy.history.store import Store

    return Store(arguments.store)


def _queries(arguments: argparse.Namespace) -> Queries:
    """The points of a store that has some.

    Raises:
        UsageError: The store is empty or not there.
    """
    from pytest_energy.errors import UsageError
    from pytest_energy.history.queries import Queries

    queries = Queries(_store(arguments))
    if not queries.ask("SELECT 1 FROM points LIMIT 1").rows:
        raise UsageError(
            f"no runs in {arguments.store}; add some with pytest-energy history add results.json"
        )
    return queries


def _add(arguments: argparse.Namespace) -> int:
    from pytest_energy.errors import EnergyError, explained
    from pytest_energy.session.journal import load_results

    store = _store(arguments)
    read: list[Path] = []
    faults = 0

    def runs() -> Iterator[tuple[Run, str | None]]:
        """The runs that can be read, one at a time: a thousand of them fill the memory."""
        nonlocal faults
        for path in arguments.results:
            try:
                run = load_results(path)
            except (EnergyError, OSError) as error:
                print(f"pytest-energy history add: error: {explained(error)}", file=sys.stderr)
                faults += 1
                continue
            read.append(path)
            yield run, arguments.report

    added = store.add(runs())
    for path, is_new in zip(read, added, strict=True):
        if not is_new:
            print(f"{path}: not added, since the store has it already or it has no benchmarks")
    print(f"{arguments.store}: {sum(added)} of {len(arguments.results)} runs added")
    return 2 if faults else 0


def _compact(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    store.compact()
    parts = len(store.snapshot().parts)
    print(f"{arguments.store}: Parquet files {parts}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    columns = 'created, "commit", branch, machines, benchmarks, regressed, complete'
    sql = f"SELECT {columns} FROM runs ORDER BY created DESC LIMIT ?"
    _print(_queries(arguments).ask(sql, [arguments.n]))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from pytest_energy.errors import UsageError

    queries = _queries(arguments)
    columns = 'created, "commit", machine, test, energy_j, energy_j_uncertainty, outcome'
    where = "WHERE contains(test, ?)"
    sql = f"SELECT {columns} FROM points {where} ORDER BY created DESC, test LIMIT ?"
    answer = queries.ask(sql, [arguments.test, arguments.n])
    if not answer.rows:
        raise UsageError(f"no test in {arguments.store} has {arguments.test!r} in its id")
    _print(answer)
    return 0


def _query(arguments: argparse.Namespace) -> int:
    from pytest_energy.history.points import COLUMNS
    from pytest_energy.history.queries import Answer

    if arguments.columns:
        rows: list[tuple[Any, ...]] = [(c.name, c.kind, c.about) for c in COLUMNS]
        _print(Answer(("column", "kind", "what it holds"), rows))
        return 0
    _print(_queries(arguments).ask(arguments.sql))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    rows = _queries(arguments).export(arguments.file, arguments.query)
    print(f"{arguments.file}: {rows} rows")
    return 0


def _changes(arguments: argparse.Namespace) -> int:
    from pytest_energy.history.changes import find_changes, find_creep, load_series
    from pytest_energy.history.wording import describe_change, describe_creep

    queries = _queries(arguments)
    changes = find_changes(load_series(queries, arguments.test))
    recent = [change for change in changes if change.runs_since <= arguments.recent]
    rises = [change for change in recent if change.is_rise]
    for change in changes if arguments.all else recent:
        print("\n".join(describe_change(change)))
    for creep in find_creep(queries):
        print(describe_creep(creep))
    older = len(changes) - len(recent)
    hint = "" if arguments.all or not older else " (--all shows them)"
    print(
        f"in the last {arguments.recent} runs: rises {len(rises)},"
        f" falls {len(recent) - len(rises)}; older changes {older}{hint}"
    )
    return 1 if rises else 0


def _bisect(arguments: argparse.Namespace) -> int:
    from pytest_energy.history.bisect import Bisection, bisect
    from pytest_energy.model.git import run_git

    search = Bisection(
        repository=Path.cwd(),
        test=arguments.test,
        good=arguments.good,
        bad=arguments.bad,
        setup=arguments.setup,
        options=tuple(arguments.options),
    )
    commit = bisect(search, lambda line: print(line, flush=True))
    if commit is None:
        print("commits that could not be measured leave several to choose from: see above")
        return 1
    print(f"first bad commit: {run_git(Path.cwd(), 'log', '-1', '--format=%H %s', commit).strip()}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from pytest_energy.history.dashboard import since, write_site

    queries = _queries(arguments)
    pages = write_site(queries, arguments.output, since(arguments.since, Path.cwd()))
    print(f"{arguments.output / 'index.html'}: {pages} pages")
    return 0


def _print(answer: Answer) -> None:
    """Print rows as a table, or as tab-separated values where a program reads them."""
    texts = [[_text(value) for value in row] for row in answer.rows]
    if not sys.stdout.isatty():
        print("\n".join("\t".join(row) for row in [answer.columns, *texts]))
        return
    widths = [max(map(len, column)) for column in zip(answer.columns, *texts, strict=True)]
    for row in [answer.columns, ["─" * width for width in widths], *texts]:
        print(_aligned(row, widths))


def _aligned(row: Sequence[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    return "–" if value is None else str(value)
