"""What training tells of a model whose inference was measured: its scores and its joules.

Accuracy comes from training benchmarks; latency, parameters and CO₂ of use come from inference
ones. They belong together where model, technique, data set and scale are the same.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.metrics import SCORES
from pytest_energy.model.result import Result

Key = tuple[str, ...]


def trained(results: Sequence[Result]) -> dict[str, dict[str, Quantity]]:
    """By id of each inference benchmark, what was found where its model was trained.

    Repeated trainings are averaged. Of several kinds of them (a sweep over batch sizes, say) the
    plainest count: those whose workload sets the fewest facts.
    """
    trainings: dict[Key, list[Result]] = defaultdict(list)
    for result in results:
        if result.kind == "training" and (key := _key(result)):
            trainings[key].append(result)
    found = {key: _told(_plainest(group)) for key, group in trainings.items()}
    inference = ((one.id, _key(one)) for one in results if one.kind == "inference")
    return {test_id: found[key] for test_id, key in inference if key in found}


def _key(result: Result) -> Key:
    """What must agree; empty where the model is not told."""
    facts = result.workload
    if "model" not in facts:
        return ()
    names = ("model", "technique", "scale")
    return (str(facts.get("dataset", facts.get("data"))), *(str(facts.get(name)) for name in names))


def _plainest(group: Sequence[Result]) -> list[Result]:
    fewest = min(len(result.workload) for result in group)
    return [result for result in group if len(result.workload) == fewest]


def _told(group: Iterable[Result]) -> dict[str, Quantity]:
    found: dict[str, list[Quantity]] = defaultdict(list)
    for result in group:
        for name in (*SCORES, "total_energy_j"):
            if name in result.metrics:
                found[name].append(result.metrics[name])
    return {_NAMES.get(name, name): _mean(known) for name, known in found.items()}


_NAMES = {"total_energy_j": "training_energy_j"}


def _mean(known: Sequence[Quantity]) -> Quantity:
    return Quantity(value=statistics.fmean(one.value for one in known), unit=known[0].unit)
