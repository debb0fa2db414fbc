"""A table as a declaration: which benchmarks fill a row, and which figure fills a column.

A cell without a figure says why. If several runs of one benchmark fill a cell, it shows their
median, or their mean where the paper has means. Runs whose workloads differ are never pooled.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from pytest_energy.model.measurement import Quantity, Scalar
from pytest_energy.model.result import Result
from pytest_energy.uncertainty.gum import combine, expand, no_loss, standard_error
from pytest_energy.uncertainty.rounds import SHARED

Better = Literal["higher", "lower"]
Average = Literal["median", "mean"]
Where = Mapping[str, Scalar]


@dataclass(frozen=True)
class Figure:
    """A figure of ours, or the reason why there is none."""

    value: float | None = None
    uncertainty: float | None = None
    """Half-width of the 95 % interval; ``None`` for exact or unassessed values."""
    missing: str = ""
    """Why ``value`` is ``None``."""
    own: float | None = None
    """The part of ``uncertainty`` that it does not share with other figures of its machine, such as
    the gain of a sensor or of an estimate; ``None``: all of it."""
    epochs: float | None = None
    """Epochs after which a score was taken; ``None`` for other figures."""

    def times(self, factor: float) -> Figure:
        """The figure times an exact number."""
        scaled = [
            None if number is None else number * factor
            for number in (self.value, self.uncertainty, self.own)
        ]
        value, uncertainty, own = scaled
        return replace(self, value=value, uncertainty=uncertainty, own=own)


RANDOM: Final = "random"
"""The data of inference benchmarks. Paper C's protocol has it, so it is no other data set."""
Read = Callable[[Result], Figure]


@dataclass(frozen=True)
class Column:
    """One figure of ours, with the paper's columns beside it."""

    heading: str
    read: Read
    where: Where = field(default_factory=dict)
    """Workload facts that a benchmark must have, besides those of the row."""
    paper: Mapping[str, str] = field(default_factory=dict)
    """The paper's columns: from the heading to the name in the CSV file."""
    better: Better | None = None
    """Which direction is better; ``None`` if neither is."""
    form: str = ".4g"


@dataclass(frozen=True)
class Row:
    """One line of a table: the benchmarks that fill it, and the paper's own line."""

    label: str
    where: Where
    paper: Mapping[str, str] = field(default_factory=dict)
    """The paper's figures by column name of its CSV file."""
    average: Average = "median"
    """What a cell shows of repeated runs."""


@dataclass(frozen=True)
class Cell:
    """The text at one place of a table, and its marks."""

    text: str
    as_good: bool = False
    """As good as or better than the baseline of its column."""
    best: bool = False
    """The best of its column."""


@dataclass(frozen=True)
class Table:
    """A filled table, ready to render."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    """Departures from the paper, and other things that a reader must know."""


def metric(name: str, factor: float = 1.0) -> Read:
    """Read a metric, times ``factor``."""

    def read(result: Result) -> Figure:
        quantity = result.metrics.get(name)
        if quantity is None:
            return Figure(missing=why_missing(result))
        figure = of_quantity(quantity).times(factor)
        ran = result.metrics.get("epochs_run") if name.removeprefix("train_") in SCORES else None
        return figure if ran is None else replace(figure, epochs=ran.value)

    return read


SCORES: Final = ("accuracy", "miou", "map", "score_per_kwh")
"""Metrics that depend on the epochs that ran, and not only on those of the schedule."""


def of_quantity(quantity: Quantity) -> Figure:
    """A metric as a figure."""
    whole = combine(quantity.budget.values())
    own = combine(term for cause, term in quantity.budget.items() if cause not in SHARED)
    if quantity.uncertainty is None or not whole:
        return Figure(quantity.value, quantity.uncertainty)
    return Figure(quantity.value, quantity.uncertainty, own=quantity.uncertainty * own / whole)


def fact(name: str) -> Read:
    """Read a number among the workload's facts."""

    def read(result: Result) -> Figure:
        value = result.workload.get(name)
        if isinstance(value, int | float):
            return Figure(float(value))
        return Figure(missing="not recorded")

    return read


def why_missing(result: Result) -> str:
    """Why a benchmark lacks a metric, in a few words: ``not measured (no-meter)``."""
    fatal = dict.fromkeys(str(reason.code) for reason in result.reasons if reason.fatal)
    if result.status == "invalid":
        return f"invalid ({', '.join(fatal)})"
    return f"not measured ({', '.join(fatal)})" if fatal else "not measured"


