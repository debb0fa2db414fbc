"""The dashboard: static pages of every benchmark's joules over time, which need no script."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.history import wording
from pytest_energy.history.changes import (
    Creep,
    HistoryChange,
    RunOfMachine,
    Series,
    find_changes,
    find_creep,
    load_series,
)
from pytest_energy.history.queries import Queries
from pytest_energy.model.environment import is_simulated
from pytest_energy.model.files import write_atomically
from pytest_energy.model.git import run_git
from pytest_energy.report.html import templating
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import Frame
from pytest_energy.report.html.content_security import content_security_policy

if TYPE_CHECKING:
    from jinja2 import Environment
    from numpy.typing import NDArray

SPARK: Final = Frame(180, 28, left=2, right=178, top=3, bottom=25)
TREND: Final = Frame(960, 300, left=70, right=946, top=14, bottom=254)
MOST_SPARK_POINTS: Final = 90
"""More would be closer than two pixels."""
LAST: Final = 3
"""Runs whose median is "now", and likewise "before"."""
MOST_LISTED: Final = 5
MOST_ROWS: Final = 100
"""Runs in the table of a benchmark's page; `history export` gives all."""

DETAILS: Final = """
SELECT machine_id, test, workload,
       list({'run': run_id, 'half': energy_j_uncertainty, 'outcome': outcome, 'report': report})
FROM points GROUP BY machine_id, test, workload
"""
Details = dict[tuple[str, str, str], list[dict[str, Any]]]
"""By machine, test and workload: what the rows of a benchmark's table need of each run."""


@dataclass(frozen=True)
class Since:
    """What the present is compared with."""

    name: str
    """As people say it: ``v1.2``, ``2026-11-01``, ``the first runs``."""
    when: datetime | None = None
    """``None`` for the first runs."""


@dataclass(frozen=True)
class Row:
    """A benchmark on a machine, in the table of the index."""

    name: str
    link: str
    spark: str
    """SVG path data."""
    now_j: float
    change: float | None
    """Relative change since the reference; ``None`` if there are too few runs."""
    changes: int
    creep: Creep | None
    last: RunOfMachine

    @property
    def order(self) -> float:
        """Sorts the largest rise first."""
        return -(self.change or 0.0)


@dataclass(frozen=True)
class MachinePage:
    """A machine on the index."""

    name: str
    anchor: str
    simulated: bool
    estimated: bool
    runs: int
    rows: tuple[Row, ...]

    @property
    def worst(self) -> tuple[Row, ...]:
        """The largest rises since the reference."""
        moved = [row for row in self.rows if row.change is not None and row.change > 0]
        return tuple(sorted(moved, key=lambda row: row.order)[:MOST_LISTED])

    @property
    def best(self) -> tuple[Row, ...]:
        """The largest falls since the reference."""
        moved = [row for row in self.rows if row.change is not None and row.change < 0]
        return tuple(sorted(moved, key=lambda row: -row.order)[:MOST_LISTED])


@dataclass(frozen=True)
class Line:
    """A vertical mark in a trend: what changed there."""

    x: float
    text: str
    kind: str
    """``rise``, ``fall``, ``context`` or ``release``."""


