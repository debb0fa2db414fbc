"""List, show, compare, accept and prune baselines, and show their history.

Baselines are files for you to commit. Only `log` uses git, and it only reads the history.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_energy.gate.acceptance import Collected
    from pytest_energy.gate.baseline import Baseline
    from pytest_energy.gate.baseline_store import BaselineStore
    from pytest_energy.model.outcomes import Outcome
    from pytest_energy.model.result import MetricVerdict, Result

FOLDER: Final = Path("baselines")
"""The default folder of baselines."""
EXPRESSION: Final = "select tests as pytest's -k does, for example 'decode and not large'"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand for each action."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _action(actions, "list", "list all baselines")
    show = _action(actions, "show", "show the baselines of tests, on every machine")
    show.add_argument("expression", metavar="EXPR", help=EXPRESSION)
    diff = _action(actions, "diff", "show what accepting a run would change")
    diff.add_argument("results", type=Path, help="results.json")
    accept = _action(actions, "accept", "make the results of a run the baselines")
    accept.add_argument("results", type=Path, help="results.json, of this or another machine")
    accept.add_argument(
        "-k", dest="expression", default="", metavar="EXPR", help=f"{EXPRESSION} [all]"
    )
    accept.add_argument(
        "--only",
        choices=("new", "improved", "all"),
        default="all",
        help="outcomes to accept; improved includes new [%(default)s]",
    )
    accept.add_argument(
        "--accept-drift",
        action="store_true",
        help="accept a run although small accepted changes add up to more than the tolerance since"
        " the last tag",
    )
    prune = _action(actions, "prune", "list baselines of tests that no longer exist")
    prune.add_argument("--delete", action="store_true", help="delete them, too")
    prune.add_argument(
        "tests",
        nargs="*",
        help="paths or test ids whose baselines to check [all]; put pytest options after --",
    )
    prune.set_defaults(after_dashes="tests")
    log = _action(actions, "log", "show how baselines changed over the commits")
    log.add_argument(
        "--since", metavar="REVISION", help="begin with the version of a tag or commit [the first]"
    )
    log.add_argument(
        "expression", nargs="?", default="", metavar="EXPR", help=f"{EXPRESSION} [all]"
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument(
        "--baselines",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help="folder of the baselines [%(default)s]",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
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


def _has_baselines(store: BaselineStore) -> bool:
    """Whether there are baselines; if not, print how to record some.

    Raises:
        UsageError: A folder was named that does not exist.
    """
    from pytest_energy.errors import UsageError

    if any(store.paths()):
        return True
    # A new project has no folder yet. A folder that was named and does not exist is a typing error.
    if store.folder != FOLDER and not store.folder.is_dir():
        raise UsageError(f"no folder {store.folder}")
    print(
        f"no baselines in {store.folder} yet; record some with pytest --energy --energy-update=new"
    )
    return False


def _list(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.report import numbers
    from pytest_energy.report.text.align import aligned

    if not _has_baselines(store):
        return 0
    rows = [
        (
            baseline.id,
            slug,
            numbers.quantity(baseline.metrics.get("energy_j")),
            str(len(baseline.accepted)),
        )
        for slug, baseline in _all(store)
    ]
    print(aligned([("benchmark", "machine", "energy", "runs"), *rows]))
    return 0


def _all(store: BaselineStore) -> Iterator[tuple[str, Baseline]]:
    """Every baseline with its machine, the exact metrics last."""
    from pytest_energy.gate.baseline_store import FACTS

    for slug in (*store.slugs(), FACTS):
        for baseline in store.load_all(slug):
            yield slug, baseline


def _selected(store: BaselineStore, arguments: argparse.Namespace) -> list[tuple[str, Baseline]]:
    """The baselines that the expression matches, each with its machine.

    Raises:
        UsageError: The expression is malformed, or matches no baseline.
    """
    from pytest_energy.errors import UsageError
    from pytest_energy.plugin.keyword_expression import matching_ids

    baselines = list(_all(store))
    ids = matching_ids(arguments.expression, {baseline.id for _, baseline in baselines})
    if not ids:
        raise UsageError(f"no baseline in {arguments.baselines} matches {arguments.expression!r}")
    return [(slug, baseline) for slug, baseline in baselines if baseline.id in ids]


def _show(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.report import numbers

    for slug, baseline in _selected(store, arguments):
        print(f"{baseline.id} on {slug}")
        for name, quantity in baseline.metrics.items():
            print(f"  {name}: {numbers.quantity(quantity)}")
        for number, accepted in enumerate(baseline.accepted, 1):
            joules = accepted.values.get("energy_j")
            step = ", accepted as a change" if accepted.step else ""
            commit = f" at {accepted.commit[:10]}" if accepted.commit else ""
            print(f"  run {number}{commit}: {joules} J, {accepted.rounds} rounds{step}")
    return 0


def _diff(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.acceptance import machine_of
    from pytest_energy.gate.verdict import judge
    from pytest_energy.report import numbers
    from pytest_energy.report.comparison import tolerances_in_force
    from pytest_energy.report.text.align import aligned
    from pytest_energy.session.journal import load_results

    run = load_results(arguments.results)
    rows: list[tuple[str, ...]] = []
    for result in run.benchmarks:
        baseline = store.find(result.id, machine_of(result, run))
        facts = store.load_facts(result.id)
        # The tolerances of that run, not of this folder's options: the outcome must be the same.
        tolerances = tolerances_in_force(result, run)
        verdict = judge(result, baseline, facts, run.environment, tolerances)
        rows += [
            (
                result.id,
                metric.metric,
                numbers.before_after(metric),
                numbers.change(metric),
                _outcome_of_run(result, metric).label,
            )
            for metric in verdict.metrics
            if _is_change(metric)
        ]
    if not rows:
        print("nothing would change")
        return 0
    print(aligned([("benchmark", "metric", "before → after", "change", "outcome"), *rows]))
    return 0


def _is_change(metric: MetricVerdict) -> bool:
    """Whether a metric is new, or surely differs from its baseline: no two runs agree exactly."""
    from pytest_energy.model.outcomes import Outcome

    if not metric.change:
        return metric.outcome is Outcome.NEW
    return metric.low is None or metric.high is None or metric.low > 0 or metric.high < 0


def _outcome_of_run(result: Result, metric: MetricVerdict) -> Outcome:
    """What the run itself called a metric: it had more to go by, such as the suite's shift."""
    outcomes = {
        judged.metric: judged.outcome
        for judged in result.verdict.metrics
        if judged.outcome.traits.has_baseline
    }
    return outcomes.get(metric.metric, metric.outcome)


