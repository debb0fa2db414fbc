"""The desktop on a GPU: display servers and compositors, which draw on it all the time.

A machine with a screen always has them on the list of graphics processes. They are a part of its
idle power and no contention by themselves. Other programs that draw, such as browsers and games,
are processes like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pynvml  # type: ignore[import-untyped]  # NVIDIA ships the bindings without types

from pytest_energy.meters.nvml.devices.processes import PROC
from pytest_energy.meters.nvml.driver import Handle, query

COMM_LENGTH: Final = 15
"""The kernel cuts the names of processes to this length (proc_pid_comm(5))."""
DESKTOP: Final = frozenset(
    {
        # display servers
        "X",
        "Xorg",
        "Xorg.bin",
        "Xwayland",
        # compositors and window managers
        "Hyprland",
        "budgie-wm",
        "cinnamon",
        "compiz",
        "cosmic-comp",
        "deepin-kwin_wayland",
        "deepin-kwin_x11",
        "enlightenment",
        "gala",
        "gnome-shell",
        "kwin",
        "kwin_wayland",
        "kwin_x11",
        "labwc",
        "marco",
        "muffin",
        "mutter",
        "mutter-x11-frames",
        "niri",
        "picom",
        "plasmashell",
        "river",
        "sway",
        "wayfire",
        "weston",
        "xfwm4",
        # greeters
        "lightdm-gtk-greeter",
        "sddm-greeter",
        "sddm-greeter-qt6",
    }
)
_NAMES: Final = frozenset(
    form[:COMM_LENGTH] for name in DESKTOP for form in (name, f".{name}-wrapped")
)
"""NixOS starts programs by wrappers: ``.kwin_wayland-wrapped`` runs, which is kwin_wayland."""


def desktop_among(pids: Iterable[int], proc: Path = PROC) -> dict[int, str]:
    """The names of those processes that belong to a desktop, by PID."""
    names = {pid: process_name(pid, proc) for pid in pids}
    return {pid: name for pid, name in names.items() if name and name[:COMM_LENGTH] in _NAMES}


def process_name(pid: int, proc: Path = PROC) -> str | None:
    """The name of a process without folders and arguments; ``None`` if it is unknown.

    The driver knows processes outside a container as well.
    """
    command = query(pynvml.nvmlSystemGetProcessName, pid)
    if command and (words := str(command).split()):
        return Path(words[0]).name
    try:
        return (proc / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:  # it has just ended, or is in another PID namespace
        return None


def utilization(handle: Handle, pids: Mapping[int, str]) -> float | None:
    """The share of the multiprocessors that these processes use; ``None`` if it is unknown.

    Each process has the driver's last sample, a mean over about a second.
    """
    samples = query(pynvml.nvmlDeviceGetProcessUtilization, handle, 0) if pids else None
    if samples is None:
        return None
    newest = {s.pid: s for s in sorted(samples, key=lambda s: s.timeStamp) if s.pid in pids}
    return sum(float(sample.smUtil) for sample in newest.values()) / 100
