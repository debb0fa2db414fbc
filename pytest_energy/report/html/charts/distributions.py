"""How rounds scatter: violin and box for ten rounds or more, otherwise a dot for each round.

Three rounds do not define a density; a violin would pretend that they do.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_energy.model.result import Result
from pytest_energy.report.html.charts.axes import Axis, fit, path, percent_tick
from pytest_energy.report.html.charts.geometry import GROUP_WIDTH, GROUPS, ROW
from pytest_energy.report.html.charts.marks import Mark, Palette
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.labels import humanized
from pytest_energy.report.numbers import quantity, relative_half, ticks_of

ENOUGH = 10
"""The smallest number of values for which a density is drawn."""
NARROWEST = 6
"""In pixels: a narrower density would be invisible, as on a simulated clock."""
MOST_GROUPS = 12
FACTS = ("model", "technique", "dataset", "data", "batch_size")
"""The facts by which rounds are grouped."""


@dataclass(frozen=True)
class Shape:
    """Values of one group along an axis."""

    dots: tuple[float, ...]
    """Pixels of single values; empty where a density is drawn."""
    violin: str
    """SVG path data; empty for too few values."""
    box: tuple[float, float, float] | None
    """Pixels of the quartiles: first, median, third."""


@dataclass(frozen=True)
class Strip:
    """One benchmark's rounds around their own mean."""

    row: Row
    shape: Shape
    count: int
    spread: float
    """Standard deviation over mean."""
    interval: tuple[float, float] | None
    """Pixels of the 95 % interval of the benchmark's energy, around its value."""
    text: str


@dataclass(frozen=True)
class Group:
    """The rounds of all benchmarks that share a fact, such as the model."""

    mark: Mark
    centre: float
    shape: Shape
    count: int
    members: tuple[Row, ...]

    @property
    def places(self) -> list[int]:
        """The numbers of its benchmarks in the run."""
        return [row.place for row in self.members]

    @property
    def hollow(self) -> bool:
        """Whether none of it was measured."""
        return all(row.hollow for row in self.members)


@dataclass(frozen=True)
class Grouped:
    """Groups side by side."""

    fact: str
    kind: str
    """All groups have the same kind: joules a pass and joules an epoch are not comparable."""
    axis: Axis
    groups: tuple[Group, ...]
    left_out: int
    """The number of groups with the fewest rounds, beyond :data:`MOST_GROUPS`."""

    @property
    def width(self) -> float:
        """The width of all groups in pixels."""
        return GROUPS.width + GROUP_WIDTH * len(self.groups)


@dataclass(frozen=True)
class Distributions:
    """The distributions of all benchmarks, and those by group."""

    axis: Axis
    strips: tuple[Strip, ...]
    grouped: tuple[Grouped, ...]


def build_distributions(rows: Sequence[Row], palette: Palette) -> Distributions | None:
    """Distributions of the rounds, or ``None`` if no benchmark has two rounds."""
    known = [(row, values) for row in rows if len(values := energies(row.result)) >= 2]
    if not known:
        return None
    relative = [np.asarray(values) / statistics.fmean(values) - 1 for _, values in known]
    halves = [relative_half(row.result.energy) for row, _ in known]
    scatter = (float(np.abs(values).max()) for values in relative)
    reach = max(0.001, *scatter, min(1.0, max(halves))) * 1.1
    axis = Axis(-reach, reach, ROW.left, ROW.right, write=percent_tick)
    strips = tuple(
        # numpy's standard deviation is fifty times faster than that of the statistics module.
        Strip(
            row=row,
            shape=shape(values.tolist(), axis, ROW.middle, ROW.middle - 2),
            count=len(values),
            spread=float(np.std(values, ddof=1)),
            interval=(axis.clipped(-half), axis.clipped(half)) if half else None,
            text=f"{quantity(row.result.energy)}, {len(values)} rounds",
        )
        for (row, _), values, half in zip(known, relative, halves, strict=True)
    )
    by_kind: dict[tuple[str, str], list[tuple[Row, list[float]]]] = defaultdict(list)
    for row, values in known:
        if row.result.energy is not None:
            by_kind[row.result.kind, row.result.energy.unit].append((row, values))
    grouped = [
        _grouped(fact, kind, unit, pools, palette)
        for fact in FACTS
        for (kind, unit), pools in by_kind.items()
    ]
    return Distributions(axis, strips, tuple(chart for chart in grouped if chart))


