"""Show the smallest rises that the gate calls regressed, and what it costs to see a given one.

A rise is shown if the gate calls it regressed with a probability of 95 %: its whole interval is
then above the tolerance. The table shows the smallest such rise after the first visit to the
benchmark, and after all visits that the protocol and the limit of time allow. It follows from the
scatter of the accepted runs. A benchmark's tolerance is the one that the last run used, markers and
options included; benchmarks that the last run does not have take it from pyproject.toml.

Given the results of a run with --energy-against, it shows the smallest rises that such a comparison
sees instead: they follow from the scatter between the blocks of that run. Without any results it
shows both, if the last run was such a comparison.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_energy.settings import FRACTION_ABOVE_0

if TYPE_CHECKING:
    from pytest_energy.gate.baseline import Baseline
    from pytest_energy.gate.schedule import Suite
    from pytest_energy.model.result import Run


class _Asked:
    """The tolerances of the benchmarks, and the rises that should be called regressed.

    Args:
        last_run: The results with the tolerances that were in force, if there are any.
        change: The rise of all benchmarks; ``None`` for twice the tolerance of each.

    Raises:
        EnergyError: ``pyproject.toml`` cannot be read.
    """

    def __init__(self, last_run: Run | None, change: float | None) -> None:
        from pytest_energy.gate.tolerances import load_tolerances
        from pytest_energy.model.metrics import ENERGY

        self._change = change
        self._table = load_tolerances(Path("pyproject.toml"))
        self._used = {
            result.id: metric.tolerance
            for result in (last_run.benchmarks if last_run else ())
            for metric in result.verdict.gated
            if metric.metric == ENERGY and metric.tolerance is not None
        }

    def of(self, baseline: Baseline) -> tuple[float, float]:
        """The tolerance of a benchmark, and the rise that should be called regressed."""
        from pytest_energy.gate.tolerances import tolerances_of
        from pytest_energy.model.metrics import ENERGY, TOLERANCES

        tolerance = self._used.get(baseline.id)
        if tolerance is None:
            tolerance = tolerances_of(baseline.id, TOLERANCES, self._table)[ENERGY]
        return tolerance, 2 * tolerance if self._change is None else self._change


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="results.json of a run with --energy-against; show what its blocks can tell apart"
        " [the baselines are shown]",
    )
    parser.add_argument(
        "--baselines",
        type=Path,
        default=Path("baselines"),
        metavar="DIR",
        help="folder of the baselines [%(default)s]",
    )
    parser.add_argument(
        "--last-run",
        type=Path,
        default=Path(".energy/results.json"),
        metavar="FILE",
        help="results.json with the tolerances, if there is one [%(default)s]",
    )
    parser.add_argument(
        "--change",
        metavar="FRACTION",
        help="relative rise that should be called regressed [twice the tolerance]",
    )
    parser.add_argument(
        "--retry-time",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="limit of time for further visits, all of it for one benchmark [%(default)g]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what a comparison in alternation sees, or one table of baselines for each machine."""
    if arguments.results is not None:
        return _show_blocks(arguments.results)
    from pytest_energy.errors import UsageError
    from pytest_energy.gate.baseline_store import BaselineStore
    from pytest_energy.report.text.align import aligned
    from pytest_energy.report.visible import visible_rows

    if arguments.change is not None:
        arguments.change = FRACTION_ABOVE_0.read(arguments.change, "--change")
    if not arguments.retry_time > 0:
        raise UsageError(
            f"--retry-time {arguments.retry_time:g}: a number of seconds above 0 is expected"
        )
    store = BaselineStore(arguments.baselines)
    heads = (
        "benchmark",
        "runs",
        "tolerance",
        "after one visit",
        "after all visits",
        "rounds to see",
        "energy",
    )
    last_run = _load_last(arguments.last_run)
    asked = _Asked(last_run, arguments.change)
    for slug in store.slugs():
        baselines = store.load_all(slug)
        suite = _suite(baselines)
        rows = [_row(baseline, suite, asked, arguments.retry_time) for baseline in baselines]
        print(f"{slug}\n{aligned([heads, *(row for row in rows if row)])}\n")
        for sentence in _remedies(baselines, suite, asked, arguments.retry_time):
            print(sentence)
        if suite.shared:
            print(_shared(suite))
    compared = visible_rows(last_run) if last_run else []
    if compared:
        print(f"The comparison in {arguments.last_run}, by its blocks:\n{aligned(compared)}")
    if not store.slugs() and not compared:
        print(
            f"no energy baselines in {arguments.baselines}; record some on the machine that"
            " measures, with pytest --energy --energy-update"
        )
    return 0