@dataclass(frozen=True)
class TrendDot:
    """One run in a trend."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class TrendRow:
    """One run in the table of a benchmark."""

    run: RunOfMachine
    energy_j: float
    uncertainty_j: float | None
    outcome: str
    report: str | None


@dataclass(frozen=True)
class Trend:
    """The joules of a benchmark on one machine."""

    machine: str
    y: Axis
    dots: tuple[TrendDot, ...]
    levels: str
    """SVG path data of the mean of each level."""
    lines: tuple[Line, ...]
    labels: tuple[tuple[float, str], ...]
    changes: tuple[HistoryChange, ...]
    rows: tuple[TrendRow, ...]


def since(text: str | None, repository: Path) -> Since:
    """Read what ``--since`` names.

    Raises:
        UsageError: It is neither a date nor a revision of the repository.
    """
    if text is None:
        return Since("the first runs")
    try:
        return Since(text, datetime.fromisoformat(text).astimezone(UTC))
    except ValueError:
        pass
    try:
        date = run_git(repository, "log", "-1", "--format=%cI", "--end-of-options", text).strip()
    except EnergyError as error:
        raise UsageError(
            f"--since={text}: neither a date such as 2026-11-01 nor a revision here ({error})"
        ) from None
    return Since(text, datetime.fromisoformat(date).astimezone(UTC))


def write_site(queries: Queries, folder: Path, reference: Since) -> int:
    """Write ``index.html`` and a page for each benchmark; return how many pages.

    Args:
        queries: The history.
        folder: Where to write; files there are replaced.
        reference: What the index compares the present with.

    Raises:
        OSError: A page cannot be written.
    """
    series = load_series(queries)
    changes = find_changes(series)
    creep = {(found.machine, found.test): found for found in find_creep(queries)}
    jinja = templating.environment()
    style = jinja.get_template("history/style.css.j2").render().strip()
    same = {
        "style": Markup(style),
        "policy": content_security_policy(("",), style),
        "words": wording,
    }
    _write(
        folder / "index.html",
        jinja,
        "history/index.html.j2",
        **same,
        machines=_machines(series, changes, creep, reference),
        changes=changes,
        since=reference,
        link=link_of,
        spark=SPARK,
    )
    tests = sorted({one.test for one in series if one.test})
    releases = _releases(Path.cwd())
    details = {(m, t, w): runs for m, t, w, runs in queries.ask(DETAILS).rows}
    for test in tests:
        _write(
            folder / link_of(test),
            jinja,
            "history/benchmark.html.j2",
            **same,
            frame=TREND,
            test=test,
            trends=[_trend(one, details, changes, releases) for one in series if one.test == test],
        )
    return 1 + len(tests)


def _write(path: Path, jinja: Environment, template: str, **values: object) -> None:
    write_atomically(path, jinja.get_template(template).render(**values))


def link_of(test: str) -> str:
    """The page of a benchmark: its id may hold what no file name can."""
    return f"benchmarks/{hashlib.sha256(test.encode()).hexdigest()[:16]}.html"


def _machines(
    series: Sequence[Series],
    changes: Sequence[HistoryChange],
    creep: dict[tuple[str, str], Creep],
    reference: Since,
) -> list[MachinePage]:
    pages = []
    for machine_id in dict.fromkeys(one.machine_id for one in series):
        own = [one for one in series if one.machine_id == machine_id and one.test]
        rows = [
            _row(one, changes, creep.get((one.machine, one.test or "")), reference) for one in own
        ]
        runs = {run.run_id for one in own for run in one.runs}
        identity = own[0].identity
        pages.append(
            MachinePage(
                name=own[0].machine,
                anchor=machine_id,
                simulated=is_simulated(identity),
                estimated=bool(identity.get("estimated")),
                runs=len(runs),
                rows=tuple(sorted(rows, key=lambda row: row.order)),
            )
        )
    return pages


def _row(
    series: Series, changes: Sequence[HistoryChange], creep: Creep | None, reference: Since
) -> Row:
    test = series.test or ""
    own = [c for c in changes if c.test == test and c.machine == series.machine]
    return Row(
        name=test,
        link=link_of(test),
        spark=_spark(series.energies_j),
        now_j=float(np.median(series.energies_j[-LAST:])),
        change=_change_since(series, reference),
        changes=len(own),
        creep=creep,
        last=series.runs[-1],
    )


def _change_since(series: Series, reference: Since) -> float | None:
    """The median of the last runs against that of the last ones before the reference."""
    before = series.energies_j
    if reference.when is None:
        before = before[:LAST]
    else:
        older = [run.created < reference.when for run in series.runs]
        before = before[older][-LAST:]
    if not len(before) or len(series.energies_j) < 2:
        return None
    return float(np.median(series.energies_j[-LAST:]) / np.median(before)) - 1


def _spark(energies_j: NDArray[np.float64]) -> str:
    groups = np.array_split(energies_j, min(len(energies_j), MOST_SPARK_POINTS))
    values = [float(np.median(group)) for group in groups]
    y = fit(values, SPARK.bottom, SPARK.top)
    step = SPARK.span / max(1, len(values) - 1)
    points = [(SPARK.left + step * index, y.at(value)) for index, value in enumerate(values)]
    return path(points, places=0)


def _trend(
    series: Series,
    details: Details,
    changes: Sequence[HistoryChange],
    releases: dict[str, str],
) -> Trend:
    own = [c for c in changes if c.test in (series.test, None) and c.machine == series.machine]
    places = {change: _place(change, series) for change in own}
    key = series.machine_id, series.test or "", series.workload
    by_run = {each["run"]: each for each in details[key]}
    rows = [
        TrendRow(run, energy_j, each["half"], each["outcome"], each["report"])
        for run, energy_j in zip(series.runs, series.energies_j.tolist(), strict=True)
        for each in [by_run[run.run_id]]
    ]
    ends = [
        row.energy_j + side * (row.uncertainty_j or 0.0) for row in rows for side in (-1.0, 1.0)
    ]
    y = fit(ends, TREND.bottom, TREND.top, name="energy (J)")
    step = TREND.span / len(rows)
    at = [TREND.left + step * (index + 0.5) for index in range(len(rows))]
    dots = [
        TrendDot(
            x,
            y.at(row.energy_j),
            y.at(row.energy_j - (row.uncertainty_j or 0.0)),
            y.at(row.energy_j + (row.uncertainty_j or 0.0)),
        )
        for x, row in zip(at, rows, strict=True)
    ]
    every = 1 + len(rows) // 8
    labels = [(x, f"{row.run.created:%Y-%m-%d}") for x, row in zip(at, rows, strict=True)]
    return Trend(
        machine=series.machine,
        y=y,
        dots=tuple(dots),
        levels=_levels(series, places.values(), y, step),
        lines=tuple(_lines(series, places, releases, step)),
        labels=tuple(labels[::every]),
        changes=tuple(own),
        rows=tuple(reversed(rows[-MOST_ROWS:])),
    )


def _place(change: HistoryChange, series: Series) -> int:
    """The first run of the series with the new level; a machine's change has its own runs."""
    return sum(run.created < change.first.created for run in series.runs)


