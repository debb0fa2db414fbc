"""The pairs of a comparison: each candidate beside the reference."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_energy.model.measurement import Measurement, Pair
from pytest_energy.model.metrics import ENERGY
from pytest_energy.uncertainty.candidates import block_differences, changes


def pairs_of(measurements: Mapping[str, Measurement], reference: str) -> dict[str, Pair]:
    """Each candidate but the reference with its change, if both were measured.

    Args:
        measurements: By the name of the candidate.
        reference: The name of the reference.
    """
    base = measurements[reference]
    others = {name: each for name, each in measurements.items() if name != reference}
    pairs = {name: Pair(candidate=name, reference=reference) for name in others}
    if base.status != "measured":
        return pairs
    differences = {
        name: block_differences(base.rounds, each.rounds)
        for name, each in others.items()
        if each.status == "measured"
    }
    differences = {name: found for name, found in differences.items() if found}
    energies = {name: others[name].metrics[ENERGY] for name in differences}
    for name, change in changes(base.metrics[ENERGY], energies, differences).items():
        low, high = change.interval()
        pairs[name] = Pair(
            candidate=name,
            reference=reference,
            change=change.relative,
            low=low,
            high=high,
            differences=differences[name],
        )
    return pairs
