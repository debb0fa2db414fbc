"""Sentences on a whole session: what adaptive rounds saved, and how its benchmarks drifted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pytest_energy.gate.pooling import count_visits, visit_estimates
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.result import Result

DRIFT_LIMIT: Final = 0.01
"""A smaller common drift, as a fraction, is not mentioned."""
FEWEST_VISITS: Final = 4
"""Visits that it takes to see a drift within a benchmark."""
FEWEST_DRIFTING: Final = 3
"""Benchmarks that it takes to call a drift common."""
SHARE_ALIKE: Final = 0.8
"""Share of the benchmarks that must drift in one direction."""


def savings_note(results: Iterable[Result], fixed_passes: Mapping[str, int]) -> list[str]:
    """The saved passes and joules; empty if no benchmark ran adaptive rounds.

    Args:
        results: The results of the session.
        fixed_passes: Passes of the fixed protocol, by benchmark.
    """
    compared = [
        (result.energy.value, result.passes, fixed_passes[result.id])
        for result in results
        if result.id in fixed_passes and result.energy is not None
    ]
    if not compared:
        return []
    ran = sum(passes for _, passes, _ in compared)
    fixed = sum(passes for _, _, passes in compared)
    difference_j = sum(energy_j * (planned - passes) for energy_j, passes, planned in compared)
    verb = "saved" if difference_j >= 0 else "cost another"
    return [
        f"Adaptive rounds {verb} {abs(difference_j):.3g} J: they ran {ran} passes, and"
        f" --energy-protocol=fixed would run {fixed}."
    ]


def drift_note(results: Iterable[Result]) -> list[str]:
    """Say that the joules of all benchmarks drifted from their first visit to their last.

    Visits are spread over the session, so a common drift is the machine's: it was warming up, or
    its clocks fell. A baseline recorded meanwhile is off by a part of the drift.
    """
    visited = [result for result in results if count_visits(result) >= FEWEST_VISITS]
    drifts = [
        _drift([estimate.value for estimate in visits])
        for visits in (visit_estimates(result, ENERGY) for result in visited)
        if len(visits) >= FEWEST_VISITS
    ]
    if len(drifts) < FEWEST_DRIFTING:
        return []
    median = statistics.median(drifts)
    alike = sum(drift * median > 0 for drift in drifts) / len(drifts)
    if abs(median) < DRIFT_LIMIT or alike < SHARE_ALIKE:
        return []
    verb = "rose" if median > 0 else "fell"
    return [
        f"The joules of {len(drifts)} benchmarks {verb} together by"
        f" {100 * abs(math.expm1(median)):.1f} % from the first visit to the last: the machine had"
        " not settled. Baselines recorded in this session are off by about half of it; record them"
        " again on a warm machine."
    ]


def _drift(values: Sequence[float]) -> float:
    """The rise of the line through the logarithms, from the first value to the last."""
    line = statistics.linear_regression(range(len(values)), [math.log(value) for value in values])
    return line.slope * (len(values) - 1)
