"""Which processes on a device are ours, and which are others'."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")
WORKER_VARIABLES = frozenset({"PYTEST_XDIST_WORKER", "LOCAL_RANK"})
"""Environment variables of a process that works beside its siblings."""


def others(listed: Iterable[int], proc: Path = PROC) -> frozenset[int]:
    """Those of the listed processes that are not of this process tree.

    Ours are this process, those it descends from, and its descendants; in a worker of pytest-xdist
    or torchrun also its siblings, which take turns with it or work for it. In a PID namespace of
    its own (a container) NVML's numbers mean nothing to us: where this process or a child of it has
    CUDA's driver library loaded, by whatever framework, but none of ours is listed under its own
    number, one number that nobody here has is taken for ours. Only one: a child that was forked has
    the library, too, and not the device.
    """
    numbers = frozenset(listed)
    parents = _parents(proc)
    foreign = frozenset(n for n in numbers if not _is_ours(n, parents))
    unknown = sorted(n for n in foreign if n not in parents)
    if unknown and foreign == numbers and _has_cuda(parents, proc):
        return foreign - {unknown[0]}
    return foreign


def wait_until_alone(
    listed: Callable[[], Iterable[frozenset[int]]],
    limit_s: float,
    most: float = 0,
    pause_s: float = 1.0,
) -> frozenset[int]:
    """Wait until others have left the devices, or there are few enough of them on each.

    Args:
        listed: Gives the processes on each device.
        limit_s: How long to wait at most.
        most: So many processes of others may stay on a device.
        pause_s: How long to wait between two looks.

    Returns:
        Those of others on the devices that still have more.
    """
    deadline_s = time.monotonic() + limit_s
    while foreign := _crowd(listed(), most):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        time.sleep(min(pause_s, left_s))
    return foreign


def _crowd(listed: Iterable[frozenset[int]], most: float) -> frozenset[int]:
    """The processes of others on those devices that have more than ``most``."""
    found = (others(numbers) for numbers in listed)
    return frozenset().union(*(foreign for foreign in found if len(foreign) > most))


def _is_ours(pid: int, parents: dict[int, int]) -> bool:
    has_siblings = not os.environ.keys().isdisjoint(WORKER_VARIABLES)
    head = os.getppid() if has_siblings else os.getpid()
    return pid in _line(os.getpid(), parents) or head in _line(pid, parents)


def _line(pid: int, parents: dict[int, int]) -> list[int]:
    """A process and those it descends from, up to but without the first of all."""
    line: list[int] = []
    while pid > 1 and pid not in line:
        line.append(pid)
        pid = parents.get(pid, 0)
    return line


def _parents(proc: Path) -> dict[int, int]:
    parents = {}
    for folder in proc.iterdir() if proc.is_dir() else ():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            parents[int(folder.name)] = parent
    return parents


def _parent(folder: Path) -> int | None:
    try:
        text = (folder / "stat").read_text("utf-8", "replace")
    except OSError:  # it ended while we looked
        return None
    return int(text.rpartition(")")[2].split()[1])  # the name in brackets may hold anything


def _has_cuda(parents: dict[int, int], proc: Path) -> bool:
    """Whether this process or one it has started has CUDA's driver library loaded."""
    return any(_maps_cuda(proc / str(n)) for n in parents if os.getpid() in _line(n, parents))


def _maps_cuda(folder: Path) -> bool:
    try:
        return "/libcuda.so" in (folder / "maps").read_text("utf-8", "replace")
    except OSError:  # it ended while we looked, or is another user's
        return False


def uses_cuda() -> bool:
    """Whether torch has begun to use GPUs in this process."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
