"""Count what is the same on every machine: parameters, MACs and FLOPs. Also read peak memory.

:mod:`torch.utils.flop_counter` counts convolutions, matrix products and attention, with 2 FLOPs per
multiply-add. Element-wise operations (activations, normalisation, pooling, interpolation) count as
zero, as is usual in published figures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pytest_energy.measuring.forward_passes import Inputs, evaluating, import_torch, is_module
from pytest_energy.model.measurement import Quantity, Reason, ReasonCode

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Operations:
    """What was counted: exact metrics by name, and remarks on what could not be."""

    metrics: dict[str, Quantity] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    _total: Callable[[], int] = int
    _paused: int = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the body of a ``with`` statement out of the count."""
        before = self._total()
        yield
        self._paused += self._total() - before

    def end(self) -> None:
        """Take the count; if there is none, a remark says so."""
        if flops := self._total() - self._paused:
            self.metrics |= _operations(flops)
        else:
            self.reasons = (_not_counted(f"operations not counted: {NOTHING_RAN}"),)


def model_facts(
    model: object, example_input: Any
) -> tuple[dict[str, Quantity], tuple[Reason, ...]]:
    """Count the parameters of ``model`` and the operations of one pass over ``example_input``.

    The pass runs in evaluation mode, without gradients and uncompiled. Afterwards modes and random
    generators are restored.

    Args:
        model: Called as ``model(example_input)``. Without ``torch.nn.Module`` there are no facts.
        example_input: One batch on the device of the model, or its :class:`Inputs`; ``None`` counts
            parameters only. A tuple or a mapping has several arguments. The operations are those of
            the whole batch in this shape.

    Returns:
        Exact quantities: ``params`` and ``trainable_params`` (unit ``parameters``; a shared
        parameter counts once), ``macs`` (``MAC``) and ``flops`` (``FLOP``, twice the MACs). If
        something cannot be counted it is absent, and a reason that is not fatal says why. No error
        of the model is raised.
    """
    metrics: dict[str, Quantity] = {}
    if not is_module(model):
        return metrics, ()
    module = cast("nn.Module", getattr(model, "_orig_mod", model))  # unwrap torch.compile
    try:
        _refuse_packed(module)
        metrics |= _count_parameters(module)
        if example_input is not None:
            metrics |= _count_operations(module, example_input)
    except Exception as error:  # a model may raise anything; the reason reports it
        return metrics, (_not_counted(f"model facts not counted: {type(error).__name__}: {error}"),)
    return metrics, ()


@contextmanager
def counted_operations() -> Iterator[Operations]:
    """Count the operations of torch in the body of a ``with`` statement, of all models together.

    Compiled models run uncompiled. The count is there when the body has ended. If nothing could be
    counted, a reason that is not fatal says so. It takes time: nothing is measured meanwhile.

    Raises:
        UsageError: torch is not installed.
    """
    torch = import_torch()
    from torch.utils.flop_counter import FlopCounterMode

    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        # The counter hooks into all modules, of which torch warns compiled ones.
        warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global")
        with FlopCounterMode(display=False) as counter:
            operations = Operations(_total=counter.get_total_flops)
            yield operations
    operations.end()


NOTHING_RAN = "no operator of torch ran for which a FLOP formula is known"


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

    inputs = example_input if isinstance(example_input, Inputs) else Inputs.of(example_input)
    with _undisturbed(module), FlopCounterMode(display=False) as counter:
        module(*inputs.args, **inputs.kwargs)
    flops = counter.get_total_flops()
    if not flops:
        raise ValueError(NOTHING_RAN)
    return _operations(flops)


def _operations(flops: int) -> dict[str, Quantity]:
    return {"macs": _exact(flops / 2, "MAC"), "flops": _exact(flops, "FLOP")}


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients and compilation; restore everything afterwards.

    Inference mode would not do: training could never use a tensor that a model caches in it.
    """
    import torch

    devices = sorted({p.device.index for p in module.parameters() if p.device.type == "cuda"})
    with (
        torch.no_grad(),
        torch.random.fork_rng(devices=devices),
        torch.compiler.set_stance("force_eager"),
        evaluating(module),
    ):
        yield


def _not_counted(message: str) -> Reason:
    return Reason(code=ReasonCode.NOTE, message=message, fatal=False)


def _size(parameters: Sequence[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _exact(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit, exact=True)
