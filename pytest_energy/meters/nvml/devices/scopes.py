"""What the readings of a device cover: the GPU, or the whole module with processor and memory.

On a Grace Hopper module the joules and watts of the module are not those of its GPU, and not every
call says which of the two it means: ``nvidia-smi`` gives the module's watts (arXiv 2312.02741).
Fields 185, 186 and 191 have a scope; field 83 and the driver's ring of power samples have none.
"""

from __future__ import annotations

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.driver import Handle, read_fields

GPU = pynvml.NVML_POWER_SCOPE_GPU
MODULE = pynvml.NVML_POWER_SCOPE_MODULE
POWER = pynvml.NVML_FI_DEV_POWER_INSTANT
ENERGY_BY_SCOPE = pynvml.NVML_FI_DEV_ENERGY

GPU_NAME = "gpu"
MODULE_NAME = "module"
UNKNOWN = "unknown"
APART = 0.1
"""Scopes whose powers differ by a smaller share cannot be told apart by power."""


def scoped(handle: Handle, field: int, scope: int) -> float | None:
    """A field of one scope; ``None`` if the driver does not offer it.

    Raises:
        SensorError: The device is lost.
    """
    value = read_fields(handle, ((field, scope),)).get(field)
    return None if value is None else value.value


def has_module(handle: Handle) -> bool:
    """Whether the device is part of a module whose power or energy is read as well."""
    return any(scoped(handle, field, MODULE) is not None for field in (POWER, ENERGY_BY_SCOPE))


def scope_of_power(handle: Handle, power_w: float) -> str:
    """The scope whose present power is nearest to ``power_w``."""
    gpu_mw, module_mw = scoped(handle, POWER, GPU), scoped(handle, POWER, MODULE)
    if gpu_mw is None or module_mw is None or abs(module_mw - gpu_mw) < APART * gpu_mw:
        return UNKNOWN
    power_mw = power_w * 1e3
    return GPU_NAME if abs(power_mw - gpu_mw) < abs(power_mw - module_mw) else MODULE_NAME
