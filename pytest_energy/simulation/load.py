"""The load of simulated GPUs while tests run: a fixed power, or power by the FLOPs of torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from pytest_energy.simulation.build import SimulationError
from pytest_energy.simulation.machine import Machine

LOAD_VARIABLE: Final = "PYTEST_ENERGY_SIMULATED_LOAD"
"""Where ``pytest-energy simulate`` tells the plugin about the load."""


@dataclass(frozen=True)
class Load:
    """How a test's body loads the cards; with neither number, the test sets their power itself."""

    power_w: float | None = None
    """Power of each card while a test's body runs."""
    watts_per_tflops: float | None = None
    """Watts above rest for each TFLOP/s, which is joules for each TFLOP."""
    tflops: float = 0.05
    """TFLOP/s of a card: how long it works on what torch computes."""

    @classmethod
    def of_environment(cls) -> Load | None:
        """The load of this session; ``None`` unless ``pytest-energy simulate`` started it."""
        text = os.environ.get(LOAD_VARIABLE)
        return cls(**json.loads(text)) if text else None

    def to_environment(self) -> dict[str, str]:
        """The variable that tells a child process."""
        return {LOAD_VARIABLE: json.dumps(asdict(self))}

    @property
    def label(self) -> str:
        """For people and for the identity of results."""
        if self.watts_per_tflops is not None:
            return f"{self.watts_per_tflops:g} W per TFLOP/s at {self.tflops:g} TFLOP/s"
        return "set by the test" if self.power_w is None else f"{self.power_w:g} W"

    @contextmanager
    def applied(self, machine: Machine) -> Iterator[None]:
        """Load the cards of this process while the block runs."""
        with ExitStack() as stack:
            devices = own_devices(machine)
            if self.watts_per_tflops is not None:
                from pytest_energy.simulation.torch_load import TorchLoad

                stack.enter_context(machine.process(os.getpid(), devices[0]))
                stack.enter_context(
                    TorchLoad(machine, devices[0], self.watts_per_tflops, self.tflops)
                )
            elif self.power_w is not None:
                for device in devices:
                    stack.enter_context(machine.load(self.power_w, device))
            yield


def own_devices(machine: Machine) -> Sequence[int]:
    """The devices that this process uses, by ``LOCAL_RANK`` and ``CUDA_VISIBLE_DEVICES``.

    Raises:
        SimulationError: No device of the machine is meant.
    """
    devices = list(range(machine.device_count))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = {machine.uuid(device): device for device in devices}
        names |= {str(device): device for device in devices}
        devices = [names[name] for name in visible.split(",") if name in names]
    if rank := os.environ.get("LOCAL_RANK"):
        devices = devices[int(rank) :][:1]
    if not devices:
        raise SimulationError(
            f"CUDA_VISIBLE_DEVICES={visible}, LOCAL_RANK={rank}: no simulated card is left for"
            " this process; simulate one card for each process"
        )
    return devices
