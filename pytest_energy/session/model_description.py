"""The facts, the peak memory and the description of a model that a test runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pytest_energy.fixture import Energy
from pytest_energy.model.measurement import Facts, Quantity, Reason

Counted = tuple[Mapping[str, Quantity], tuple[Reason, ...]]
"""Exact metrics by name, and remarks on those that could not be counted."""


def count_facts(
    facts: bool | Mapping[str, Quantity], model: object | None, example: object
) -> Counted:
    """Count parameters and operations, unless the test provides them or wants none."""
    from pytest_energy.measuring.model_facts import model_facts

    if isinstance(facts, Mapping):
        return facts, ()
    return model_facts(model, example) if facts else ({}, ())


def count_training_facts(
    facts: bool | Mapping[str, Quantity],
    model: object | None,
    input_shape: Sequence[int] | None,
    energy: Energy,
) -> Counted:
    """Count the facts of a trained model on one random sample of the given shape."""
    if facts is not True or model is None or input_shape is None:
        return count_facts(facts, model, None)
    from pytest_energy.measuring.forward_passes import device_of, random_input

    example = random_input(model, input_shape, 1, device_of(model, energy.device))()
    return count_facts(True, model, example)


@contextmanager
def peak_memory(energy: Energy) -> Iterator[dict[str, Quantity]]:
    """Afterwards the mapping holds the peak memory of the body, if torch measures it."""
    peaks: dict[str, Quantity] = {}
    # Without torch there is nothing to measure, and ``energy.device`` would import it.
    if "torch" not in sys.modules:
        yield peaks
        return
    from pytest_energy.measuring.model_facts import peak_memory_bytes, reset_peak_memory

    reset_peak_memory(energy.device)
    yield peaks
    peak = peak_memory_bytes(energy.device)
    if peak is not None:
        peaks["peak_memory_bytes"] = peak


def describe_model(
    model: object | None, input_shape: Sequence[int] | None, batch_size: int | None
) -> Facts:
    """The facts of a workload that concern its model; unknown ones are left out."""
    facts: Facts = {
        "model": name_of(model) if model is not None else None,
        "technique": "baseline",
        "input_shape": list(input_shape) if input_shape is not None else None,
        "batch_size": batch_size,
    }
    return {name: value for name, value in facts.items() if value is not None}


def name_of(thing: object) -> str:
    """The qualified name of a function or class, or the class of any other object."""
    return str(getattr(thing, "__qualname__", type(thing).__name__))