def matching(results: Sequence[Result], where: Where) -> list[Result]:
    """The benchmarks whose kind and workload agree with ``where``."""

    def agrees(result: Result) -> bool:
        facts = {"kind": result.kind, **result.workload}
        return all(facts.get(name) == value for name, value in where.items())

    return [result for result in results if agrees(result)]


def figure_of(results: Sequence[Result], read: Read, average: Average = "median") -> Figure:
    """The figure of one benchmark, or the average of its repeated runs.

    The uncertainty of an average contains the scatter of the runs.
    """
    known = [(result, figure) for result in results if (figure := read(result)).value is not None]
    if not known:
        return read(results[0]) if results else Figure(missing="not run")
    values = [figure.value for _, figure in known if figure.value is not None]
    if len(set(values)) == 1:
        return known[0][1]
    if unlike := differing([result for result, _ in known]):
        return Figure(missing=f"unlike runs ({unlike})")
    lengths = dict.fromkeys(f"{figure.epochs:g}" for _, figure in known if figure.epochs)
    if len(lengths) > 1:
        return Figure(missing=f"unlike runs (epochs run: {', '.join(lengths)})")
    mean = average == "mean"
    # A median of normal values scatters by √(π/2) more than their mean.
    error = standard_error(values) * (1 if mean else math.sqrt(math.pi / 2))
    scatter = expand(error, len(values) - 1)
    inner = [figure.uncertainty or 0.0 for _, figure in known]
    own = [figure.uncertainty or 0.0 if figure.own is None else figure.own for _, figure in known]
    return Figure(
        statistics.fmean(values) if mean else statistics.median(values),
        combine((scatter, statistics.fmean(inner))),
        own=combine((scatter, statistics.fmean(own))),
    )


def differing(results: Sequence[Result]) -> str:
    """The facts in which runs of one benchmark differ; empty if they are repetitions."""
    names = dict.fromkeys(name for result in results for name in result.workload)
    values = {
        name: dict.fromkeys(str(result.workload.get(name)) for result in results)
        for name in names
        if name != "run"
    }
    return "; ".join(
        f"{name}: {', '.join(found)}" for name, found in values.items() if len(found) > 1
    )


def unlike_runs(results: Sequence[Result], same: Sequence[str]) -> str:
    """The facts in which runs differ that agree in the facts ``same``; empty if they are alike.

    For what is drawn from single runs, or tested over them, and not from an average.
    """
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        key = tuple(str(result.workload.get(name)) for name in same)
        groups.setdefault(key, []).append(result)
    found = dict.fromkeys(filter(None, map(differing, groups.values())))
    return f"unlike runs ({'; '.join(found)})" if found else ""


def fill(
    title: str,
    corner: str,
    rows: Sequence[Row],
    columns: Sequence[Column],
    results: Sequence[Result],
    notes: Sequence[str] = (),
    baseline: str | None = None,
) -> Table:
    """Fill a table.

    Args:
        title: The title above the table.
        corner: The heading of the row labels.
        rows: The lines, in the paper's order.
        columns: The columns, in the paper's order.
        results: The benchmarks of a run.
        notes: Departures that always hold. Those that the results show are added.
        baseline: The label of the row that others are compared with, if there is one.
    """
    filled = [_fill_column(column, rows, results, baseline) for column in columns]
    lines = [
        (Cell(row.label), *(cell for cells in filled for cell in cells[index]))
        for index, row in enumerate(rows)
    ]
    headings = [heading for column in columns for heading in (column.heading, *column.paper)]
    # Only benchmarks that fill a row count: a run may hold those of other papers.
    used = [result for row in rows for result in matching(results, row.where)]
    return Table(title, (corner, *headings), tuple(lines), (*notes, *departures(used)))


def _fill_column(
    column: Column, rows: Sequence[Row], results: Sequence[Result], baseline: str | None
) -> list[tuple[Cell, ...]]:
    figures = {
        row.label: figure_of(
            matching(results, {**row.where, **column.where}), column.read, row.average
        )
        for row in rows
    }
    reference = figures[baseline] if baseline is not None else None
    best = _best(figures.values(), column.better)
    cells = []
    for row in rows:
        figure = figures[row.label]
        ours = Cell(
            shown(figure, column.form),
            as_good=row.label != baseline and is_as_good(figure, reference, column.better),
            best=figure.value is not None and figure.value == best,
        )
        printed = (Cell(row.paper.get(name, "") or "–") for name in column.paper.values())
        cells.append((ours, *printed))
    return cells


