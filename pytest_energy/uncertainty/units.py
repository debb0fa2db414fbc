"""Joules per unit of work, such as a token or a sample, and units per joule."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import per_joule_name, per_unit_name


def per_unit(energy: Quantity | None, units: Mapping[str, float]) -> dict[str, Quantity]:
    """Two metrics for each unit: ``energy_j_per_token`` and ``tokens_per_joule``.

    Args:
        energy: Joules per pass, above zero; without them there are no metrics.
        units: Units of work in one pass by name, each above zero. They are counted, so the relative
            uncertainty of both metrics is that of the joules (JCGM 100:2008, 5.1.6).
    """
    metrics: dict[str, Quantity] = {}
    if energy is None or energy.value <= 0:
        return metrics
    for unit, count in units.items():
        metrics[per_unit_name(unit)] = _scaled(energy, 1 / count, f"J/{unit}")
        # n / E is E times n / E², which is also the size of its derivative by E.
        metrics[per_joule_name(unit)] = _scaled(energy, count / energy.value**2, f"{unit}/J")
    return metrics


def _scaled(energy: Quantity, factor: float, unit: str) -> Quantity:
    return Quantity(
        value=energy.value * factor,
        unit=unit,
        uncertainty=None if energy.uncertainty is None else energy.uncertainty * factor,
        degrees_of_freedom=energy.degrees_of_freedom,
        budget={cause: term * factor for cause, term in energy.budget.items()},
    )
