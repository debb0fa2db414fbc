"""The page as values: everything that the templates show, computed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, UnpassedTest
from pytest_energy.report import numbers
from pytest_energy.report.candidates import CandidateRow, candidate_rows
from pytest_energy.report.comparison import Reference, compare, headline_against, newest
from pytest_energy.report.html.charts.distributions import Distributions, build_distributions
from pytest_energy.report.html.charts.forest import Forest, build_forests
from pytest_energy.report.html.charts.marks import build_palette
from pytest_energy.report.html.charts.scatter import Scatter, build_scatters
from pytest_energy.report.html.charts.sweeps import Sweep, build_sweeps
from pytest_energy.report.html.charts.trends import Trends, build_trends
from pytest_energy.report.html.charts.windows import Windows, build_windows
from pytest_energy.report.html.drawer import Drawer, build_drawer, rows_with_charts
from pytest_energy.report.html.machine import FactRow, build_surroundings, describe_machines
from pytest_energy.report.html.pairs import Pairs, build_pairs
from pytest_energy.report.html.quality import Finding, Remark, build_findings, build_remarks
from pytest_energy.report.html.results_table import Table, build_table
from pytest_energy.report.html.two_runs import Choice, build_choice
from pytest_energy.report.labels import short_names
from pytest_energy.report.machines import Machines, devices
from pytest_energy.report.sentences import (
    WHAT_TO_MEASURE_WITH,
    estimates,
    in_common,
    skipped,
)
from pytest_energy.report.summary import (
    Headline,
    Standout,
    best,
    counts,
    failed_tests,
    headline,
    worst,
)
from pytest_energy.uncertainty.rounds import BOARD_GAIN


@dataclass(frozen=True)
class Page:
    """One page."""

    run: Run
    headline: Headline
    subtitle: tuple[str, ...]
    """Branch, commit, device and date, as far as they are known."""
    estimates: str | None
    """The banner of joules that are no measurement."""
    failed_tests: list[UnpassedTest]
    """Tests that failed for a reason of their own."""
    skipped: list[tuple[str, int]]
    """Reasons of skipped tests, with the number of tests."""
    in_common: tuple[str, ...]
    """Sentences on all benchmarks: simulated devices, the shift of the suite, the control, and
    the limits that would decide what is open."""
    counts: dict[Outcome, int]
    spent: str
    """Energy of the session itself."""
    spent_co2: str | None
    worst: list[Standout]
    best: list[Standout]
    names: dict[str, str]
    """Short names by id."""
    links: dict[str, str]
    """Addresses within the page, by id."""
    table: Table
    drawers: list[Drawer]
    forests: list[Forest]
    choice: Choice | None
    """Pairs of the runs that were given."""
    trends: Trends | None
    scatters: list[Scatter]
    distributions: Distributions | None
    sweeps: list[Sweep]
    windows: Windows | None
    """Tests with several windows."""
    machines: dict[str, str]
    """The facts in which the machines differ, by name; empty for one machine."""
    surroundings: list[FactRow]
    compared: str | None
    """What the environment is compared with; ``None`` if there is nothing."""
    board_gain: float
    """How far the sensors of one model differ, relative to the truth."""
    pairs: Pairs | None
    """The other revision, if the run was compared with one."""
    candidates: list[CandidateRow]
    """What single tests compared in turn."""
    findings: list[Finding]
    remarks: list[Remark]

    what_to_measure_with: str = WHAT_TO_MEASURE_WITH
    """The next step after a run of estimates."""

    @property
    def backgrounds(self) -> dict[str, tuple[float, float]]:
        """The tolerance bands of all changes that are drawn, by id."""
        pairs = [pair.forest for pair in self.choice.pairs if pair.forest] if self.choice else []
        return {
            id: band
            for forest in (*self.forests, *pairs)
            for id, band in forest.backgrounds.items()
        }

    @property
    def before_after(self) -> str:
        """The title of a column with both values."""
        return "Base → head" if self.pairs else "Baseline → now"


def build_page(measured: Run, older: Sequence[Reference] = ()) -> Page:
    """Everything that the page shows of a run; ``older`` runs are its history."""
    runs = [reference.run for reference in older]
    reference = newest(older)
    # Compared first: headline, table and charts must show the same verdicts.
    run = compare(measured, reference) if reference else measured
    names = short_names([result.id for result in run.benchmarks])
    machines = Machines(run)
    of_each = [machines.of(result) for result in run.benchmarks]
    several = len(set(of_each)) > 1
    table = build_table(run.benchmarks, names, of_each if several else ())
    palette = build_palette(table.rows)
    # Traces are decoded here, once; the findings below use the agreements of these drawers.
    charted = rows_with_charts(table.rows)
    drawers = [build_drawer(row, run, older, charts=row.place in charted) for row in table.rows]
    return Page(
        run=run,
        headline=headline_against(measured, run, reference) if reference else headline(run),
        subtitle=_subtitle(run),
        estimates=estimates(run),
        failed_tests=failed_tests(run),
        skipped=skipped(run),
        in_common=tuple(in_common(run)),
        counts=counts(run),
        spent=numbers.watt_hours(run.run.energy_j),
        spent_co2=_spent_co2(run),
        worst=worst(run),
        best=best(run),
        names=names,
        links={row.result.id: row.link for row in table.rows},
        table=table,
        drawers=drawers,
        forests=build_forests(table.rows),
        choice=build_choice(Reference("this run", measured), older, table.rows),
        trends=build_trends(table.rows, run, runs),
        scatters=build_scatters(table.rows, palette),
        distributions=build_distributions(table.rows, palette),
        sweeps=build_sweeps(table.rows, palette),
        windows=build_windows(table.rows),
        machines=describe_machines(machines, of_each) if several else {},
        surroundings=build_surroundings(run, runs),
        compared=_other_environment(run, older=bool(older)),
        board_gain=BOARD_GAIN,
        pairs=build_pairs(run),
        candidates=candidate_rows(run),
        findings=build_findings(run, drawers),
        remarks=build_remarks(run),
    )


def _other_environment(run: Run, *, older: bool) -> str | None:
    """``main (1a2b3c4d5)``, ``Baseline``, or both where baselines decided a part."""
    compared = [result for result in run.benchmarks if _has_baseline(result)]
    names = dict.fromkeys(
        result.comparison.label if result.comparison else "Baseline" for result in compared
    )
    if older:
        names = {"Baseline": None}
    return " or ".join(names) or None


def _has_baseline(result: Result) -> bool:
    """Whether a baseline of a machine was compared; exact metrics do not count."""
    exact = {name for name, quantity in result.metrics.items() if quantity.exact}
    noisy = (verdict for verdict in result.verdict.metrics if verdict.metric not in exact)
    return bool(result.verdict.differences) or any(v.baseline is not None for v in noisy)


def _subtitle(run: Run) -> tuple[str, ...]:
    commit = run.run.commit and run.run.commit[:12] + (
        " with local changes" if run.run.dirty else ""
    )
    date = run.created.replace("T", " ").removesuffix("Z") + " UTC"
    parts = (run.run.branch, commit, devices(run), date)
    return tuple(part for part in parts if part)


def _spent_co2(run: Run) -> str | None:
    """CO₂ of the session; ``None`` unless its joules and the carbon intensity are known."""
    intensity, pue = (run.run.carbon.get(name) for name in ("intensity_g_per_kwh", "pue"))
    if run.run.energy_j is None or not isinstance(intensity, int | float):
        return None
    factor = pue if isinstance(pue, int | float) else 1
    return f"{numbers.mass(run.run.energy_j / JOULES_PER_KWH * intensity * factor)} CO₂"
