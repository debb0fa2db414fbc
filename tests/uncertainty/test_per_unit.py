"""Joules per unit of work, and units per joule."""

from __future__ import annotations

import pytest

from pytest_energy.model.measurement import Quantity
from pytest_energy.uncertainty.units import per_unit

ENERGY = Quantity(
    value=8.0, unit="J/pass", uncertainty=0.4, degrees_of_freedom=5, budget={"edges": 0.1}
)


def test_joules_are_shared_out_among_the_units() -> None:
    """The uncertainty and its budget with them: a count has none."""
    metrics = per_unit(ENERGY, {"token": 4.0, "sample": 2.0})
    assert list(metrics) == [
        *("energy_j_per_token", "tokens_per_joule"),
        *("energy_j_per_sample", "samples_per_joule"),
    ]
    token = metrics["energy_j_per_token"]
    assert (token.value, token.uncertainty, token.unit) == (2.0, 0.1, "J/token")
    assert (token.degrees_of_freedom, token.budget) == (5, {"edges": 0.025})


def test_units_per_joule_have_the_same_relative_uncertainty() -> None:
    """JCGM 100:2008, 5.1.6: the exponents of a product may be negative."""
    tokens = per_unit(ENERGY, {"token": 4.0})["tokens_per_joule"]
    assert (tokens.value, tokens.unit) == (0.5, "token/J")
    assert tokens.uncertainty == pytest.approx(0.5 * 0.4 / 8.0)
    assert tokens.budget == pytest.approx({"edges": 0.5 * 0.1 / 8.0})


@pytest.mark.parametrize("energy", [None, Quantity(value=0.0, unit="J/pass")])
def test_no_joules_make_no_metric(energy: Quantity | None) -> None:
    """Missing is never zero, and nothing is divided by zero."""
    assert per_unit(energy, {"token": 4.0}) == {}


def test_joules_below_one_are_joules() -> None:
    """Without a known uncertainty the metrics have none."""
    metrics = per_unit(Quantity(value=0.5, unit="J/pass"), {"token": 1.0})
    assert {name: metric.value for name, metric in metrics.items()} == {
        "energy_j_per_token": 0.5,
        "tokens_per_joule": 2.0,
    }
    assert all(metric.uncertainty is None for metric in metrics.values())
