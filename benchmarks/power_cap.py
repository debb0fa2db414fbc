"""Set a card's power limit through NVML for a while, and always restore the previous one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.zoo.recipe import NotApplicableError


@contextmanager
def power_cap(cap_w: float, device: str) -> Iterator[None]:
    """Cap the power of a torch ``device`` at ``cap_w`` watts.

    The previous limit is restored at the end, also if the body fails or is interrupted.

    Raises:
        NotApplicableError: There is no NVIDIA card, no permission, or the card does not accept
            this limit. The message says which.
    """
    if not device.startswith("cuda"):
        raise NotApplicableError(f"a power cap needs an NVIDIA GPU; the device is {device}")
    import pynvml  # type: ignore[import-untyped] # ships no types

    pynvml.nvmlInit()
    try:
        card = pynvml.nvmlDeviceGetHandleByUUID(uuid_of(device))
        before_mw = pynvml.nvmlDeviceGetPowerManagementLimit(card)
        _set_limit(pynvml, card, round(cap_w * 1000))
        try:
            yield
        finally:
            pynvml.nvmlDeviceSetPowerManagementLimit(card, before_mw)
    finally:
        pynvml.nvmlShutdown()


def _set_limit(nvml: Any, card: Any, limit_mw: int) -> None:
    """Set a limit in milliwatts, which is NVML's unit."""
    lowest_mw, highest_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(card)
    if not lowest_mw <= limit_mw <= highest_mw:
        raise NotApplicableError(
            f"this card accepts a limit of {lowest_mw / 1000:g} to {highest_mw / 1000:g} W, "
            f"not {limit_mw / 1000:g} W"
        )
    try:
        nvml.nvmlDeviceSetPowerManagementLimit(card, limit_mw)
    except nvml.NVMLError as error:
        raise NotApplicableError(
            f"cannot set the power limit ({error}); this needs root on the bare machine"
        ) from None


def uuid_of(device: str) -> str:
    """NVML's UUID of a torch device: torch and NVML may number the same cards differently."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
