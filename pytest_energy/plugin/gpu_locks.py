"""Devices for workers: each takes one for itself, and windows never share one.

Two kinds of lock, both held by the operating system for a process, so that a worker that was
killed holds none:

- a *claim* on a GPU is held for a worker's whole life and says whose it is;
- a *turn* is held while a benchmark runs. Where there are more workers than GPUs, or several
  sessions on one machine, they wait for one another around each benchmark.

Processors take turns as one device: what several workers run there at a time, no meter tells
apart. The locks are those of one user; what others do on a GPU is seen by its processes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Meter

PROCESSORS = "processors"
"""The board under which the processors of this machine take turns."""
LOCKS = "PYTEST_ENERGY_LOCKS"
"""Environment variable: a folder of locks for sessions that share no device with others, such as
those on simulated machines, or one that several users share who take turns."""
NAME_LENGTH = len("GPU-12345678")
"""So much of a UUID tells GPUs apart."""
POLL_S = 0.2
"""How often a waiting worker looks: seldom, for looking is work on the machine that is measured."""


@dataclass(frozen=True)
class Gpu:
    """A GPU or MIG instance."""

    uuid: str
    """As ``CUDA_VISIBLE_DEVICES`` takes it."""
    board: str
    """Its name in the environment's context, which does not give the UUID away."""


@dataclass(frozen=True)
class Claim:
    """A worker's GPU."""

    gpu: Gpu
    lock: FileLock | None
    """Held as long as this value lives; ``None`` where the GPU is another worker's as well."""


def claim_gpu(gpus: Sequence[Gpu], worker: int, folder: Path) -> Claim:
    """Take one of ``gpus``: one that no other worker has, else one to share.

    Args:
        gpus: At least one.
        worker: The worker's number, from 0: workers that start together then get the GPUs in
            their order.
        folder: Where the locks are; see :func:`lock_folder`.

    Raises:
        UsageError: There can be no locks in that folder.
    """
    start = worker % len(gpus)
    for gpu in (*gpus[start:], *gpus[:start]):
        lock = _lock(folder, gpu.board, "claim")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        except OSError as error:
            raise _unusable(folder, error) from None
        return Claim(gpu, lock)
    return Claim(gpus[start], None)


@contextmanager
def turn(boards: Iterable[str], folder: Path) -> Iterator[None]:
    """A stretch in which nobody else with these locks uses the boards; waits for it.

    Raises:
        UsageError: There can be no locks in that folder.
    """
    with ExitStack() as stack:
        try:
            for board in sorted(boards):  # one order for all, or two could wait for ever
                stack.enter_context(_lock(folder, board, "turn"))
        except OSError as error:
            raise _unusable(folder, error) from None
        yield


def boards_of(meter: Meter | None) -> tuple[str, ...]:
    """What has to itself whoever measures with ``meter``; without one nothing is disturbed."""
    if meter is None:
        return ()
    told = meter.environment.context.get("board")
    gpus = [str(board) for board in told] if isinstance(told, list) else []
    only_gpus = gpus and all(channel.startswith("gpu") for channel in meter.channels)
    return tuple(gpus) if only_gpus else (*gpus, PROCESSORS)


def visible_gpus(named: Sequence[str] | None) -> tuple[Gpu, ...]:
    """The GPUs that this process may measure; none where NVML does not say.

    Args:
        named: As the user names them; ``None`` for what ``CUDA_VISIBLE_DEVICES`` shows.
    """
    from pytest_energy.meters.base import MeterUnavailableError
    from pytest_energy.meters.nvml import devices as selection
    from pytest_energy.meters.nvml import driver as library
    from pytest_energy.meters.nvml import identity

    try:
        library.start()
    except MeterUnavailableError:
        return ()
    try:
        devices = selection.select_devices(named)
    except (MeterUnavailableError, UsageError, library.SensorError):
        return ()  # whoever opens the meter is told why
    finally:
        library.stop()
    return tuple(Gpu(device.candidate.uuid, identity.board_hash(device)) for device in devices)


def show_only(named: Sequence[str] | None) -> None:
    """Let CUDA show to this process, and to those it starts, just the GPUs that the user names.

    Raises:
        UsageError: CUDA is in use in this process already, and shows others.
    """
    from pytest_energy.meters.nvml.processes import uses_cuda

    gpus = visible_gpus(named) if named else ()
    if not gpus:
        return  # none are named; or, whoever opens the meter is told why there are none
    shown = ",".join(gpu.uuid for gpu in gpus)
    if uses_cuda() and set(gpus) != set(visible_gpus(None)):
        raise UsageError(
            f"--energy-devices={','.join(named or ())}: CUDA is in use in this process already and"
            " shows other GPUs, on which the models would run; let no conftest or plugin use CUDA"
            f" before the tests, or start pytest with CUDA_VISIBLE_DEVICES={shown}"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = shown


def names_of(boards: object, named: Sequence[str] | None) -> tuple[str, ...]:
    """What ``--energy-devices`` takes for each of the boards, in their order.

    Args:
        boards: The environment's context has them where GPUs are measured.
        named: As for :func:`visible_gpus`.

    Returns:
        The beginning of each one's UUID; nothing where one of them is not known.
    """
    short = {gpu.board: gpu.uuid[:NAME_LENGTH] for gpu in visible_gpus(named)} if boards else {}
    found = [short.get(str(board)) for board in boards] if isinstance(boards, list) else []
    return tuple(name for name in found if name) if all(found) else ()


def lock_folder() -> Path:
    """The folder of the locks: that of this machine's user, unless :data:`LOCKS` names another.

    Raises:
        UsageError: It is not there and cannot be made.
    """
    given = os.environ.get(LOCKS)
    folder = Path(given or Path(tempfile.gettempdir()) / f"pytest-energy-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from None
    return folder


def _unusable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{folder}: no folder for the locks by which sessions take turns"
        f" ({error.strerror or error}); name another one by {LOCKS}"
    )


def _lock(folder: Path, board: str, kind: str) -> FileLock:
    return FileLock(folder / f"{board}.{kind}", poll_interval=POLL_S)
