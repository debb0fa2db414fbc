"""What adaptive rounds saved, against the fixed protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_energy.model.result import Result


def saved(results: Iterable[Result], planned: Mapping[str, int]) -> list[str]:
    """A sentence on it, where anything was planned otherwise.

    Args:
        results: Of the session.
        planned: Passes of the fixed protocol, by benchmark.
    """
    compared = [
        (result.energy.value, result.passes, planned[result.id])
        for result in results
        if result.id in planned and result.energy is not None
    ]
    if not compared:
        return []
    ran = sum(passes for _, passes, _ in compared)
    fixed = sum(wanted for _, _, wanted in compared)
    difference_j = sum(energy_j * (wanted - passes) for energy_j, passes, wanted in compared)
    how = "saved" if difference_j >= 0 else "spent beyond it"
    return [
        f"adaptive rounds ran {ran} of the fixed protocol's {fixed} passes:"
        f" {abs(difference_j):.3g} J {how} (--energy-protocol=fixed runs them all)"
    ]
