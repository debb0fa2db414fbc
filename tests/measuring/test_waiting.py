"""Waiting for devices: by what is imported, and by what a call returns."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pytest_energy.measuring.waiting import FRAMEWORKS, is_unawaited, synchronizer, waiter_for


@pytest.fixture(autouse=True)
def _no_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No framework is imported unless the test puts it there."""
    for name in FRAMEWORKS:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    ("initialized", "internals", "waits"),
    [
        (True, {"_cuda_hasPrimaryContext": lambda index: index != 1}, [0, 2]),
        (True, {}, [0, 1, 2]),
        (False, {}, []),
    ],
    ids=["one idle device", "unknown context", "CUDA not in use"],
)
def test_synchronizer_waits_for_every_device_in_use(
    monkeypatch: pytest.MonkeyPatch,
    initialized: bool,
    internals: dict[str, object],
    waits: list[int],
) -> None:
    """Only devices on which this process has a context are synchronised."""
    waited: list[int] = []
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized, device_count=lambda: 3, synchronize=waited.append
    )
    torch = SimpleNamespace(cuda=cuda, _C=SimpleNamespace(**internals))
    monkeypatch.setitem(sys.modules, "torch", torch)
    synchronizer()()
    assert waited == waits


def test_synchronizer_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without torch does not import it."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    synchronizer()()
    assert "torch" not in sys.modules


def fake_torch(waited: list[str]) -> SimpleNamespace:
    """Torch on a machine with two Intel GPUs, and with Apple's."""
    return SimpleNamespace(
        cuda=SimpleNamespace(is_initialized=lambda: False),
        xpu=SimpleNamespace(
            is_initialized=lambda: True,
            device_count=lambda: 2,
            synchronize=lambda index: waited.append(f"xpu{index}"),
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: True)),
        mps=SimpleNamespace(synchronize=lambda: waited.append("mps")),
    )


def test_all_devices_of_torch_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """XPU and MPS are asynchronous, too."""
    waited: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch(waited))  # type: ignore[arg-type]
    synchronizer()()
    assert waited == ["xpu0", "xpu1", "mps"]


@pytest.mark.parametrize("name", ["tensorflow", "cupy", "warp"])
def test_each_framework_waits_by_its_own_function(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The function is the one that the framework's documentation names."""
    waited: list[str] = []

    def wait() -> None:
        waited.append(name)

    fakes = {
        "tensorflow": SimpleNamespace(
            test=SimpleNamespace(experimental=SimpleNamespace(sync_devices=wait))
        ),
        "cupy": SimpleNamespace(
            cuda=SimpleNamespace(Device=lambda: SimpleNamespace(synchronize=wait))
        ),
        "warp": SimpleNamespace(synchronize=wait),
    }
    monkeypatch.setitem(sys.modules, name, fakes[name])  # type: ignore[arg-type]
    synchronizer()()
    assert waited == [name]


def test_simulated_cards_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """They work on sections of torch's operations, as a queue does."""
    waited: list[str] = []
    load = SimpleNamespace(wait_for_cards=lambda: waited.append("cards"))
    name = "pytest_energy.simulation.torch_load"
    monkeypatch.setitem(sys.modules, name, load)  # type: ignore[arg-type]
    synchronizer()()
    assert waited == ["cards"]


def test_a_framework_that_is_being_imported_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part of a module has no function to wait with."""
    partial = SimpleNamespace(__spec__=SimpleNamespace(_initializing=True))
    monkeypatch.setitem(sys.modules, "warp", partial)  # type: ignore[arg-type]
    synchronizer()()


def test_an_own_function_waits_after_the_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """``synchronize=`` adds to what the plugin knows."""
    waited: list[str] = []
    warp = SimpleNamespace(synchronize=lambda: waited.append("warp"))
    monkeypatch.setitem(sys.modules, "warp", warp)  # type: ignore[arg-type]
    synchronizer(lambda: waited.append("own"))()
    assert waited == ["warp", "own"]


@pytest.mark.parametrize(
    ("imported", "unawaited"),
    [
        ({}, True),
        ({"torch": False}, True),
        ({"torch": True}, False),
        ({"torch": False, "jax": "cpu"}, True),
        ({"torch": False, "jax": "gpu"}, False),
        ({"cupy": True}, False),
    ],
)
def test_a_framework_is_known_if_it_uses_the_device(
    monkeypatch: pytest.MonkeyPatch, imported: dict[str, object], unawaited: bool
) -> None:
    """Torch that was imported for the CPU does not wait for the work of another framework."""
    fakes = {
        "torch": SimpleNamespace(
            cuda=SimpleNamespace(is_initialized=lambda: imported["torch"]), xpu=None
        ),
        "jax": SimpleNamespace(
            local_devices=lambda: [SimpleNamespace(platform=imported["jax"])],
        ),
        "cupy": SimpleNamespace(),
    }
    monkeypatch.delitem(sys.modules, "jax._src.xla_bridge", raising=False)
    for name in imported:
        monkeypatch.setitem(sys.modules, name, fakes[name])  # type: ignore[arg-type]
    assert is_unawaited(synchronizer()) is unawaited
    assert not is_unawaited(synchronizer(lambda: None))


class Array:
    """An array of JAX."""


def test_results_of_jax_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result with arrays is blocked on; another is not."""
    jax = SimpleNamespace(
        Array=Array,
        tree_util=SimpleNamespace(tree_leaves=lambda tree: tree),
        block_until_ready=lambda tree: tree,
    )
    monkeypatch.setitem(sys.modules, "jax", jax)  # type: ignore[arg-type]
    assert waiter_for([1, Array()]) is jax.block_until_ready
    assert waiter_for([1, 2]) is None


def test_nothing_is_awaited_without_jax() -> None:
    """Other frameworks are waited for at the end of the window."""
    assert waiter_for([Array()]) is None