def _levels(series: Series, places: Iterable[int], y: Axis, step: float) -> str:
    """The geometric mean between two changes, as horizontal lines."""
    edges = sorted({0, *places, len(series.runs)})
    logs = np.log(series.energies_j)
    return "".join(
        f"M{TREND.left + step * begin:.0f} {y.at(math.exp(logs[begin:end].mean())):.1f}"
        f"H{TREND.left + step * end:.0f}"
        for begin, end in pairwise(edges)
    )


def _lines(
    series: Series, places: dict[HistoryChange, int], releases: dict[str, str], step: float
) -> list[Line]:
    lines = [
        Line(
            TREND.left + step * place,
            f"{wording.what(change)}, {wording.size(change)}",
            "rise" if change.is_rise else "fall",
        )
        for change, place in places.items()
    ]
    for index in range(1, len(series.runs)):
        before, run = series.runs[index - 1], series.runs[index]
        x = TREND.left + step * index
        names = [n for n in sorted({*before.context, *run.context}) if n in CONTEXT]
        moved = [n for n in names if before.context.get(n) != run.context.get(n)]
        if moved:
            texts = [f"{n} {before.context.get(n)} → {run.context.get(n)}" for n in moved]
            lines.append(Line(x, ", ".join(texts), "context"))
        if run.commit != before.commit and run.commit in releases:
            lines.append(Line(x, releases[run.commit], "release"))
    return lines


CONTEXT: Final = frozenset({"driver", "torch", "cuda", "nvidia-ml-py", "pytest-energy", "python"})
"""Facts whose changes are marked in a trend."""


def _releases(repository: Path) -> dict[str, str]:
    """Tags by commit; none outside a repository."""
    form = "--format=%(objectname) %(*objectname) %(refname:short)"
    try:
        text = run_git(repository, "for-each-ref", form, "refs/tags")
    except EnergyError:
        return {}
    found = {}
    # A tag's name may have characters at which splitlines() splits as well.
    for line in filter(None, text.split("\n")):
        tag, commit, name = line.split(" ", 2)
        found[commit or tag] = name
    return found
