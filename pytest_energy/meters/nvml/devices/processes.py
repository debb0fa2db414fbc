"""Which processes on a device belong to this session, and which do not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_energy.clocks import CLOCK

PROC = Path("/proc")
SIDE_VARIABLE = "PYTEST_ENERGY_SIDE"
"""Environment variable of a side of a comparison; the other side waits on the same device."""
WORKER_VARIABLES = frozenset({"PYTEST_XDIST_WORKER", "LOCAL_RANK", SIDE_VARIABLE})
"""Environment variables of a worker process, whose siblings belong to the same session."""


def others(listed: Iterable[int], proc: Path = PROC) -> frozenset[int]:
    """The listed processes that do not belong to this session.

    These belong to it: this process, its ancestors and its descendants, and in a worker of
    pytest-xdist or torchrun also its siblings, which wait for it or work for it.

    In a container with its own PID namespace, NVML's PIDs are those of the host, unknown here.
    There, one unknown PID counts as ours if this process or a child has CUDA's driver library
    loaded and no PID of ours is listed. Only one, because a forked child has the library loaded as
    well, but does not use the device. In a side of a comparison, one for each side.
    """
    pids = frozenset(listed)
    parents = _parents(proc)
    foreign = frozenset(pid for pid in pids if not _is_ours(pid, parents))
    unknown = sorted(pid for pid in foreign if pid not in parents)
    if unknown and foreign == pids:
        return foreign - frozenset(unknown[: _users_of_cuda(parents, proc)])
    return foreign


def wait_until_alone(
    listed: Callable[[], Iterable[frozenset[int]]],
    limit_s: float,
    most: float = 0,
    pause_s: float = 1.0,
) -> frozenset[int]:
    """Wait until no device has more than ``most`` processes of others.

    Args:
        listed: Returns the processes on each device.
        limit_s: The longest time to wait.
        most: The number of other processes that is allowed on a device.
        pause_s: The time between two checks.

    Returns:
        The other processes on the devices that still have more than ``most``.
    """
    deadline_s = CLOCK.monotonic() + limit_s
    while foreign := _crowd(listed(), most):
        left_s = deadline_s - CLOCK.monotonic()
        if left_s <= 0:
            break
        CLOCK.sleep(min(pause_s, left_s))
    return foreign


def _crowd(listed: Iterable[frozenset[int]], most: float) -> frozenset[int]:
    """The other processes on the devices that have more than ``most`` of them."""
    by_device = (others(pids) for pids in listed)
    return frozenset().union(*(foreign for foreign in by_device if len(foreign) > most))


def _is_ours(pid: int, parents: dict[int, int]) -> bool:
    has_siblings = not os.environ.keys().isdisjoint(WORKER_VARIABLES)
    head = os.getppid() if has_siblings else os.getpid()
    return pid in _line(os.getpid(), parents) or head in _line(pid, parents)


def _line(pid: int, parents: dict[int, int]) -> list[int]:
    """A process and its ancestors, without process 1."""
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
    except OSError:  # it has just ended
        return None
    # The name in brackets may contain spaces and brackets; the parent's PID is the second field
    # after it (proc_pid_stat(5)).
    return int(text.rpartition(")")[2].split()[1])


def _users_of_cuda(parents: dict[int, int], proc: Path) -> int:
    """How many PIDs of another namespace can belong to this session."""
    if SIDE_VARIABLE not in os.environ:
        return int(_has_cuda(os.getpid(), parents, proc))
    sides = [pid for pid, parent in parents.items() if parent == os.getppid()]
    return sum(_has_cuda(side, parents, proc) for side in sides)


def _has_cuda(head: int, parents: dict[int, int], proc: Path) -> bool:
    """Whether the process ``head`` or a descendant has CUDA's driver library loaded."""
    return any(_maps_cuda(proc / str(pid)) for pid in parents if head in _line(pid, parents))


def _maps_cuda(folder: Path) -> bool:
    try:
        return "/libcuda.so" in (folder / "maps").read_text("utf-8", "replace")
    except OSError:  # it has just ended, or belongs to another user
        return False


def ours_have_cuda(proc: Path = PROC) -> bool:
    """Whether this process or a descendant has CUDA's driver library loaded."""
    return _has_cuda(os.getpid(), _parents(proc), proc)


def uses_cuda() -> bool:
    """Whether torch has initialised CUDA in this process."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
