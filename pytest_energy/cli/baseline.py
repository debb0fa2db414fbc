"""List, show, compare, accept and prune baselines, and tell how they moved.

Baselines are files to be committed; nothing here touches git but `log`, which reads its history.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_energy.gate.acceptance import Collected
    from pytest_energy.gate.baseline import Baseline
    from pytest_energy.gate.baseline_history import Version
    from pytest_energy.gate.baseline_store import BaselineStore

FOLDER: Final = Path("baselines")
"""Where baselines are, unless told otherwise."""
EXPRESSION: Final = "select tests as pytest's -k does, such as 'resnet50 and not blurpool'"
NO_TESTS: Final = 5
"""pytest's exit status where it collected no tests."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand an action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "list", "list all baselines")
    shown = _action(actions, "show", "show the baselines of a test, on every machine")
    shown.add_argument("expression", metavar="EXPR", help=EXPRESSION)
    compared = _action(actions, "diff", "say what accepting a run would change")
    compared.add_argument("results", type=Path, help="results.json")
    taken = _action(actions, "accept", "make the results of a run the baselines")
    taken.add_argument("results", type=Path, help="results.json, also of another machine")
    taken.add_argument(
        "-k", dest="expression", default="", metavar="EXPR", help=f"{EXPRESSION} [all]"
    )
    taken.add_argument("--only", choices=("new", "improved", "all"), default="all")
    pruned = _action(actions, "prune", "name baselines of tests that no longer exist")
    pruned.add_argument("--delete", action="store_true", help="delete them, too")
    pruned.add_argument(
        "tests",
        nargs="*",
        help="what to judge: paths or test ids [all]; after --, options of pytest, too",
    )
    log = _action(actions, "log", "tell how baselines moved over the commits")
    log.add_argument(
        "expression", nargs="?", default="", metavar="EXPR", help=f"{EXPRESSION} [all]"
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "--baselines", type=Path, default=FOLDER, metavar="DIR", help="[%(default)s]"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    from pytest_energy.gate.baseline_store import BaselineStore

    actions = {
        "list": _list,
        "show": _show,
        "diff": _diff,
        "accept": _accept,
        "prune": _prune,
        "log": _log,
    }
    return actions[arguments.action](BaselineStore(arguments.baselines), arguments)


def _has_some(store: BaselineStore) -> bool:
    """Whether there are baselines; where not, that is said, and a folder misspelt is refused."""
    from pytest_energy.errors import UsageError

    if any(store.paths()):
        return True
    if store.folder != FOLDER and not store.folder.is_dir():
        raise UsageError(f"no folder {store.folder}")
    print(f"no baselines in {store.folder} yet; record some: pytest --energy --energy-update=new")
    return False


def _list(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.report import numbers as format
    from pytest_energy.report.text.align import aligned

    if not _has_some(store):
        return 0
    rows = [
        (kept.id, slug, format.quantity(kept.metrics.get("energy_j")), str(len(kept.accepted)))
        for slug, kept in _all(store)
    ]
    print(aligned([("benchmark", "machine", "energy", "runs"), *rows]))
    return 0


def _all(store: BaselineStore) -> Iterator[tuple[str, Baseline]]:
    from pytest_energy.gate.baseline_store import FACTS

    for slug in (*store.slugs(), FACTS):
        for baseline in store.load_all(slug):
            yield slug, baseline


def _selected(
    baselines: Iterable[tuple[str, Baseline]], arguments: argparse.Namespace
) -> list[tuple[str, Baseline]]:
    """The baselines that the expression matches; one that matches none is refused."""
    from pytest_energy.errors import UsageError
    from pytest_energy.plugin.keyword_expression import matching_ids

    by_machine = list(baselines)
    ids = matching_ids(arguments.expression, {baseline.id for _, baseline in by_machine})
    if arguments.expression and not ids:
        raise UsageError(f"no baseline in {arguments.baselines} matches {arguments.expression!r}")
    return [(slug, baseline) for slug, baseline in by_machine if baseline.id in ids]


def _show(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.report import numbers as format

    for slug, baseline in _selected(_all(store), arguments):
        print(f"{baseline.id} on {slug}")
        for name, quantity in baseline.metrics.items():
            print(f"  {name}: {format.quantity(quantity)}")
        for number, accepted in enumerate(baseline.accepted, 1):
            joules = accepted.values.get("energy_j")
            step = ", accepted as a change" if accepted.step else ""
            at = f" at {accepted.commit[:10]}" if accepted.commit else ""
            print(f"  run {number}{at}: {joules} J, {accepted.rounds} rounds{step}")
    return 0


def _diff(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.acceptance import machine_of
    from pytest_energy.gate.verdict import judge
    from pytest_energy.model.json_files import load_run
    from pytest_energy.report import numbers as format
    from pytest_energy.report.comparison import tolerances_in_force
    from pytest_energy.report.text.align import aligned

    run = load_run(arguments.results)
    rows = [("benchmark", "metric", "before → after", "change", "outcome")]
    for result in run.benchmarks:
        kept = store.find(result.id, machine_of(result, run))
        facts = store.load_facts(result.id)
        tolerances = tolerances_in_force(result, run)
        verdict = judge(result, kept, facts, run.environment, tolerances)
        for one in verdict.metrics:
            if one.change or one.tolerance is not None:
                told = (format.before_after(one), format.change(one), one.outcome.value)
                rows.append((result.id, one.metric, *told))
    print(aligned(rows))
    return 0


def _accept(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.errors import UsageError
    from pytest_energy.gate.acceptance import accept, wanted
    from pytest_energy.model.json_files import load_run
    from pytest_energy.plugin.keyword_expression import matching_ids

    run = load_run(arguments.results)
    ids = matching_ids(arguments.expression, {result.id for result in run.benchmarks})
    if run.benchmarks and not ids:
        raise UsageError(f"no result in {arguments.results} matches {arguments.expression!r}")
    matching = [result for result in run.benchmarks if result.id in ids]
    selected = run.model_copy(update={"benchmarks": matching})
    done = accept(run, wanted(selected, store, arguments.only), store)
    for path in done.written:
        print(f"wrote {path}")
    if not done.written:
        print("nothing changed")
    for refusal in done.refused:
        print(f"refused {refusal}", file=sys.stderr)
    return 1 if done.refused else 0


def _prune(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.acceptance import orphans

    if not _has_some(store):
        return 0
    found = orphans(store, _collected(arguments.tests))
    for path, kept in found.gone:
        if arguments.delete:
            path.unlink()
        print(f"{'deleted' if arguments.delete else 'orphaned'} {path} ({kept.id})")
    if found.gone and not arguments.delete:
        print("delete them with --delete")
    if found.unread:
        files = sorted({kept.id.partition("::")[0] for _, kept in found.unread})
        told = f"their test files were skipped or not collected here: {', '.join(files)}"
        print(f"left {len(found.unread)}, for {told}")
    return 0


def _collected(tests: list[str]) -> Collected:
    """What pytest collects, whatever addopts select; a broken collection orphans nothing."""
    from pytest_energy.errors import EnergyError
    from pytest_energy.gate.acceptance import Collected

    command = [sys.executable, "-m", "pytest", "--collect-only", "-o", "addopts="]
    with TemporaryDirectory() as folder:
        output = Path(folder, "collected.json")
        telling = ["-p", "pytest_energy.plugin.collect", f"--collected={output}"]
        done = subprocess.run(
            [*command, *telling, *tests],
            env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
            capture_output=True,
            text=True,
            check=False,
        )
        told = json.loads(output.read_text("utf-8")) if output.exists() else {}
    nothing_there = done.returncode == NO_TESTS and not (told["files"] or told["skipped"])
    if nothing_there or done.returncode not in (0, NO_TESTS):
        why = _errors_of(done)
        raise EnergyError(f"{shlex.join([*command, *tests])} failed, so nothing is orphaned: {why}")
    return Collected(
        Path(told["root"]), told["asked"], frozenset(told["files"]), frozenset(told["tests"])
    )


def _errors_of(done: subprocess.CompletedProcess[str]) -> str:
    """What pytest calls errors, else the last thing that it said."""
    lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return "; ".join(errors) or (lines[-1] if lines else f"exit status {done.returncode}")


def _versions(found: Sequence[Version]) -> str:
    return f"{len(found)} version{'' if len(found) == 1 else 's'}"


def _log(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.baseline_history import drift, versions
    from pytest_energy.report import numbers as format

    if not _has_some(store):
        return 0
    measured = ((slug, baseline) for slug in store.slugs() for baseline in store.load_all(slug))
    for slug, baseline in _selected(measured, arguments):
        found = versions(store.path(baseline.id, slug))
        print(f"{baseline.id} on {slug}: {format.percent(drift(found))} in {_versions(found)}")
        for one in found:
            print(f"  {one.date} {one.commit[:10]} {format.quantity(one.energy)}  {one.subject}")
    return 0
