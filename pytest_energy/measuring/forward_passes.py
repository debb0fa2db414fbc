"""A model and its inputs, ready to run passes; torch is imported when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from types import ModuleType
from typing import Any, SupportsIndex

from pytest_energy.errors import EnergyError, UsageError

POOL = 8
"""The number of different samples: a single one would stay in the caches of the device."""

Shape = Sequence[int]
Shapes = Shape | Sequence[Shape] | Mapping[str, Shape]
"""The shape of one sample; of several inputs by position, or by the names of arguments."""


@dataclass(frozen=True)
class Inputs:
    """The arguments of one pass."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, batch: Any, kwargs: Mapping[str, Any] | None = None) -> Inputs:
        """A tuple has the positional arguments, a mapping the keywords; all else is one argument.

        Args:
            batch: What ``make_input`` returned.
            kwargs: Further keywords.

        Raises:
            UsageError: A keyword is in both.
        """
        kwargs = kwargs or {}
        if isinstance(batch, Mapping):
            if both := sorted(batch.keys() & kwargs.keys()):
                raise UsageError(
                    f"kwargs={{{both[0]!r}: …}}: the input has {both[0]!r}, too; pass it once"
                )
            return cls((), {**batch, **kwargs})
        return cls(batch if isinstance(batch, tuple) else (batch,), kwargs)

    def shapes(self) -> dict[str, list[int]]:
        """The shape of one sample, by the position or name of each tensor."""
        named = {**{str(place): value for place, value in enumerate(self.args)}, **self.kwargs}
        return {
            name: list(value.shape[1:]) for name, value in named.items() if hasattr(value, "shape")
        }


@dataclass(frozen=True)
class Passes:
    """Single forward passes of one model."""

    model: Callable[..., Any]
    inputs: tuple[Inputs, ...]
    random: bool = False
    """Whether the inputs are random numbers, which not every model takes."""
    check: Callable[[object], None] = lambda output: None
    """Called with the output of the first pass of each round."""

    def __call__(self, passes: int) -> None:
        """Launch ``passes`` forward passes; an asynchronous device may still be running them."""
        torch = import_torch()
        try:
            with torch.inference_mode():
                first, *_ = self.inputs
                self.check(self.model(*first.args, **first.kwargs))
                for each in islice(cycle(self.inputs), 1, passes):
                    self.model(*each.args, **each.kwargs)
        except EnergyError:  # its text has the remedy
            raise
        except Exception as error:
            for hint in self._hints():
                error.add_note(hint)
            raise

    def _hints(self) -> Iterator[str]:
        """What may be wrong with the inputs of a pass that failed."""
        model_on, input_on = devices_of(self.model), _devices_in(self.inputs[0])
        if model_on and input_on and not model_on & input_on:
            yield (
                f"The model is on {', '.join(sorted(model_on))} and its input on"
                f" {', '.join(sorted(input_on))}: move the model by .to(energy.device), or let"
                " make_input make its batch on the model's device."
            )
        if self.random:
            yield (
                f"The input was random numbers of type {_parameter_type(self.model)}; for another"
                " input, such as token ids, pass make_input."
            )


def import_torch() -> ModuleType:
    """Return the torch module.

    Raises:
        UsageError: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise UsageError(
            "models and their FLOPs need torch: pip install 'pytest-energy[torch]'"
        ) from None
    return torch


def default_device() -> str:
    """Return ``cuda:0`` if torch can use it, else ``cpu``."""
    return "cuda:0" if import_torch().cuda.is_available() else "cpu"


def prepare(
    model: Callable[..., Any],
    input_shape: Shapes | None,
    batch_size: int,
    device: str,
    make_input: Callable[[], Any] | None,
    kwargs: Mapping[str, Any] | None = None,
    check: Callable[[object], None] = lambda output: None,
) -> Passes:
    """Prepare the inference of a model where it is, with a pool of inputs.

    Args:
        model: An ``nn.Module`` or any callable.
        input_shape: Shape of one sample, without the batch axis; not needed with ``make_input``.
        batch_size: Samples per pass.
        device: Where random input is made for a model without parameters.
        make_input: Makes one batch; by default :func:`random_input`.
        kwargs: Further keywords of each pass.
        check: Called with the output of the first pass of each round.

    Raises:
        UsageError: torch is missing, or a keyword is in the input, too.
    """
    import_torch()
    make = make_input or random_input(
        model, input_shape or (), batch_size, device_of(model, device)
    )
    batches = tuple(Inputs.of(make(), kwargs) for _ in range(max(1, POOL // batch_size)))
    return Passes(model, batches, random=make_input is None, check=check)


def random_input(
    model: object, input_shape: Shapes, batch_size: int, device: str
) -> Callable[[], Any]:
    """Return a function that makes batches of seeded uniform random numbers between 0 and 1.

    A batch has the shape ``(batch_size, *input_shape)`` and the type of the model's parameters.
    Several shapes give a tuple of them, or a mapping.
    """
    torch = import_torch()
    dtype = _parameter_type(model)
    generator = torch.Generator().manual_seed(0)

    def batch(shape: Shapes) -> Any:
        if isinstance(shape, Mapping):
            return {name: batch(one) for name, one in shape.items()}
        if not all(isinstance(size, SupportsIndex) for size in shape):
            return tuple(batch(one) for one in shape)  # type: ignore[arg-type]
        values = torch.rand((batch_size, *shape), generator=generator)
        return values.to(device=device, dtype=dtype)

    return lambda: batch(input_shape)


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Switch a model to evaluation mode in the body of a ``with`` statement.

    Afterwards each layer has the mode that it had before. Anything but a module stays as it is.
    """
    if not is_module(model):
        yield
        return
    module: Any = model
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def is_module(model: object) -> bool:
    """Whether a model is a torch module, found by class name so that torch is not imported."""
    names = {(kind.__module__, kind.__name__) for kind in type(model).__mro__}
    return ("torch.nn.modules.module", "Module") in names


def devices_of(model: object) -> set[str]:
    """The devices of a module's parameters; empty without any."""
    parameters = model.parameters() if is_module(model) else ()  # type: ignore[attr-defined]
    return {str(parameter.device) for parameter in parameters}


def _devices_in(inputs: Inputs) -> set[str]:
    """The devices of the tensors that are arguments; those inside of other objects are unknown."""
    values = (*inputs.args, *inputs.kwargs.values())
    return {str(value.device) for value in values if hasattr(value, "device")}


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
