"""Charts for print: plain functions of numbers that return a figure of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pytest_energy.report.html.charts.scatter import pareto

Drawing = Any
"""A ``matplotlib.figure.Figure``; the library is imported only where a chart is drawn."""
SIDE_IN = 4.0
"""Height of a panel in inches."""


@dataclass(frozen=True)
class Line:
    """A curve."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    """Whether single measurements are marked."""
    twin: bool = False
    """Whether it is dashed, in the colour of the line before it."""


@dataclass(frozen=True)
class Point:
    """A labelled point of a scatter chart."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Bar:
    """A bar with its 95 % interval."""

    label: str
    value: float
    uncertainty: float | None = None


MOST_ENTRIES = 12
"""Entries of a legend that fit into a panel, and into a column beside it."""


def curves(lines: Sequence[Line], title: str, x: str, y: str) -> Drawing:
    """All lines in one chart. A long legend stands beside it."""
    columns = -(-len(lines) // MOST_ENTRIES) if len(lines) > MOST_ENTRIES else 0
    figure, (axes,) = _empty(1, title, beside_in=columns * SIDE_IN / 2)
    colours = colours_of(lines)
    for line, colour in zip(lines, colours, strict=True):
        style, marker = ("--" if line.twin else "-"), ("o" if line.dots else None)
        axes.plot(line.x, line.y, style, color=colour, marker=marker, label=line.label)
    _describe(axes, x, y)
    if columns:
        figure.legend(fontsize="x-small", loc="outside right center", ncols=columns)
    else:
        axes.legend(fontsize="x-small")
    return figure


def colours_of(lines: Sequence[Line]) -> list[str]:
    """A colour for each line, in matplotlib's notation; a twin has that of the line before it."""
    colours: list[str] = []
    for line in lines:
        number = len(set(colours))
        colours.append(colours[-1] if line.twin and colours else f"C{number}")
    return colours


def grid_of_violins(panels: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Drawing:
    """A panel for each variable, and in it a violin for each group, with a dot for each run."""
    figure, all_axes = _empty(len(panels), title)
    for axes, (variable, groups) in zip(all_axes, panels.items(), strict=True):
        for place, values in enumerate(groups.values(), start=1):
            if len(set(values)) > 1:  # equal values have no density
                axes.violinplot([list(values)], [place], showmedians=True)
            axes.plot([place] * len(values), list(values), "k.", markersize=4)
        axes.set_xticks(range(1, len(groups) + 1), list(groups), rotation=20, fontsize="x-small")
        axes.set_ylim(bottom=0)
        _describe(axes, "", variable)
    return figure


def scatter(
    points: Sequence[Point], title: str, x: str, y: str, *, higher_is_better: bool
) -> Drawing:
    """Points with their labels, and the Pareto front as a dashed line.

    Args:
        points: What is compared; all of one task and data set.
        title: Above the chart.
        x: The label of the axis on which less is better.
        y: The label of the other axis.
        higher_is_better: Whether more is better on ``y``.
    """
    figure, (axes,) = _empty(1, title)
    axes.plot([point.x for point in points], [point.y for point in points], "o", markersize=4)
    for point in points:
        axes.annotate(
            point.label, (point.x, point.y), (3, 3), textcoords="offset points", fontsize="x-small"
        )
    front = front_of(points, higher_is_better=higher_is_better)
    axes.plot(*zip(*front, strict=True), "--", color="grey", label="Pareto front")
    axes.legend(fontsize="x-small")
    _describe(axes, x, y)
    return figure


def front_of(points: Sequence[Point], *, higher_is_better: bool) -> list[tuple[float, float]]:
    """The points that no other beats in both, ordered by x."""
    pairs = [(point.x, point.y) for point in points]
    return pareto(pairs, "less", "more" if higher_is_better else "less")


def bars(panels: Mapping[str, Sequence[Bar]], title: str) -> Drawing:
    """A panel of bars for each variable."""
    figure, all_axes = _empty(len(panels), title)
    for axes, (heading, row) in zip(all_axes, panels.items(), strict=True):
        errors = [bar.uncertainty or 0.0 for bar in row]
        axes.bar([bar.label for bar in row], [bar.value for bar in row], yerr=errors, capsize=3)
        axes.tick_params(axis="x", labelrotation=20, labelsize="x-small")
        _describe(axes, "", heading)
    return figure


def save(drawing: Drawing, path: Path) -> None:
    """Write a drawing as SVG.

    Raises:
        OSError: The file cannot be written.
    """
    path.write_bytes(svg(drawing, path.stem))


def svg(drawing: Drawing, name: str) -> bytes:
    """A drawing as SVG; the same drawing and name give the same bytes."""
    from matplotlib import rc_context

    content = BytesIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        drawing.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def _empty(panels: int, title: str, beside_in: float = 0.0) -> tuple[Drawing, list[Any]]:
    """A figure with panels side by side, and ``beside_in`` inches for what stands beside them."""
    from matplotlib.figure import Figure

    # no pyplot: it keeps every figure, and picks a backend by the display
    figure = Figure(figsize=(SIDE_IN * 1.5 * panels + beside_in, SIDE_IN), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    return figure, [figure.add_subplot(1, panels, place) for place in range(1, panels + 1)]


def _describe(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
