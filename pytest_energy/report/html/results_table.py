"""The table of all results: columns, rows, and marks for what is better than the reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import ENERGY, PER_UNIT, Better
from pytest_energy.model.result import Result
from pytest_energy.report import numbers
from pytest_energy.report.derived_metrics import direction, present, values
from pytest_energy.report.html.training import trained
from pytest_energy.report.labels import anchors
from pytest_energy.report.summary import energy_verdict
from pytest_energy.uncertainty.gum import no_loss

REFERENCE = "baseline"
"""The value of the fact ``technique`` that marks the reference of a group."""
IN_FRAGMENT: Final = "/:[],=+!$&'()*;@?~|^{}"
"""The signs of a name that stay readable in an address."""
PRINTED: Final = 10
"""The most columns on paper: name, outcome, and the first that are shown."""
_COMPARED_WITHIN = ("model", "dataset", "data", "input_shape", "batch_size", "scale", "sweep")


@dataclass(frozen=True)
class Column:
    """One column; ``name`` is a metric or one of the fixed columns."""

    name: str
    label: str
    about: str = ""
    shown: bool = True


@dataclass(frozen=True)
class Cell:
    """One cell: the text, and the value for sorting and downloads."""

    text: str
    value: float | str | None = None
    uncertainty: float | None = None
    better: bool = False
    """At least as good as the reference, within the uncertainties of both."""
    best: bool = False
    """The best of the benchmarks that are comparable with it."""


@dataclass(frozen=True)
class Row:
    """One benchmark."""

    key: str
    name: str
    result: Result
    metrics: dict[str, Quantity]
    """The metrics of the result, and those that follow from them."""
    cells: dict[str, Cell]
    training: dict[str, Quantity] = field(default_factory=dict)
    """For an inference benchmark: the metrics of training the same model."""
    place: int = 0
    """Its number in the run, by which the script finds all that shows it."""
    machine: str = ""
    """The name of the machine that measured it, where the run has several."""

    @property
    def hollow(self) -> bool:
        """Whether its marks are hollow: its joules were estimated and not measured."""
        return self.result.status == "estimated"

    @property
    def link(self) -> str:
        """``#test_it[name]``: the address of its details within the page."""
        return f"#{quote(self.key, safe=IN_FRAGMENT)}"

    def known(self) -> dict[str, Quantity]:
        """Every metric that may be an axis."""
        return {**self.training, **self.metrics}

    def line(self, columns: Sequence[Column]) -> list[Cell | None]:
        """The cells under ``columns``; ``None`` for missing ones."""
        return [self.cells.get(column.name) for column in columns]


@dataclass(frozen=True)
class Table:
    """All results."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def child(self, name: str) -> int | None:
        """The number of a column among the cells of a line, from 1; ``None`` without the column."""
        places = [place for place, column in enumerate(self.columns, 3) if column.name == name]
        return places[0] if places else None

    @property
    def unprinted(self) -> list[int]:
        """Numbers of the columns that paper has no room for, counted like :meth:`child`."""
        wanted = [place for place, column in enumerate(self.columns, 3) if column.shown]
        printed = wanted[: PRINTED - 2]
        return [place for place, _ in enumerate(self.columns, 3) if place not in printed]


_BEFORE = (
    Column("baseline", "Baseline", "energy of the baseline"),
    Column("change", "Change", "of energy, with its 95 % interval"),
    Column("tolerance", "Tolerance"),
)
_AFTER = (
    Column("rounds", "Rounds", "rounds × passes"),
    Column("reasons", "Remarks"),
)


def build_table(
    results: Sequence[Result], names: dict[str, str], machines: Sequence[str] = ()
) -> Table:
    """The table of ``results``.

    Args:
        results: The benchmarks of a run.
        names: Their short names by id.
        machines: The names of the machines that measured them, where there are several.
    """
    shown = present(results)
    metrics = [Column(row.name, row.label, row.about, row.shown) for row in shown]
    energy = [column for column in metrics if _is_energy(column)]
    others = [column for column in metrics if not _is_energy(column)]
    training = trained(results)
    keys = anchors([names[result.id] for result in results])
    rows = [
        replace(
            _row(key, names[result.id], result, training.get(result.id, {})),
            place=place,
            machine=machines[place] if machines else "",
        )
        for place, (key, result) in enumerate(zip(keys, results, strict=True))
    ]
    ways = {row.name: way for row in shown if (way := direction(row.name, results))}
    return Table((*energy, *_BEFORE, *others, *_AFTER), tuple(_marked(rows, ways)))


def _is_energy(column: Column) -> bool:
    """Joules per pass, and per unit of work: they come first."""
    return column.name == ENERGY or column.name.startswith(PER_UNIT)


def _row(key: str, name: str, result: Result, training: dict[str, Quantity]) -> Row:
    metrics = values(result)
    cells = {
        metric: Cell(numbers.quantity(quantity), quantity.value, quantity.uncertainty)
        for metric, quantity in metrics.items()
    }
    if verdict := energy_verdict(result):
        before, text = verdict.baseline, numbers.MISSING
        if before is not None:
            text = numbers.measured(before, None, verdict.unit)
        cells["baseline"] = Cell(text, before)
        cells["change"] = Cell(numbers.change(verdict), verdict.change)
        cells["tolerance"] = Cell(numbers.tolerance(verdict.tolerance), verdict.tolerance)
    passes = sorted({measured.passes for measured in result.rounds})
    text = " or ".join(numbers.count(number) for number in passes)
    rounds = f"{len(result.rounds)} × {text}" if passes else numbers.MISSING
    reasons = "; ".join(f"{reason.code}: {reason.message}" for reason in result.reasons)
    cells["rounds"] = Cell(rounds, len(result.rounds))
    cells["reasons"] = Cell(reasons or numbers.MISSING, reasons or None)
    return Row(key, name, result, metrics, cells, training)


def _marked(rows: Sequence[Row], ways: dict[str, Better]) -> list[Row]:
    """The rows, with marks for better than the reference and best of the group."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        workload = row.result.workload
        facts = (str(workload.get(name)) for name in _COMPARED_WITHIN)
        groups[row.result.kind, *facts].append(row)
    marked = [row for group in groups.values() for row in _mark_group(group, ways)]
    # The groups have parted the rows, which return to their places in the run.
    return sorted(marked, key=lambda row: row.place)


