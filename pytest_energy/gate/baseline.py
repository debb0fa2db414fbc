"""Baselines: the accepted results, one small file per benchmark, made to be committed.

``<folder>/<machine>/<module>/<test>.json`` holds the joules of one kind of machine.
``<folder>/facts/…`` holds exact metrics (parameters, FLOPs), which are the same on any machine.
Files have one key a line, sorted, and numbers rounded to their uncertainty. They have no host name
and no clock time. So an update is a short diff, and two branches that update different benchmarks
do not conflict.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Final, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, model_validator

from pytest_energy.model.measurement import (
    Facts,
    Kind,
    MeterInfo,
    Quantity,
    Record,
    impossible_quantity,
    impossible_value,
)
from pytest_energy.uncertainty.change import Estimate
from pytest_energy.uncertainty.gum import t_quantile

BASELINE_SCHEMA: Final = "pytest-energy/baseline/1"
MOST_RUNS: Final = 10
"""Number of accepted runs that a file keeps; the oldest are dropped."""


class AcceptedRun(Record):
    """One accepted run: a visit to the benchmark."""

    commit: str | None = None
    """Commit of the measured tree."""
    rounds: int = Field(1, ge=1)
    spent_j: float | None = Field(None, ge=0)
    """Joules of all rounds."""
    step: bool = False
    """Accepted as a change: earlier runs belong to another level."""
    values: dict[str, float] = Field(default_factory=dict)
    """By metric."""
    standard: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Standard uncertainty within the run, without the sensor's gain, by metric."""
    conditions: dict[str, float] = Field(default_factory=dict)
    """Clocks, temperatures and throttling while measuring: medians over the rounds."""


class Baseline(Record):
    """The accepted runs of one benchmark on one kind of machine, or its exact metrics."""

    model_config = ConfigDict(populate_by_name=True)

    schema_name: Literal["pytest-energy/baseline/1"] = Field(BASELINE_SCHEMA, alias="schema")
    id: str
    """The test's full id. The file's name is derived from it, but may be shortened."""
    kind: Kind
    workload: Facts
    workload_hash: str
    identity: Facts = Field(default_factory=dict)
    context: Facts = Field(default_factory=dict)
    meter: MeterInfo | None = None
    metrics: dict[str, Quantity]
    """Of the newest accepted run."""
    accepted: list[AcceptedRun] = Field(default_factory=list)
    """Recent accepted runs, newest last."""

    @property
    def round_s(self) -> float | None:
        """Seconds of a round, the median of the accepted runs; ``None`` if unknown."""
        rounds_s = [
            run.spent_j / run.values["power_w"] / run.rounds
            for run in self.accepted
            if run.spent_j is not None and run.values.get("power_w", 0) > 0
        ]
        return statistics.median(rounds_s) if rounds_s else None

    @model_validator(mode="after")
    def _is_possible(self) -> Baseline:
        """Refuse values that no run can have had, as a merge or an editor may leave them."""
        faults = [fault for item in self.metrics.items() for fault in impossible_quantity(*item)]
        faults += [fault for run in self.accepted for fault in self._impossible(run)]
        if not self.metrics:
            faults.append("metrics: a baseline of nothing; remove the file")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _impossible(self, run: AcceptedRun) -> Iterator[str]:
        for name, value in run.values.items():
            faults = impossible_value(name, value, run.standard.get(name))
            yield from (f"accepted: {fault}" for fault in faults)

    def levels(self, metric: str) -> list[list[Estimate]]:
        """The accepted runs with this metric, split where a change was accepted."""
        levels: list[list[Estimate]] = [[]]
        for run in self.accepted:
            if run.step and levels[-1]:
                levels.append([])
            if run.values.get(metric, 0) > 0:
                levels[-1].append(_estimate(run, metric))
        return levels

    def values(self, metric: str) -> list[float]:
        """The values since the last accepted change, whatever their sign."""
        values: list[float] = []
        for run in self.accepted:
            if run.step:
                values = []
            if metric in run.values:
                values.append(run.values[metric])
        return values

    def level(self, metric: str) -> list[Estimate]:
        """The runs since the last accepted change, with which a new run is compared."""
        return self.levels(metric)[-1]


def _estimate(run: AcceptedRun, metric: str) -> Estimate:
    freedom = run.rounds - 1 if run.rounds > 1 else math.inf
    return Estimate(run.values[metric], run.standard.get(metric, 0.0), freedom)


def standard_within(quantity: Quantity) -> float:
    """Standard uncertainty of a run's value without the gain, which all runs on a board share."""
    if quantity.uncertainty is None:
        return 0.0
    total = quantity.uncertainty / t_quantile(freedom_of(quantity))
    return math.sqrt(max(total**2 - quantity.budget.get("gain", 0.0) ** 2, 0.0))


def freedom_of(quantity: Quantity) -> float:
    """Effective degrees of freedom as a number."""
    return math.inf if quantity.degrees_of_freedom is None else quantity.degrees_of_freedom


def estimate_of(quantity: Quantity) -> Estimate:
    """A run's value with its uncertainty within the run."""
    return Estimate(quantity.value, standard_within(quantity), freedom_of(quantity))