def energies(result: Result) -> list[float]:
    """Joules a pass of each round with joules; empty for an invalid measurement."""
    if result.energy is None:
        return []
    return [done.energy_j / done.passes for done in result.rounds if done.energy_j and done.passes]


def _grouped(
    fact: str,
    kind: str,
    unit: str,
    known: Sequence[tuple[Row, list[float]]],
    palette: Palette,
) -> Grouped | None:
    """The groups with the most rounds; ``None`` if ``fact`` has fewer than two values."""
    all_pools: dict[str, list[float]] = {}
    members: dict[str, list[Row]] = defaultdict(list)
    for row, energies_j in known:
        if fact in row.result.workload:
            name = str(row.result.workload[fact])
            all_pools.setdefault(name, []).extend(energies_j)
            members[name].append(row)
    if len(all_pools) < 2:
        return None
    largest = sorted(all_pools, key=lambda name: -len(all_pools[name]))[:MOST_GROUPS]
    pools = {name: pool for name, pool in all_pools.items() if name in largest}
    values = [value for pool in pools.values() for value in pool]
    # On a linear axis, groups of less than a twentieth of the largest are flat lines.
    log = min(values) > 0 and max(values) > 20 * min(values)
    ends = GROUPS.bottom, GROUPS.top
    axis = fit(values, *ends, log=log, zero=True, name=f"Energy ({unit})", write=ticks_of(unit))
    groups: list[Group] = []
    for name in pools:
        centre = GROUPS.left + GROUP_WIDTH * (len(groups) + 0.5)
        drawing = shape(pools[name], axis, centre, GROUP_WIDTH * 0.42, upright=True)
        mark, rows = palette.of(fact, name), tuple(members[name])
        groups.append(Group(mark, centre, drawing, len(pools[name]), rows))
    left_out = len(all_pools) - len(pools)
    return Grouped(humanized(fact), kind, axis, tuple(groups), left_out)


def shape(
    values: Sequence[float], axis: Axis, centre: float, half: float, *, upright: bool = False
) -> Shape:
    """Dots, or violin and box, of ``values`` around the line ``centre``.

    Args:
        values: The values along ``axis``.
        axis: The axis.
        centre: Pixel of the middle line, across the axis.
        half: Pixels from the middle line to the highest density.
        upright: Whether the axis points up instead of right.
    """
    at = [axis.clipped(value) for value in values]
    if len(at) >= ENOUGH and max(at) - min(at) < NARROWEST:
        at = sorted({float(round(pixel)) for pixel in at})  # dots that would cover each other
    if len(at) < ENOUGH:
        return Shape(tuple(at), "", None)
    places, density = _density(np.asarray(at))
    sides = [*zip(places, density * half, strict=True)]
    # One closed outline: along one side, and back along the other.
    sides += [(place, -width) for place, width in reversed(sides)]
    points = [(centre + w, p) if upright else (p, centre + w) for p, w in sides]
    first, median, third = statistics.quantiles(at, n=4, method="inclusive")
    return Shape((), path(points, closed=True), (first, median, third))


def _density(at: np.ndarray, points: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian kernel density of pixels between the outermost ones, scaled to a maximum of 1.

    The bandwidth is Silverman's (*Density Estimation*, 1986, eq. 3.31), at least a pixel.
    """
    spread = min(at.std(ddof=1), float(np.subtract(*np.percentile(at, [75, 25]))) / 1.34 or np.inf)
    bandwidth = max(1.0, 0.9 * spread * len(at) ** -0.2)
    places = np.linspace(at.min(), at.max(), points)
    density = np.exp(-0.5 * ((places[:, None] - at) / bandwidth) ** 2).sum(axis=1)
    return places, density / density.max()
