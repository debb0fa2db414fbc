"""The facts, the peak memory and the description of a model that a test runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, SupportsIndex

from pytest_energy.errors import UsageError
from pytest_energy.fixture import CallFacts, Energy
from pytest_energy.fixture.arguments import asks_to_count
from pytest_energy.model.measurement import Facts, Quantity, Reason, ReasonCode

if TYPE_CHECKING:
    from pytest_energy.measuring.forward_passes import Inputs, Shapes
    from pytest_energy.measuring.model_facts import Operations

Counted = tuple[Mapping[str, Quantity], tuple[Reason, ...]]
"""Exact metrics by name, and remarks on those that could not be counted."""


def count_facts(
    facts: bool | Mapping[str, Quantity], model: object | None, inputs: Inputs | None
) -> Counted:
    """Count parameters and operations, unless the test provides them or wants none."""
    from pytest_energy.measuring.model_facts import model_facts

    if isinstance(facts, Mapping):
        return facts, ()
    return model_facts(model, inputs) if facts else ({}, ())


def training_inputs(
    model: object | None,
    input_shape: Shapes | None,
    make_input: Callable[[], Any] | None,
    kwargs: Mapping[str, Any] | None,
    energy: Energy,
) -> Inputs | None:
    """The input on which a trained model is counted: the test's own, or one random sample."""
    if model is None or (input_shape is None and make_input is None):
        return None
    from pytest_energy.measuring.forward_passes import Inputs, device_of, random_input

    device = device_of(model, energy.device)
    make = make_input or random_input(model, input_shape or (), 1, device)
    return Inputs.of(make(), kwargs)


def facts_of_call(facts: CallFacts, call: Callable[[], object]) -> Operations:
    """What the test knows of a call, or what is counted while it runs once more."""
    if not asks_to_count(facts):
        return known_facts(facts)
    with counting(facts) as operations:
        call()
    return operations


def known_facts(facts: CallFacts) -> Operations:
    """What the test knows of a call or window."""
    from pytest_energy.measuring.model_facts import Operations

    return Operations(dict(facts) if isinstance(facts, Mapping) else {})


def uncounted(facts: CallFacts, remark: str) -> Operations:
    """The parameters of a module whose operations were not counted, and why not."""
    from pytest_energy.measuring.model_facts import Operations, model_facts

    parameters, reasons = model_facts(facts, None)
    note = Reason(code=ReasonCode.NOTE, message=remark, fatal=False)
    return Operations(parameters, (*reasons, note))


@contextmanager
def counting(facts: CallFacts) -> Iterator[Operations]:
    """Count the operations of the body of a ``with`` statement, and the parameters of a module."""
    from pytest_energy.measuring.model_facts import counted_operations, model_facts

    with counted_operations() as operations:
        yield operations
    parameters, reasons = model_facts(facts, None)
    operations.metrics |= parameters
    operations.reasons += reasons


def check_placed(model: object, device: str, channels: Sequence[str], where: str) -> None:
    """Check that a model is not left on the CPU while only GPUs are measured.

    Args:
        model: What will run.
        device: The torch device for models.
        channels: What is measured.
        where: The call, for the error.

    Raises:
        UsageError: It is.
    """
    from pytest_energy.measuring.forward_passes import devices_of

    measures_gpus_only = bool(channels) and all(name.startswith("gpu") for name in channels)
    if device != "cpu" and measures_gpus_only and devices_of(model) == {"cpu"}:
        raise UsageError(
            f"{where}: {name_of(model)} is on the CPU, and the GPU is measured; move it by"
            ' .to(energy.device), or measure the CPU: @pytest.mark.energy(channels=["cpu"])'
        )


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
    model: object | None,
    input_shape: Shapes | None,
    batch_size: int | None,
    inputs: Inputs | None = None,
) -> Facts:
    """The facts of a workload that concern its model; unknown ones are left out.

    Without ``input_shape`` the shapes are those of the tensors in ``inputs``, without the first
    axis. Plain keywords are facts, too: they change what runs.
    """
    facts: Facts = {
        "model": name_of(model) if model is not None else None,
        "technique": "baseline",
        **_shapes(input_shape if input_shape is not None or not inputs else inputs.shapes()),
        "batch_size": batch_size,
        **{
            f"kwargs.{name}": value
            for name, value in (inputs.kwargs if inputs else {}).items()
            if isinstance(value, str | bool | int | float)
        },
    }
    return {name: value for name, value in facts.items() if value is not None}


def _shapes(shapes: Shapes | None) -> Facts:
    """``input_shape`` of the only input, or one fact for each input."""
    if shapes is None:
        return {}
    if not isinstance(shapes, Mapping):
        if all(isinstance(size, SupportsIndex) for size in shapes):
            return {"input_shape": [int(size) for size in shapes]}  # type: ignore[arg-type]
        shapes = {str(place): shape for place, shape in enumerate(shapes)}  # type: ignore[misc]
    named: Facts = {f"input_shape.{name}": list(shape) for name, shape in shapes.items()}
    return {"input_shape": named["input_shape.0"]} if named.keys() == {"input_shape.0"} else named


def name_of(thing: object) -> str:
    """The qualified name of a function or class, or the class of any other object."""
    return str(getattr(thing, "__qualname__", type(thing).__name__))