def is_as_good(figure: Figure, baseline: Figure | None, better: Better | None) -> bool:
    """Whether ``figure`` is as good as the baseline or better, within their uncertainties."""
    if baseline is None or better is None or figure.value is None or baseline.value is None:
        return False
    gain = figure.value - baseline.value
    signed = gain if better == "higher" else -gain
    # What both share, such as the gain of an estimate, moves both alike.
    own = (side.uncertainty if side.own is None else side.own for side in (figure, baseline))
    return no_loss(signed, *own)


def shown(figure: Figure, form: str = ".4g") -> str:
    """A figure with its uncertainty of two digits, ``0.980 ± 0.012``, or why it is missing."""
    if figure.value is None:
        return figure.missing
    if not figure.uncertainty:
        return format(figure.value, form)
    digits = max(0, 1 - math.floor(math.log10(figure.uncertainty)))
    return f"{figure.value:.{digits}f} ± {figure.uncertainty:.{digits}f}"


def _best(figures: Iterable[Figure], better: Better | None) -> float | None:
    values = [figure.value for figure in figures if figure.value is not None]
    if better is None or len(set(values)) < 2:  # a single value, or equal ones: none stands out
        return None
    return max(values) if better == "higher" else min(values)


def departures(results: Sequence[Result]) -> tuple[str, ...]:
    """Departures from the paper that the results themselves show."""
    notes = []
    small = [r.workload for r in results if r.workload.get("scale") == "small"]
    if any(result.status == "estimated" for result in results):
        notes.append("Joules are estimates from a model of the hardware, not measurements.")
    if small:
        notes.append(
            "Small scale: images, batches and epochs are far below the paper's, so joules, times "
            "and scores only show that the benchmark runs. "
            "Parameters, MACs and FLOPs are those of the paper's input."
        )
    twins = {(str(w["small_model"]), str(w.get("model"))) for w in small if "small_model" in w}
    notes += [
        f"To reach a target, {ran} was trained in place of {named}." for ran, named in sorted(twins)
    ]
    pairs = {(str(r.workload.get("dataset")), str(r.workload.get("data"))) for r in results}
    if any(ran == RANDOM for _, ran in pairs):
        notes.append("Inference ran on random images.")
    notes += [
        f"Ran on {ran}, not on {named}."
        for named, ran in sorted(pairs)
        if ran not in (named, RANDOM)
    ]
    shares = sorted(r.metrics["epoch_share"].value for r in results if "epoch_share" in r.metrics)
    if shares:
        notes.append(
            f"Epochs were cut to {shares[0]:.2%} of their images and more (--epoch-images); the "
            "joules of the full schedule are scaled by images."
        )
    if any(has_random_weights(result) for result in results):
        notes.append(
            "Random weights: the accuracy is not comparable (--energy-weights has pretrained ones)."
        )
    cut = sorted(filter(None, map(_cut_short, results)))
    if cut:
        parts = ", ".join(dict.fromkeys(f"{run:g} of {all_:g}" for all_, run in cut))
        notes.append(f"Scores were taken after a part of the paper's epochs: {parts}.")
    return tuple(notes)


def has_random_weights(result: Result) -> bool:
    """Whether a scored training lacks the pretrained weights that its paper started from."""
    model = str(result.workload.get("model"))
    is_pretrained = model.endswith("_transfer") or model.startswith("bisenet")
    is_scored = result.kind == "training" and "accuracy" in result.metrics
    return is_pretrained and is_scored and not result.workload.get("weights")


def _cut_short(result: Result) -> tuple[float, float] | None:
    """Epochs of the full schedule and of the scored training, if that had fewer; else ``None``."""
    run, epochs = result.metrics.get("epochs_run"), result.workload.get("epochs")
    if run is None or not isinstance(epochs, int | float) or run.value >= epochs:
        return None
    return epochs, run.value


def paper_rows(name: str) -> list[dict[str, str]]:
    """The lines of one of the files in ``papers/``."""
    text = (Path(__file__).parent / "papers" / name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