def _load_last(results: Path) -> Run | None:
    """The last run, or what a killed one has left; ``None`` if there is neither.

    Raises:
        EnergyError: A file of it cannot be read.
    """
    from pytest_energy.session.journal import load_results

    try:
        return load_results(results)
    except FileNotFoundError:
        return None


def _show_blocks(path: Path) -> int:
    """Print the smallest rises that the blocks of a run can tell from none.

    Raises:
        UsageError: The run was not compared with another revision.
    """
    from pytest_energy.errors import UsageError
    from pytest_energy.report.text.align import aligned
    from pytest_energy.report.visible import visible_rows
    from pytest_energy.session.journal import load_results

    run = load_results(path)
    rows = visible_rows(run)
    if not rows:
        why = "has no block of two" if run.run.against else "was not compared in alternation"
        raise UsageError(
            f"{path}: this run {why}; measure one with --energy-against=self, which shows the"
            " smallest changes that this machine can tell apart"
        )
    print(aligned(rows))
    return 0


def _suite(baselines: list[Baseline]) -> Suite:
    """What the verdicts of a whole suite take from one another."""
    from pytest_energy.gate.detectability import shared_scatter
    from pytest_energy.gate.schedule import Suite
    from pytest_energy.gate.selection import suite_prior
    from pytest_energy.session.suite_shift import FEWEST_COMPARABLE

    # More comparisons in the suite make the gate stricter for each of them. In a large suite the
    # common shift is taken off.
    shared = shared_scatter(baselines) if len(baselines) < FEWEST_COMPARABLE else 0.0
    return Suite(len(baselines), suite_prior(baselines), shared=shared)


def _row(
    baseline: Baseline,
    suite: Suite,
    asked: _Asked,
    retry_s: float,
) -> tuple[str, ...] | None:
    from pytest_energy.gate.detectability import sensitivity
    from pytest_energy.gate.schedule import ADAPTIVE
    from pytest_energy.model.metrics import ENERGY
    from pytest_energy.report import numbers

    tolerance, change = asked.of(baseline)
    rises = sensitivity(baseline, change, tolerance, ADAPTIVE, suite, retry_s)
    if rises is None:
        return None
    wanted = numbers.percent(change)
    return (
        baseline.id,
        str(len(baseline.level(ENERGY))),
        numbers.percent(tolerance, sign=False),
        numbers.percent(rises.first),
        f"{numbers.percent(rises.last)} ({rises.visits})",
        f"{wanted}: {'never' if rises.rounds is None else rises.rounds}",
        numbers.energy(rises.energy_j),
    )


def _remedies(
    baselines: list[Baseline],
    suite: Suite,
    asked: _Asked,
    retry_s: float,
) -> list[str]:
    """What would show the rises that are never called regressed within the limits."""
    from pytest_energy.gate.detectability import needed_retry_s, sensitivity
    from pytest_energy.gate.schedule import ADAPTIVE

    hidden = []
    for baseline in baselines:
        tolerance, change = asked.of(baseline)
        rises = sensitivity(baseline, change, tolerance, ADAPTIVE, suite, retry_s)
        if rises and rises.rounds is None:
            hidden.append(needed_retry_s(baseline, change, tolerance, ADAPTIVE, suite))
    in_time = [retry_s for retry_s in hidden if retry_s is not None]
    lines = []
    if in_time:
        lines.append(
            f"{len(in_time)} of the rises that are never seen would be with"
            f" --energy-retry-time={math.ceil(max(in_time))} for each benchmark.\n"
        )
    if never := len(hidden) - len(in_time):
        lines.append(
            f"{never} of the rises are not seen by any number of visits: record more runs, or"
            " compare with the other revision on this machine (--energy-against=REF).\n"
        )
    return lines


def _shared(suite: Suite) -> str:
    from pytest_energy.report import numbers

    share = numbers.percent(suite.shared, sign=False)
    return (
        f"The benchmarks of a session share a scatter of {share}, which further visits do not"
        " average out; with 20 benchmarks it would be taken off.\n"
    )
