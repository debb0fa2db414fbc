"""Put a model and its inputs on a device, ready to run passes; torch is imported when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from types import ModuleType
from typing import Any

from pytest_energy.errors import UsageError

POOL = 8
"""The number of different samples: a single one would stay in the caches of the device."""


@dataclass(frozen=True)
class Passes:
    """Single forward passes of one model."""

    model: Callable[[Any], Any]
    inputs: tuple[Any, ...]

    def __call__(self, passes: int) -> None:
        """Launch ``passes`` forward passes; an asynchronous device may still be running them."""
        torch = import_torch()
        with torch.inference_mode():
            for batch in islice(cycle(self.inputs), passes):
                self.model(batch)


def import_torch() -> ModuleType:
    """Return the torch module.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise UsageError("models need torch: pip install 'pytest-energy[torch]'") from None
    return torch


def default_device() -> str:
    """Return ``cuda:0`` if torch can use it, else ``cpu``."""
    return "cuda:0" if import_torch().cuda.is_available() else "cpu"


def prepare(
    model: Callable[[Any], Any],
    input_shape: Sequence[int],
    batch_size: int,
    device: str,
    make_input: Callable[[], Any] | None,
) -> Passes:
    """Prepare the inference of a model on ``device``, with a pool of inputs.

    Args:
        model: An ``nn.Module``, which is moved and switched to ``eval()``, or any callable.
        input_shape: Shape of one sample, without the batch axis.
        batch_size: Samples per pass.
        device: A torch device.
        make_input: Makes one batch on the device; by default :func:`random_input`.
    """
    torch = import_torch()
    if isinstance(model, torch.nn.Module):
        model.to(device).eval()
    make = make_input or random_input(model, input_shape, batch_size, device)
    return Passes(model, tuple(make() for _ in range(max(1, POOL // batch_size))))


def random_input(
    model: object, input_shape: Sequence[int], batch_size: int, device: str
) -> Callable[[], Any]:
    """Return a function that makes batches of seeded uniform random numbers between 0 and 1.

    A batch has the shape ``(batch_size, *input_shape)`` and the type of the model's parameters.
    """
    torch = import_torch()
    dtype = _parameter_type(model)
    generator = torch.Generator().manual_seed(0)

    def make() -> Any:
        values = torch.rand((batch_size, *input_shape), generator=generator)
        return values.to(device=device, dtype=dtype)

    return make


def device_of(model: object, default: str) -> str:
    """Return the device of the model's first parameter; ``default`` without parameters."""
    torch = import_torch()
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    return next((str(item.device) for item in parameters), default)


def _parameter_type(model: object) -> Any:
    torch = import_torch()
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    floating = (item.dtype for item in parameters if item.dtype.is_floating_point)
    return next(floating, torch.float32)
