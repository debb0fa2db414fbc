"""How rounds scatter: violin and box for ten rounds or more, otherwise a dot for each round.

Three rounds do not define a density; a violin would pretend that they do.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_energy.model.result import Result
from pytest_energy.report.html.charts.axes import Axis, fit, path
from pytest_energy.report.html.charts.geometry import GROUP_WIDTH, GROUPS, ROW
from pytest_energy.report.html.charts.marks import Mark, marks
from pytest_energy.report.html.results_table import Row
from pytest_energy.report.numbers import MINUS

ENOUGH = 10
"""The smallest number of values for which a density is drawn."""
MOST_GROUPS = 12


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


@dataclass(frozen=True)
class Group:
    """The rounds of all benchmarks that share a fact, such as the model."""

    mark: Mark
    centre: float
    shape: Shape
    count: int


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


def build_distributions(rows: Sequence[Row]) -> Distributions | None:
    """Distributions of the rounds, or ``None`` if no benchmark has two rounds."""
    known = [(row, values) for row in rows if len(values := energies(row.result)) >= 2]
    if not known:
        return None
    relative = [_around_mean(values) for _, values in known]
    reach = max(0.001, *(abs(value) for values in relative for value in values)) * 1.1
    axis = Axis(-reach, reach, ROW.left, ROW.right, write=_per_cent)
    strips = tuple(
        Strip(row, shape(values, axis, ROW.middle, ROW.middle - 2), len(values), _spread(values))
        for (row, _), values in zip(known, relative, strict=True)
    )
    facts = ("model", "technique", "dataset", "data", "batch_size")
    kinds = _by_kind(known).items()
    grouped = (_grouped(fact, *kind, of_kind) for fact in facts for kind, of_kind in kinds)
    return Distributions(axis, strips, tuple(chart for chart in grouped if chart))


def _around_mean(values: Sequence[float]) -> list[float]:
    mean = statistics.fmean(values)
    return [value / mean - 1 for value in values]


def _spread(relative: Sequence[float]) -> float:
    """Standard deviation; numpy is fifty times faster than the exact statistics module."""
    return float(np.std(relative, ddof=1))


def energies(result: Result) -> list[float]:
    """Joules a pass of each round with joules; empty for an invalid measurement."""
    if result.energy is None:
        return []
    return [done.energy_j / done.passes for done in result.rounds if done.energy_j and done.passes]


def _per_cent(fraction: float) -> str:
    return f"{fraction * 100:+.2g} %".replace("-", MINUS) if fraction else "0"


Known = Sequence[tuple[Row, list[float]]]


def _by_kind(known: Known) -> dict[tuple[str, str], Known]:
    """Rows and their rounds by kind of benchmark and unit."""
    by_kind: dict[tuple[str, str], list[tuple[Row, list[float]]]] = {}
    for row, rounds in known:
        assert row.result.energy is not None
        by_kind.setdefault((row.result.kind, row.result.energy.unit), []).append((row, rounds))
    return dict(by_kind)


def _grouped(fact: str, kind: str, unit: str, known: Known) -> Grouped | None:
    """The groups with the most rounds; ``None`` if ``fact`` has fewer than two values."""
    all_pools: dict[str, list[float]] = {}
    for row, energies_j in known:
        if fact in row.result.workload:
            all_pools.setdefault(str(row.result.workload[fact]), []).extend(energies_j)
    if len(all_pools) < 2:
        return None
    largest = sorted(all_pools, key=lambda name: -len(all_pools[name]))[:MOST_GROUPS]
    pools = {name: pool for name, pool in all_pools.items() if name in largest}
    values = [value for pool in pools.values() for value in pool]
    log = min(values) > 0 and max(values) > 20 * min(values)
    name = f"Energy ({unit})"
    axis = fit(values, GROUPS.bottom, GROUPS.top, log=log, zero=True, name=name)
    groups = [
        _group(mark, pools[name], GROUPS.left + GROUP_WIDTH * (index + 0.5), axis)
        for index, (name, mark) in enumerate(marks(pools).items())
    ]
    left_out = len(all_pools) - len(pools)
    return Grouped(fact.replace("_", " "), kind, axis, tuple(groups), left_out)


def _group(mark: Mark, pool: Sequence[float], centre: float, axis: Axis) -> Group:
    return Group(
        mark, centre, shape(pool, axis, centre, GROUP_WIDTH * 0.42, upright=True), len(pool)
    )


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
    if len(at) < ENOUGH:
        return Shape(tuple(at), "", None)
    places, density = _density(np.asarray(at))
    sides = [*zip(places, density * half, strict=True)]
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
