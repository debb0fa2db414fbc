"""Joules that adaptive rounds saved compared with the fixed protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_energy.model.result import Result


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
