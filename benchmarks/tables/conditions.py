"""The conditions of a run. Results of unlike conditions never share a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.environment import slug
from pytest_energy.model.result import Result, Run

ANYWHERE = "no carbon intensity"


@dataclass(frozen=True, order=True)
class Conditions:
    """What all results of a table have in common."""

    device: str
    meter: str
    scale: str
    location: str
    """The carbon intensity in g/kWh."""

    def __str__(self) -> str:
        return ", ".join((self.device, self.meter, self.scale, self.location))


def grouped(runs: Sequence[Run], paper: str) -> dict[Conditions, list[Result]]:
    """The results of a paper by their conditions.

    Each result gets the fact ``location``. Paper B compares locations, so they stay together there.
    """
    groups: dict[Conditions, list[Result]] = {}
    for run in runs:
        for result in run.benchmarks:
            if result.workload.get("paper") == paper:
                conditions = conditions_of(run, result, by_location=paper != "b")
                groups.setdefault(conditions, []).append(located(run, result))
    return dict(sorted(groups.items()))


def conditions_of(run: Run, result: Result, *, by_location: bool = True) -> Conditions:
    """The conditions of one result."""
    limit = run.environment.identity.get("power_limit_w")
    device = slug(result.measured_in(run.environment).identity)
    meter = result.meter or run.run.meter
    return Conditions(
        device=f"{device} at {limit:g} W" if isinstance(limit, int | float) else device,
        meter=f"{meter.name} ({meter.source})" if meter else "no meter",
        scale=f"{result.workload.get('scale') or 'unknown'} scale",
        location=location_of(run) if by_location else "all locations",
    )


def location_of(run: Run) -> str:
    """The carbon intensity of a run, in words."""
    grams = run.run.carbon.get("intensity_g_per_kwh")
    return f"{grams:g} g/kWh" if isinstance(grams, int | float) else ANYWHERE


def located(run: Run, result: Result) -> Result:
    """The result with the fact ``location``."""
    return result.model_copy(update={"workload": {**result.workload, "location": location_of(run)}})
