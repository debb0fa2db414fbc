"""The environment of a session: identity, context, and the name of the machine's folder.

Two results are comparable only if their identities agree. Their contexts may explain a difference.
A meter describes the devices that it measures; this module adds the machine around them.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from pytest_energy.model.measurement import Environment, Facts

PACKAGES = ("pytest-energy", "torch", "torchvision", "nvidia-ml-py", "codecarbon", "numpy")
"""Packages whose versions may explain a drift."""

SIMULATED: Final = "simulated "
"""The device's name in the identity begins so if it does not exist."""


def describe(meter: Environment | None) -> Environment:
    """The environment of a session.

    Args:
        meter: The open meter's description of its devices; ``None`` without a meter.
    """
    identity = dict(meter.identity) if meter else {"device": cpu_model()}
    context = {**machine_context(), **(meter.context if meter else {})}
    return Environment(identity=identity, context=context)


def machine_context() -> Facts:
    """Versions and hardware around the measured device, without the name of the host."""
    return {
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        **{name: installed for name in PACKAGES if (installed := _version(name))},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name on Linux, else the type of machine."""
    # platform.processor() names only the architecture on Linux.
    info = Path("/proc/cpuinfo")
    text = info.read_text("utf-8", "replace") if info.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name.group(1).strip() if name else platform.machine() or "unknown"


def is_simulated(identity: Mapping[str, object]) -> bool:
    """Whether a device of this identity is simulated."""
    device = identity.get("device")
    names = device if isinstance(device, list) else [device]
    return any(str(name).startswith(SIMULATED) for name in names)


def slug(identity: Mapping[str, object]) -> str:
    """The folder name of a kind of machine: ``nvidia-h200``, ``2x-nvidia-h200-mig-1g-18gb``.

    It groups baselines for people. Whether two machines are comparable depends on the whole
    identity, which each baseline contains.
    """
    count = identity.get("device_count")
    parts = [
        "estimated" if identity.get("estimated") else "",
        f"{count}x" if isinstance(count, int) and count > 1 else "",
        str(identity.get("device") or "unknown"),
        f"mig-{identity['mig_profile']}" if identity.get("mig_profile") else "",
    ]
    words = re.findall(r"[a-z0-9]+", " ".join(parts).lower())
    return "-".join(words)[:100].strip("-") or "unknown"
