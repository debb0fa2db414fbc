"""How well changes are found in series of several kinds: ``python -m tests.history.study``.

Each kind of noise is made with a seed. ``false`` counts rises in 18,000 points without any, a
hundred points; ``+5 %`` and ``+10 %`` say how often a step is found once ten points after it are
known. A fixed threshold of 5 % over the mean of the last ten points stands beside it, and Apache
Otava where it is installed (``uv run --with apache-otava``; it needs other versions of NumPy and
SciPy than this project).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from pytest_energy.uncertainty.change_points import find_steps

Values = NDArray[np.float64]
Rise = tuple[int, float]
"""The first point of a new level, and the logarithm of new over old."""
LEAST = 0.025
"""Half of the default tolerance."""
AFTER = 10
POINTS = 300
SCATTERS = (0.005, 0.01, 0.02, 0.03)


def normal(random: np.random.Generator, count: int, scatter: float) -> Values:
    """Independent normal values."""
    return random.normal(0, scatter, count)


def heavy(random: np.random.Generator, count: int, scatter: float) -> Values:
    """Student's t with three degrees of freedom."""
    return random.standard_t(3, count) * scatter / math.sqrt(3)


def outliers(random: np.random.Generator, count: int, scatter: float) -> Values:
    """Three of a hundred values are 3 to 10 times the scatter off."""
    values = random.normal(0, scatter, count)
    far = random.random(count) < 0.03
    size = random.choice([-1, 1], count) * random.uniform(3, 10, count) * scatter
    return np.where(far, values + size, values)


def persistent(random: np.random.Generator, count: int, scatter: float) -> Values:
    """Each value keeps half of the deviation of the one before."""
    values = random.normal(0, scatter * math.sqrt(0.75), count)
    for index in range(1, count):
        values[index] += 0.5 * values[index - 1]
    return values


def two_modes(random: np.random.Generator, count: int, scatter: float) -> Values:
    """Three of ten values are in a second mode."""
    second = random.random(count) < 0.3
    return random.normal(0, scatter * 0.6, count) + np.where(second, scatter * 1.6, 0.0)


NOISES = (normal, heavy, outliers, persistent, two_modes)


def ours(values: Values) -> Iterator[Rise]:
    """The rises that `pytest-energy history changes` reports."""
    for step in find_steps(values.tolist(), least=LEAST):
        if step.log_ratio > 0:
            yield step.index, step.log_ratio


def threshold(values: Values) -> Iterator[Rise]:
    """Each point more than 5 % above the mean of the ten before."""
    for index in range(10, len(values)):
        rise = float(values[index] - values[index - 10 : index].mean())
        if rise > math.log1p(0.05):
            yield index, rise


def otava(values: Values) -> Iterator[Rise]:
    """The rises that Apache Otava finds, with the same window, chance and least change."""
    from otava.analysis import compute_change_points  # type: ignore[import-not-found]

    found, _ = compute_change_points(
        np.exp(values).tolist(), window_len=60, max_pvalue=0.001, min_magnitude=LEAST
    )
    for point in found:
        ratio = 1 + point.stats.forward_rel_change()
        if ratio > 1:
            yield point.index, math.log(ratio)


def methods() -> dict[str, Callable[[Values], Iterator[Rise]]]:
    """The methods that can run here."""
    found = {"this project": ours, "fixed 5 %": threshold}
    return {**found, "Apache Otava": otava} if find_spec("otava") else found


def false_rises(method: Callable[[Values], Iterator[Rise]], series: list[Values]) -> float:
    """Rises a hundred points in series without any."""
    return 100 * sum(len(list(method(values))) for values in series) / sum(map(len, series))


def share_found(
    method: Callable[[Values], Iterator[Rise]], series: list[Values], change: float
) -> float:
    """The share of steps that are found, within five points, with ten points after them."""
    found = 0
    for values in series:
        first = len(values) - AFTER
        moved = values + np.where(np.arange(len(values)) >= first, math.log1p(change), 0.0)
        found += any(abs(index - first) <= 5 for index, _ in method(moved))
    return found / len(series)


def row(noise: Callable[..., Values], scatter: float, count: int) -> list[str]:
    """The cells of one line of the table."""
    random = np.random.default_rng(1)
    quiet = [noise(random, POINTS, scatter) for _ in range(count)]
    stepped = [noise(random, int(random.integers(50, 210)), scatter) for _ in range(count)]
    cells = []
    for method in methods().values():
        shares = [100 * share_found(method, stepped, change) for change in (0.05, 0.10)]
        cells += [f"{false_rises(method, quiet):.2f}", *(f"{share:.0f}" for share in shares)]
    return [noise.__name__.replace("_", " "), f"{scatter:.1%}".replace("%", " %"), *cells]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=60, help="series a line [%(default)s]")
    count = parser.parse_args().series
    heads = [f"{name}: {what}" for name in methods() for what in ("false", "+5 %", "+10 %")]
    print(f"| noise | scatter | {' | '.join(heads)} |")
    print(f"| --- | --- |{' --- |' * len(heads)}")
    for noise in NOISES:
        for scatter in SCATTERS:
            print(f"| {' | '.join(row(noise, scatter, count))} |", flush=True)


if __name__ == "__main__":
    main()