def _mark_group(group: list[Row], ways: dict[str, Better]) -> list[Row]:
    """Mark the cells of a group with exactly one reference; two would contradict each other."""
    references = [row for row in group if row.result.workload.get("technique") == REFERENCE]
    if len(references) != 1 or len(group) < 2:
        return group
    reference = references[0]
    marked = {row.key: dict(row.cells) for row in group}
    for name, way in ways.items():
        best = _best(group, name, way)
        standard = reference.cells.get(name)
        if not (standard and isinstance(standard.value, float | int)):
            continue
        for row in group:
            cell = row.cells.get(name)
            if not (cell and isinstance(cell.value, float | int)):
                continue
            gain = cell.value - standard.value if way == "more" else standard.value - cell.value
            as_good = no_loss(gain, cell.uncertainty, standard.uncertainty)
            better = as_good and row is not reference
            marked[row.key][name] = replace(cell, better=better, best=cell.value == best)
    return [replace(row, cells=marked[row.key]) for row in group]


def _best(group: Iterable[Row], name: str, way: Better) -> float | None:
    """The best value; ``None`` if its interval overlaps another's, so that it may not be best."""
    cells = [row.cells[name] for row in group if name in row.cells]
    known = [
        (cell.value, cell.uncertainty or 0.0)
        for cell in cells
        if isinstance(cell.value, float | int)
    ]
    sign = 1 if way == "less" else -1
    ordered = sorted(known, key=lambda cell: sign * cell[0])
    if not ordered:
        return None
    (best, half), *others = ordered
    apart = [sign * (value - best) > half + other_half for value, other_half in others]
    return best if apart and all(apart) else None


Plain = dict[str, object]


def export(table: Table) -> Plain:
    """Columns and rows as plain values for the script's downloads, sorting and charts.

    Each row is a list of values, so that the names are written only once. A missing ``key`` is the
    row's name, and a missing ``id`` the name behind ``prefix``.
    """
    rows = [_plain_row(row) for row in table.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    facts = list(dict.fromkeys(name for row in table.rows for name in row.result.workload))
    first = table.rows[0] if table.rows else None
    prefix = first.result.id.removesuffix(first.name) if first else ""
    for row, plain in zip(table.rows, rows, strict=True):
        # What the script can put together is not written a thousand times.
        plain["id"] = None if row.result.id == prefix + row.name else row.result.id
        plain["key"] = None if row.key == row.name else row.key
        known = {name: numbers.fact(value) for name, value in row.result.workload.items()}
        plain["workload"] = [known.get(name) for name in facts]
    return {
        "prefix": prefix,
        "facts": facts,
        "columns": [{"name": column.name, "shown": column.shown} for column in table.columns],
        "names": names,
        "printed": PRINTED - 2,
        "rows": [[row.get(name) for name in names] for row in rows],
    }


def _plain_row(row: Row) -> Plain:
    result = row.result
    plain: Plain = {
        "key": row.key,
        "id": result.id,
        "name": row.name,
        "kind": result.kind,
        "status": result.status,
        "outcome": result.verdict.outcome.value,
        "unit": result.energy.unit if result.energy else None,
        "workload": None,
    }
    if row.machine:
        plain["machine"] = row.machine
    for name, cell in row.cells.items():
        plain[name] = _short(cell.value)
        if cell.uncertainty is not None:
            plain[f"{name}_uncertainty"] = _short(cell.uncertainty)
    return plain


def _short(value: float | str | None) -> float | str | None:
    """Ten digits: more than any meter knows, and half of what a float prints."""
    return float(f"{value:.10g}") if isinstance(value, float) else value
