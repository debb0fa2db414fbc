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


class TorchLoad:
    """Loads a card by all operations of torch in this thread while the block runs."""

    def __init__(
        self, machine: Machine, device: int, watts_per_tflops: float, tflops: float
    ) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils.flop_counter import flop_registry

        card = _Card(machine, device, watts_per_tflops, tflops)

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                count = flop_registry.get(func._overloadpacket)
                if count is None:
                    # As torch's own counter: a composite operation consists of counted ones.
                    with self:
                        parts = func.decompose(*args, **(kwargs or {}))
                    if parts is not NotImplemented:
                        return parts
                returned = func(*args, **(kwargs or {}))
                card.work(count(*args, **(kwargs or {}), out_val=returned) if count else 0)
                return returned

        self._card = card
        self._mode = Mode()  # type: ignore[no-untyped-call]  # torch's is not annotated

    def __enter__(self) -> Self:
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
