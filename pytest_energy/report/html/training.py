"""Scores and joules of training, for the inference benchmarks of the same model.

Training benchmarks give the accuracy; inference benchmarks give latency, parameters and the CO₂ of
use. They belong together if model, technique, data set and scale are the same.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import SCORES
from pytest_energy.model.result import Result

Key = tuple[str, ...]


def trained(results: Sequence[Result]) -> dict[str, dict[str, Quantity]]:
    """The metrics of training, by the id of each inference benchmark.

    Repeated trainings are averaged. If there are several kinds, as in a sweep over batch sizes, the
    plainest count: those whose workload sets the fewest facts.
    """
    trainings: dict[Key, list[Result]] = defaultdict(list)
    for result in results:
        if result.kind == "training" and (key := _key(result)):
            trainings[key].append(result)
    metrics = {key: _means_of_plainest(group) for key, group in trainings.items()}
    inference = [result for result in results if result.kind == "inference"]
    return {result.id: metrics[_key(result)] for result in inference if _key(result) in metrics}


def _key(result: Result) -> Key:
    """The facts that must agree; empty if the workload does not name its model."""
    facts = result.workload
    if "model" not in facts:
        return ()
    names = ("model", "technique", "scale")
    return (str(facts.get("dataset", facts.get("data"))), *(str(facts.get(name)) for name in names))


def _means_of_plainest(group: Sequence[Result]) -> dict[str, Quantity]:
    fewest = min(len(result.workload) for result in group)
    values: dict[str, list[Quantity]] = defaultdict(list)
    for result in group:
        for name in (*SCORES, "total_energy_j"):
            if len(result.workload) == fewest and name in result.metrics:
                values[name].append(result.metrics[name])
    return {
        _NAMES.get(name, name): Quantity(
            value=statistics.fmean(quantity.value for quantity in quantities),
            unit=quantities[0].unit,
        )
        for name, quantities in values.items()
    }


_NAMES = {"total_energy_j": "training_energy_j"}
