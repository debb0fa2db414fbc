"""Tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from benchmarks.tables.layout import Cell, Table

BOLD = "**Bold**: as good as the baseline or better."
STAR = "★: best of the column."
PLUS_MINUS = (
    "±: 95 % uncertainty. A figure of ours without it is exact, or a score of a single training."
)


def render_markdown(tables: Sequence[Table]) -> str:
    """The tables as GitHub-flavoured Markdown, each with its notes."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    lines = [f"## {table.title}", "", _line(table.headings), _line(["---"] * len(table.headings))]
    lines += [_line([_marked(cell) for cell in row]) for row in table.rows]
    cells = [cell for row in table.rows for cell in row]
    legends = (
        (BOLD, any(cell.as_good for cell in cells)),
        (STAR, any(cell.best for cell in cells)),
        (PLUS_MINUS, any(" ± " in cell.text for cell in cells)),
    )
    if used := [legend for legend, needed in legends if needed]:
        lines += ["", " ".join(used)]
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _line(texts: Sequence[str]) -> str:
    escaped = (text.replace("|", "\\|") for text in texts)
    return f"| {' | '.join(escaped)} |"


def _marked(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.as_good else cell.text
    return f"{text} ★" if cell.best else text


def render_csv(tables: Sequence[Table]) -> str:
    """The tables as CSV: title, headings and rows, with an empty line between two tables.

    The column ``marks`` replaces Markdown's bold and star: it lists the headings of the cells that
    are ``as-good`` or ``best``. The notes are in the Markdown only.
    """
    return "\n".join(_csv(table) for table in tables)


def _csv(table: Table) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([table.title])
    writer.writerow([*table.headings, "marks"])
    for row in table.rows:
        writer.writerow([*(cell.text for cell in row), _marks(table.headings, row)])
    return buffer.getvalue()


def _marks(headings: Sequence[str], row: Sequence[Cell]) -> str:
    marks = []
    for heading, cell in zip(headings, row, strict=True):
        names = [name for name, on in (("as-good", cell.as_good), ("best", cell.best)) if on]
        marks += [f"{heading}: {' '.join(names)}"] if names else []
    return "; ".join(marks)
