"""Sleeping GPUs: laptops switch theirs off while nothing uses it, and any call of NVML wakes it.

Source: Linux, *Runtime Power Management Framework*; NVIDIA driver README, "PCI-Express Runtime D3
Power Management".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

PCI: Final = Path("/sys/bus/pci/devices")
NVIDIA: Final = "0x10de"
DISPLAY: Final = "0x03"
"""The class of display controllers, with which the class of all GPUs begins."""


def sleeping_gpus(pci: Path = PCI) -> tuple[str, ...]:
    """The PCI addresses of the NVIDIA GPUs if all of them sleep; empty if one is awake."""
    gpus = [folder for folder in sorted(pci.glob("*")) if _is_gpu(folder)]
    asleep = [gpu for gpu in gpus if _text(gpu / "power" / "runtime_status") == "suspended"]
    return tuple(gpu.name for gpu in asleep) if len(asleep) == len(gpus) else ()


def _is_gpu(folder: Path) -> bool:
    return _text(folder / "vendor") == NVIDIA and _text(folder / "class").startswith(DISPLAY)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
