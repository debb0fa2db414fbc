"""The meter's own load through torch, which is a stand-in here."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_energy.meters.nvml.sources.own_load import torch_load


def devices(*uuids: str) -> list[Any]:
    """Devices as far as the load looks at them."""
    return [SimpleNamespace(candidate=SimpleNamespace(uuid=uuid)) for uuid in uuids]


class Torch:
    """A torch that counts the products of each device."""

    float16 = "float16"

    def __init__(self, uuids: list[str], *, started: bool = True) -> None:
        self.products = dict.fromkeys(range(len(uuids)), 0)
        self.place = 0
        self.cuda = SimpleNamespace(
            is_initialized=lambda: started,
            device_count=lambda: len(uuids),
            get_device_properties=lambda place: SimpleNamespace(uuid=uuids[place]),
            device=lambda place: nullcontext(),
            synchronize=lambda place: time.sleep(1e-3),
        )

    @contextmanager
    def no_grad(self) -> Iterator[None]:
        """Do nothing."""
        yield

    def ones(self, *shape: int, device: str, dtype: str) -> str:
        """The matrix: its device."""
        return device

    def mm(self, one: str, other: str) -> None:
        """Count a product."""
        self.products[int(one.removeprefix("cuda:"))] += 1


def test_all_measured_devices_work_while_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load uses the devices by their UUIDs, leaves others alone, and ends with the block."""
    torch = Torch(["a", "b", "c"])
    monkeypatch.setitem(sys.modules, "torch", torch)
    load = torch_load(devices("GPU-c", "GPU-a"))
    assert load is not None
    assert torch.products == {0: 1, 1: 0, 2: 1}, "each was warmed up once"
    with load():
        while min(torch.products[0], torch.products[2]) < 3:
            time.sleep(1e-3)
    ended = dict(torch.products)
    time.sleep(0.01)
    assert torch.products == ended
    assert torch.products[1] == 0


@pytest.mark.parametrize(
    "torch",
    [None, Torch(["a"], started=False), Torch(["b"])],
    ids=["no torch", "CUDA not started", "another device"],
)
def test_without_torch_on_the_devices_there_is_no_load(
    torch: Torch | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no load then; neither torch nor CUDA is started for it."""
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert torch_load(devices("GPU-a")) is None
