"""The committed facts match the benchmarks: none is missing, left over or out of date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rows import Row, cap_rows, inference_rows, sweep_rows, training_rows
from benchmarks.workbench import facts_of, facts_shape, scheduled
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.model.workload import workload_hash

FACTS = Path(__file__).parents[2] / "baselines/facts"


def rows() -> dict[str, Row]:
    """Every row that has facts of its own, by the id of its benchmark."""
    places = {
        "test_inference.py::test_inference": inference_rows(),
        "test_training.py::test_training": training_rows(),
        "test_sweeps.py::test_training_sweep": sweep_rows("training"),
        "test_sweeps.py::test_inference_sweep": sweep_rows("inference"),
        "test_sweeps.py::test_power_cap": cap_rows(),
    }
    return {
        f"benchmarks/{place}[{row.id}]": row for place, listed in places.items() for row in listed
    }


@cache
def committed() -> dict[str, Mapping[str, Any]]:
    """The files, by the id of their benchmark; tests/suite/test_today.py has those of today/."""
    files = (json.loads(path.read_text("utf-8")) for path in FACTS.rglob("*.json"))
    return {file["id"]: file for file in files if not file["id"].startswith("benchmarks/today/")}


def test_every_benchmark_has_its_facts_and_none_is_left_over() -> None:
    """Only rows to a target accuracy and knobs have none: those of the model's own row hold."""
    assert sorted(committed()) == sorted(rows())


def test_the_committed_workloads_are_those_of_the_rows() -> None:
    """A file with another row's workload, or a hash of it, would never be compared."""
    files, changed = committed(), []
    for place, row in rows().items():
        workload: dict[str, Any] = {**row.workload, "facts_input_shape": list(facts_shape(row))}
        if row.stage == "training":
            epochs = recipe_epochs(row)
            workload |= {"epochs": epochs, "scale_to": epochs}
        found = (files[place]["workload"], files[place]["workload_hash"])
        if found != (workload, workload_hash(workload)):
            changed.append(place)
    assert changed == []


def recipe_epochs(row: Row) -> int:
    """Epochs of the paper's schedule; one technique halves them."""
    epochs = scheduled(row, "full").epochs
    return epochs // 2 if row.technique == "poly_half" else epochs


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted({row.model for row in rows().values()}))
def test_the_committed_facts_are_those_that_are_counted(model: str) -> None:
    """Each file has the counts of its row's model on the input that it states."""
    files, changed = committed(), []
    for place, row in rows().items():
        if row.model != model:
            continue
        try:
            counted = {name: quantity.value for name, quantity in facts_of(row).items()}
        except NotApplicableError:  # ultralytics is optional
            continue
        recorded = {name: quantity["value"] for name, quantity in files[place]["metrics"].items()}
        if recorded != counted:
            changed.append(place)
    assert changed == []
