"""The CO₂ of a full training schedule, from measured joules."""

from __future__ import annotations

from benchmarks.tables.layout import Figure, metric
from pytest_energy.model.result import Result


def total_co2_kg(result: Result) -> Figure:
    """CO₂ of the full schedule: that of an epoch times the ratio of total to epoch energy."""
    co2, epoch = metric("co2_g", 1e-3)(result), metric("energy_j")(result)
    total = metric("total_energy_j")(result)
    if co2.value is None or not epoch.value or total.value is None:
        return Figure(missing=co2.missing or total.missing or "not measured")
    return co2.times(total.value / epoch.value)
