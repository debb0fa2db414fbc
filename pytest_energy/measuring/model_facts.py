"""Count what is the same on every machine: parameters, MACs and FLOPs. Also read peak memory.

:mod:`torch.utils.flop_counter` counts convolutions, matrix products and attention, with 2 FLOPs per
multiply-add. Element-wise operations (activations, normalisation, pooling, interpolation) count as
zero, as is usual in published figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from pytest_energy.model.measurement import Quantity, Reason, ReasonCode

if TYPE_CHECKING:
    from torch import Tensor, nn


def model_facts(
    model: object, example_input: Any
) -> tuple[dict[str, Quantity], tuple[Reason, ...]]:
    """Count the parameters of ``model`` and the operations of one pass over ``example_input``.

    The pass runs in evaluation mode, without gradients and uncompiled. Afterwards modes and random
    generators are restored.

    Args:
        model: Called as ``model(example_input)``. Without ``torch.nn.Module`` there are no facts.
        example_input: One batch on the device of the model; ``None`` counts parameters only. The
            operations are those of the whole batch in this shape.

    Returns:
        Exact quantities: ``params`` and ``trainable_params`` (unit ``parameters``; a shared
        parameter counts once), ``macs`` (``MAC``) and ``flops`` (``FLOP``, twice the MACs). If
        something cannot be counted it is absent, and a reason that is not fatal says why. No error
        of the model is raised.
    """
    metrics: dict[str, Quantity] = {}
    if not _is_module(model):
        return metrics, ()
    module = cast("nn.Module", getattr(model, "_orig_mod", model))  # unwrap torch.compile
    try:
        _refuse_packed(module)
        metrics |= _count_parameters(module)
        if example_input is not None:
            metrics |= _count_operations(module, example_input)
    except Exception as error:  # a model may raise anything; the reason reports it
        message = f"model facts not counted: {type(error).__name__}: {error}"
        return metrics, (Reason(code=ReasonCode.NOTE, message=message, fatal=False),)
    return metrics, ()


def peak_memory_bytes(device: str) -> Quantity | None:
    """Return the most bytes that tensors held on ``device`` since :func:`reset_peak_memory`.

    Args:
        device: A torch device such as ``cuda:0``.

    Returns:
        The peak, without the driver's context and the allocator's reserve; ``None`` on a device
        whose allocator does not count, such as the CPU.
    """
    import torch

    if torch.device(device).type != "cuda":
        return None
    return Quantity(value=torch.cuda.max_memory_allocated(device), unit="B")


def reset_peak_memory(device: str) -> None:
    """Restart the count of :func:`peak_memory_bytes`, if the device has one."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _is_module(model: object) -> bool:
    """Whether a model is a torch module, found by class name so that torch is not imported."""
    names = {(kind.__module__, kind.__name__) for kind in type(model).__mro__}
    return ("torch.nn.modules.module", "Module") in names


def _refuse_packed(module: nn.Module) -> None:
    """Refuse quantised layers: their weights are not parameters, their operators have no formula.

    Raises:
        TypeError: There is such a layer; every count would be too low.
    """
    for name, layer in module.named_modules():
        if type(layer).__module__.startswith("torch.ao.nn."):
            raise TypeError(
                f"{name} is quantised and cannot be counted; count the model before that"
            )


def _count_parameters(module: nn.Module) -> dict[str, Quantity]:
    parameters = list(module.parameters())
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    return {
        "params": _exact(_size(parameters), "parameters"),
        "trainable_params": _exact(_size(trainable), "parameters"),
    }


def _count_operations(module: nn.Module, example_input: Any) -> dict[str, Quantity]:
    from torch.utils.flop_counter import FlopCounterMode

    with _undisturbed(module), FlopCounterMode(display=False) as counter:
        module(example_input)
    flops = counter.get_total_flops()
    if not flops:
        raise ValueError("no operator ran for which a FLOP formula is known")
    return {"macs": _exact(flops / 2, "MAC"), "flops": _exact(flops, "FLOP")}


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients and compilation; restore everything afterwards.

    Inference mode would not do: training could never use a tensor that a model caches in it.
    """
    import torch

    modes = {layer: layer.training for layer in module.modules()}
    devices = sorted({p.device.index for p in module.parameters() if p.device.type == "cuda"})
    try:
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=devices),
            torch.compiler.set_stance("force_eager"),
        ):
            module.eval()
            yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def _size(parameters: Sequence[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _exact(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit, exact=True)
