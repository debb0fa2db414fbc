"""The conditions of a round that may explain a change of its energy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pytest_energy.model.measurement import (
    Round,
)


def conditions(rounds: Sequence[Round]) -> dict[str, float]:
    """What may explain a change of the energy: the median over the rounds that know it.

    Clocks, temperatures, and the shares of time for which something throttled at all.
    """
    names = sorted({name for one in rounds for name in one.conditions if _explains(name)})
    found = {
        name: statistics.median(one.conditions[name] for one in rounds if name in one.conditions)
        for name in names
    }
    return {name: value for name, value in found.items() if value or ".throttled." not in name}


def _explains(name: str) -> bool:
    return name.endswith((".temperature_c", ".clock_mhz")) or ".throttled." in name
