"""One benchmark of this folder: what a call runs, what it produces, and what it costs to compute.

``make(scale, device)`` builds the model and its call at full or small scale. At full scale on
torch's ``meta`` device it takes no memory. There the parameters and the operations of one call are
counted, so every machine counts the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counting import quick_counting
from benchmarks.zoo.recipe import NotApplicableError, Stage
from pytest_energy.fixture import Energy
from pytest_energy.model.measurement import Quantity, Scalar
from pytest_energy.settings import Scale


@dataclass(frozen=True)
class Work:
    """A model that is ready to run."""

    model: nn.Module
    call: Callable[[], object]
    units: Mapping[str, float]
    """Units of work in one call, such as ``{"token": 64}``."""


Make = Callable[[Scale, str], Work]
"""(scale, torch device) → the work; raises NotApplicableError if it cannot run there."""


@dataclass(frozen=True)
class Case:
    """One benchmark."""

    model: str
    technique: str
    stage: Stage
    task: str
    make: Make
    input_shape: tuple[int, ...]
    """The shape of the input of one call at full scale."""
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    counted: Make | None = None
    """Makes the work that is counted, if torch cannot count that of ``make``."""

    @property
    def id(self) -> str:
        """The text in the brackets of the test's id."""
        knobs = (f"{name}_{value}" for name, value in self.knobs.items())
        return "-".join((self.model, self.technique, *knobs))

    @property
    def workload(self) -> dict[str, object]:
        """The facts that identify this benchmark in tables and baselines."""
        return {
            "paper": "beyond",
            "task": self.task,
            "model": self.model,
            "technique": self.technique,
            "data": "random",
            "facts_input_shape": list(self.input_shape),
            **self.knobs,
        }


def parameters(cases: Iterable[Case]) -> list[ParameterSet]:
    """Cases for ``pytest.mark.parametrize``, each marked with its stage."""
    return [
        pytest.param(case, id=case.id, marks=[pytest.mark.beyond, getattr(pytest.mark, case.stage)])
        for case in cases
    ]


def facts_of(case: Case) -> dict[str, Quantity]:
    """Parameters, MACs and FLOPs of one call at full scale; training counts its gradients, too."""
    return count(case)[1]


def count(case: Case) -> tuple[Work, dict[str, Quantity]]:
    """The work that is counted, on torch's ``meta`` device, and its facts."""
    with quick_counting():
        work = (case.counted or case.make)("full", "meta")
        with FlopCounterMode(display=False) as counter:
            work.call()
    flops = counter.get_total_flops()
    parameters_of_model = list(work.model.parameters())  # a shared one is listed once
    trainable = [parameter for parameter in parameters_of_model if parameter.requires_grad]
    sizes = {
        "params": _exact(_size(parameters_of_model), "parameters"),
        "trainable_params": _exact(_size(trainable), "parameters"),
    }
    # torch counts matrix products and convolutions: a layer without them has no count, not zero.
    operations = {"macs": _exact(flops / 2, "MAC"), "flops": _exact(flops, "FLOP")}
    return work, sizes | (operations if flops else {})


def _size(counted: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in counted)


def _exact(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit, exact=True)


def run(energy: Energy, case: Case, device: str | None = None) -> None:
    """Measure the calls of a case.

    Args:
        energy: The fixture that measures.
        case: What to run.
        device: Where to run it; by default the fixture's own device.

    Raises:
        NotApplicableError: The case cannot run on this machine.
    """
    work = ready(case, energy.scale, device or energy.device)
    energy(work.call, units=work.units, facts=facts_of(case) if energy.enabled else None)


def ready(case: Case, scale: Scale, device: str) -> Work:
    """Make the work of a case and call it once, which compiles it and finds what cannot run.

    Raises:
        NotApplicableError: The device lacks memory, or the kernel that the case asks for.
    """
    try:
        work = case.make(scale, device)
        work.call()
    except torch.OutOfMemoryError as error:
        raise NotApplicableError(
            f"{case.id} needs more memory than {device} has: {error}"
        ) from None
    except RuntimeError as error:
        # What torch says on a GPU, and on a CPU.
        if not any(text in str(error) for text in ("No available kernel", "No viable backend")):
            raise
        raise NotApplicableError(f"{device} has no such attention kernel: {error}") from None
    return work
