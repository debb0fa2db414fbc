"""Load a simulated GPU by what torch computes on the CPU.

Each operation of torch runs on the CPU first. Then the card works on it: for as long as its FLOPs
take at the card's rate, with a power in proportion to them. The process waits for the card, so the
time of an operation is that of the CPU and of the card together; on the virtual clock the CPU takes
no time. Matrix products, convolutions and attention have FLOPs, forward and backward.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Final, Self

from pytest_energy.simulation.machine import Machine

SHORTEST_S: Final = 5e-6
"""What any operation takes on the card, about the time of launching a kernel."""
SECTION_S: Final = 2e-3
"""Operations are put together to sections of this length: the power script has limited room."""


_working: list[_Card] = []
"""The cards that this process loads."""


def wait_for_cards() -> None:
    """Let the cards finish what is queued, as a synchronisation of CUDA does."""
    for card in _working:
        card.finish()


class TorchLoad:
    """Loads a card by all operations of torch in this thread while the block runs."""

    def __init__(
        self, machine: Machine, device: int, watts_per_tflops: float, tflops: float
    ) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode

        card = _Card(machine, device, watts_per_tflops, tflops)
        flops_of = _FlopCount()

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                kwargs = kwargs or {}
                if flops_of.consists_of_others(func):
                    with self:
                        parts = func.decompose(*args, **kwargs)
                    if parts is not NotImplemented:
                        return parts
                returned = func(*args, **kwargs)
                card.work(flops_of(func, args, kwargs, returned))
                return returned

        self._card = card
        self._mode = Mode()  # type: ignore[no-untyped-call]  # torch's is not annotated

    def __enter__(self) -> Self:
        _working.append(self._card)
        self._mode.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mode.__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._card.finish()
        _working.remove(self._card)


class _FlopCount:
    """Torch's own formulas. This is asked at every operation, so it remembers what it can."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry

        self._formulas = flop_registry
        self._composite: dict[object, bool] = {}
        self._counted: dict[object, float] = {}

    def consists_of_others(self, func: Any) -> bool:
        """Whether torch's own counter would look into an operation, which has no formula itself."""
        known = self._composite.get(func)
        if known is None:
            known = self._composite[func] = self._is_composite(func)
        return known

    def _is_composite(self, func: Any) -> bool:
        from torch import _C

        if func._overloadpacket in self._formulas:
            return False
        key = "CompositeImplicitAutograd"
        return bool(_C._dispatch_has_kernel_for_dispatch_key(func.name(), key))

    def __call__(self, func: Any, args: Any, kwargs: Any, returned: Any) -> float:
        """The FLOPs of one operation: the formulas depend on shapes and plain arguments only."""
        count = self._formulas.get(func._overloadpacket)
        if count is None:
            return 0.0
        key = (func, *(_hashable(value) for value in (*args, *kwargs.values())), *kwargs)
        flops = self._counted.get(key)
        if flops is None:
            flops = self._counted[key] = count(*args, **kwargs, out_val=returned)
        return flops


def _hashable(value: Any) -> Any:
    """The shape of a tensor, and what is equal where a plain argument is equal."""
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    shape = getattr(value, "shape", None)
    return value if shape is None else shape


class _Card:
    """A card that works on one section of operations after the other."""

    def __init__(
        self, machine: Machine, device: int, watts_per_tflops: float, tflops: float
    ) -> None:
        self._machine = machine
        self._device = device
        self._joules_per_flop = watts_per_tflops * 1e-12
        self._flops_per_s = tflops * 1e12
        self._rest_w = machine.rest_power_w(device)
        self._queued_s = 0.0
        self._queued_flops = 0.0

    def work(self, flops: float) -> None:
        """Queue an operation; run the queue once it is long enough."""
        self._queued_s += max(flops / self._flops_per_s, SHORTEST_S)
        self._queued_flops += flops
        if self._queued_s >= SECTION_S:
            self.finish()

    def finish(self) -> None:
        """Run what is queued, and wait for it."""
        if not self._queued_s:
            return
        duration_s, flops = self._queued_s, self._queued_flops
        self._queued_s = self._queued_flops = 0.0
        power_w = self._rest_w + self._joules_per_flop * flops / duration_s
        self._machine.shorten_script(self._device)
        begun_s = self._machine.set_power(power_w, self._device)
        self._machine.set_power(self._rest_w, self._device, at_s=begun_s + duration_s)
        time.sleep(duration_s)