def _accept(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.errors import UsageError
    from pytest_energy.gate.acceptance import accept, drift_refusal, machine_of, select_results
    from pytest_energy.gate.baseline_history import last_tag
    from pytest_energy.model.metrics import ENERGY
    from pytest_energy.plugin.keyword_expression import matching_ids
    from pytest_energy.report.comparison import tolerances_in_force
    from pytest_energy.session.journal import load_results

    run = load_results(arguments.results)
    ids = matching_ids(arguments.expression, {result.id for result in run.benchmarks})
    if run.benchmarks and not ids:
        raise UsageError(f"no result in {arguments.results} matches {arguments.expression!r}")
    matching = [result for result in run.benchmarks if result.id in ids]
    selected = run.model_copy(update={"benchmarks": matching})
    tag = last_tag(store.folder)

    def refuses(result: Result) -> str | None:
        if arguments.accept_drift:
            return None
        tolerance = tolerances_in_force(result, run)[ENERGY]
        reason = drift_refusal(result, store, machine_of(result, run), tolerance, tag)
        return reason and f"{reason}; accept them with --accept-drift"

    acceptance = accept(run, select_results(selected, store, arguments.only), store, refuses)
    for path in acceptance.written:
        print(f"wrote {path}")
    if not acceptance.written:
        print("nothing changed")
    for refusal in acceptance.refused:
        print(f"refused {refusal}", file=sys.stderr)
    return 1 if acceptance.refused else 0


def _prune(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.acceptance import orphans

    if not _has_baselines(store):
        return 0
    orphaned = orphans(store, _collected(arguments.tests))
    for path, baseline in orphaned.gone:
        if arguments.delete:
            path.unlink()
        print(f"{'deleted' if arguments.delete else 'orphaned'} {path} ({baseline.id})")
    if not orphaned.gone:
        print("nothing to prune: every baseline that was checked has its test")
    elif not arguments.delete:
        print("run again with --delete to delete them")
    if orphaned.unread:
        files = sorted({baseline.id.partition("::")[0] for _, baseline in orphaned.unread})
        print(
            f"Kept {len(orphaned.unread)}: their test files were skipped or not collected:"
            f" {', '.join(files)}"
        )
    return 0


def _collected(tests: list[str]) -> Collected:
    """The tests that pytest collects.

    Raises:
        EnergyError: The collection failed: an import error must not orphan the file's baselines.
    """
    from pytest_energy.errors import EnergyError
    from pytest_energy.gate.acceptance import Collected
    from pytest_energy.session.collection import NO_TESTS, run_collection

    # A test that addopts or PYTEST_ADDOPTS deselect still exists, so neither may select here.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = run_collection(["-o", "addopts=", *tests], environment)
    collected = done.record
    # pytest exits with "no tests" also if every file skipped itself, which is no failure.
    nothing_read = done.status == NO_TESTS and not (
        collected.get("files") or collected.get("skipped")
    )
    if nothing_read or done.status not in (0, NO_TESTS):
        raise EnergyError(
            f"{shlex.join([sys.executable, *done.arguments])} failed, so nothing was pruned:"
            f" {done.errors or f'exit status {done.status}'}"
        )
    return Collected(
        Path(collected["root"]),
        collected["asked"],
        frozenset(collected["files"]),
        frozenset(collected["tests"]),
    )


def _log(store: BaselineStore, arguments: argparse.Namespace) -> int:
    from pytest_energy.gate.baseline_history import drift, versions
    from pytest_energy.gate.baseline_store import FACTS
    from pytest_energy.gate.tolerances import load_tolerances, tolerances_of
    from pytest_energy.marker import MarkerSettings
    from pytest_energy.model.git import is_shallow
    from pytest_energy.model.metrics import ENERGY, TOLERANCES
    from pytest_energy.report import numbers

    if not _has_baselines(store):
        return 0
    selected = [entry for entry in _selected(store, arguments) if entry[0] != FACTS]
    # Exact metrics have no energy that could have drifted.
    if selected and is_shallow(store.folder):
        print(
            "The history is cut, because this clone is shallow: earlier versions are missing."
            " Fetch them with git fetch --unshallow (actions/checkout: fetch-depth: 0).",
            file=sys.stderr,
        )
    table = load_tolerances(Path("pyproject.toml"))
    for slug, baseline in selected:
        history = versions(store.path(baseline.id, slug), arguments.since)
        count = numbers.counted(len(history), "version")
        change = drift(history)
        tolerance = tolerances_of(baseline.id, TOLERANCES, table, MarkerSettings())[ENERGY]
        beyond = ""
        if change is not None and abs(change) > tolerance:
            limit = numbers.percent(tolerance, sign=False)
            beyond = f", beyond the tolerance of {limit}"
        since = f" since {arguments.since}" if arguments.since else ""
        print(f"{baseline.id} on {slug}: {numbers.percent(change)} in {count}{since}{beyond}")
        for version in history:
            energy = numbers.quantity(version.energy)
            print(f"  {version.date} {version.commit[:10]} {energy}  {version.subject}")
    return 0
