"""Wait until a device has finished what this process queued, for each framework it has imported.

A framework that is not in :data:`sys.modules` has queued nothing, so none is imported. One may be
imported later, so each call checks again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final


def synchronize_torch(torch: Any) -> None:
    """Wait for CUDA (also HIP, which torch calls CUDA), XPU and MPS."""
    if torch.cuda.is_initialized():
        # On a device without a context, synchronising would create one, which takes memory and
        # power.
        has_context = getattr(torch._C, "_cuda_hasPrimaryContext", lambda index: True)
        for index in range(torch.cuda.device_count()):
            if has_context(index):
                torch.cuda.synchronize(index)
    xpu = getattr(torch, "xpu", None)
    if xpu is not None and xpu.is_initialized():
        for index in range(xpu.device_count()):
            xpu.synchronize(index)
    backends: Any = getattr(torch, "backends", None)
    if backends is not None and backends.mps.is_available():
        torch.mps.synchronize()


def synchronize_jax(jax: Any) -> None:
    """Wait for all arrays and effects, and for the queues of devices other than the CPU."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is not None and not bridge.backends_are_initialized():
        return  # waiting would start the backends, which reserve most of a GPU's memory
    jax.block_until_ready(jax.live_arrays())
    jax.effects_barrier()
    for device in jax.local_devices():
        if device.platform != "cpu":
            # Results that nobody holds are on no list; a queue runs in order, so one more
            # computation ends after them.
            (jax.device_put(0.0, device) + 0).block_until_ready()


def synchronize_tensorflow(tensorflow: Any) -> None:
    """Wait for all devices."""
    tensorflow.test.experimental.sync_devices()


def synchronize_cupy(cupy: Any) -> None:
    """Wait for the current device; others may have no context, and would be given one."""
    cupy.cuda.Device().synchronize()


def synchronize_warp(warp: Any) -> None:
    """Wait for all CUDA devices."""
    warp.synchronize()


def synchronize_simulated(torch_load: Any) -> None:
    """Wait for simulated cards that torch's operations on the CPU load."""
    torch_load.wait_for_cards()


FRAMEWORKS: Final[Mapping[str, Callable[[Any], None]]] = {
    "torch": synchronize_torch,
    "jax": synchronize_jax,
    "tensorflow": synchronize_tensorflow,
    "cupy": synchronize_cupy,
    "warp": synchronize_warp,
    "pytest_energy.simulation.torch_load": synchronize_simulated,
}
"""How to wait, by the name of the imported module."""


def synchronize_frameworks() -> None:
    """Wait for the devices of all frameworks that this process has imported."""
    for name, synchronize in FRAMEWORKS.items():
        module: Any = sys.modules.get(name)
        if module is not None and not _is_importing(module):
            synchronize(module)


def torch_uses_device(torch: Any) -> bool:
    """Whether torch has begun to use a device; many programs import it for the CPU alone."""
    xpu = getattr(torch, "xpu", None)
    return bool(torch.cuda.is_initialized() or (xpu is not None and xpu.is_initialized()))


def jax_uses_device(jax: Any) -> bool:
    """Whether JAX has begun to use a device other than the CPU."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is not None and not bridge.backends_are_initialized():
        return False
    return any(device.platform != "cpu" for device in jax.local_devices())


USES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "torch": torch_uses_device,
    "jax": jax_uses_device,
}
"""Whether a framework uses a device; the others are taken to do so once they are imported."""


def is_unawaited(synchronize: Callable[[], object]) -> bool:
    """Whether a device that works is used by no framework that ``synchronize`` waits for."""
    if synchronize is not synchronize_frameworks:
        return False
    imported = {name: sys.modules[name] for name in FRAMEWORKS if name in sys.modules}
    return not any(USES.get(name, bool)(module) for name, module in imported.items())


def synchronizer(own: Callable[[], object] | None = None) -> Callable[[], None]:
    """Return a function that waits for the devices of all frameworks, and then calls ``own``."""
    if own is None:
        return synchronize_frameworks

    def synchronize() -> None:
        synchronize_frameworks()
        own()

    return synchronize


def waiter_for(returned: object) -> Callable[[object], object] | None:
    """Return the function that waits for a call's result, or ``None`` if nothing must be awaited.

    JAX returns arrays before they are computed. Waiting for each call gives the joules of a body
    that ends with ``block_until_ready()``.
    """
    jax: Any = sys.modules.get("jax")
    if jax is None or _is_importing(jax):
        return None
    has_arrays = any(isinstance(leaf, jax.Array) for leaf in jax.tree_util.tree_leaves(returned))
    return jax.block_until_ready if has_arrays else None


def _is_importing(module: object) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
