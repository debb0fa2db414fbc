"""Locks on devices: each worker reserves a GPU, and energy windows on one device never overlap.

There are two kinds of lock. The operating system releases both when their process ends, so a
killed worker leaves none behind.

- A *reservation* of a GPU lasts as long as its worker.
- A *device lock* lasts as long as one benchmark. If there are more workers than GPUs, or several
  sessions on one machine, each benchmark waits until its devices are free.

All processors share one device lock, because no meter can tell apart what several workers run on
them at the same time. The locks work between the processes of one user; the processes of other
users on a GPU are detected by the meter.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from json import dumps, loads  # a test may replace json.dumps
from pathlib import Path

from filelock import FileLock, Timeout

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Meter
from pytest_energy.model.files import REAL, read_bytes, remove
from pytest_energy.report.numbers import rough

PROCESSORS = "processors"
"""The name of the lock that all processors of this machine share."""
LOCK_FOLDER_VARIABLE = "PYTEST_ENERGY_LOCKS"
"""Environment variable that names another folder for the locks: one of its own for sessions that
share no device with others, such as those on simulated machines, or one for several users who
share devices."""
SHORT_UUID_LENGTH = len("GPU-12345678")
"""This many characters of a UUID distinguish the GPUs of a machine."""
POLL_S = 0.2
"""How often a waiting worker tries again: seldom, since a try is work on the measured machine."""


@dataclass(frozen=True)
class Gpu:
    """A GPU or MIG instance."""

    uuid: str
    """As ``CUDA_VISIBLE_DEVICES`` accepts it."""
    board: str
    """A hash of the UUID, as in the context of the environment, which must not reveal the UUID."""


@dataclass(frozen=True)
class Reservation:
    """The GPU of one worker."""

    gpu: Gpu
    lock: FileLock | None
    """Held while this value lives; ``None`` if other workers use the GPU as well."""


def reserve_gpu(gpus: Sequence[Gpu], worker: int, folder: Path) -> Reservation:
    """Reserve a GPU that no other worker has reserved; if there is none, share one.

    Args:
        gpus: At least one.
        worker: The number of the worker, from 0. Workers that start together get the GPUs in order.
        folder: The folder of the locks, see :func:`lock_folder`.

    Raises:
        UsageError: The folder cannot hold locks.
    """
    start = worker % len(gpus)
    for gpu in (*gpus[start:], *gpus[:start]):
        lock = _lock(folder, gpu.board, "reservation")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        except OSError as error:
            raise unusable(folder, error) from None
        return Reservation(gpu, lock)
    return Reservation(gpus[start], None)


@dataclass(frozen=True)
class Waiting:
    """How to wait for a lock, and what to call the test that waits for it and then holds it."""

    test: str = "no test yet"
    """What the process measures while it holds the lock."""
    say: Callable[[str], object] = lambda sentence: None
    """Called if the wait is long."""
    limit_s: float | None = None
    """The longest wait; ``None`` for any."""
    show: Callable[[str], object] = lambda state: None
    """Called every few seconds of a long wait with its state; at its end with an empty text."""


SILENT_S = 5.0
"""A wait that is longer is said, and its state is shown as often: drawing it is work, too."""
PATIENTLY = Waiting()


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, for those who wait for it."""

    pid: int
    test: str
    ends: float | None = None
    """When its test is expected to end, in seconds since the epoch, if that is known."""
    at_most: bool = False
    """Whether that is when its limits end it, as those of a comparison."""

    @classmethod
    def read(cls, file: Path) -> Holder | None:
        """The holder in a file; ``None`` if it has just left, or is of another version."""
        try:
            return cls(**loads(read_bytes(file)))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Write the holder into a file, at each test; :meth:`read` bears a half-written one."""
        with REAL.open(file, "wb") as opened:
            opened.write(dumps(vars(self)).encode())

    def __str__(self) -> str:
        return f"PID {self.pid}, {self.test}"


@dataclass(frozen=True)
class HeldLocks:
    """The locks that this process holds."""

    holder: Holder
    files: list[Path]
    """Where those who wait read the holder."""
    _latest: dict[str, float] = field(default_factory=dict)
    """By card: when its limits end its part, in seconds since the epoch."""

    def expect(self, duration_s: float) -> None:
        """Tell those who wait how long the test will take; a shorter wait is not shown."""
        if duration_s >= SILENT_S:
            self._publish(replace(self.holder, ends=CLOCK.time() + duration_s))

    def expect_at_most(self, card: str, duration_s: float) -> None:
        """Tell those who wait when the limits of a comparison end it on all of its cards."""
        self._latest[card] = CLOCK.time() + duration_s
        self._publish(replace(self.holder, ends=max(self._latest.values()), at_most=True))

    def _publish(self, holder: Holder) -> None:
        for file in self.files:
            with suppress(OSError):  # a full disk, or no folder any more, fails no test
                holder.write(file)


@contextmanager
def device_lock(
    names: Iterable[str],
    folder: Path,
    waiting: Waiting = PATIENTLY,
    made: dict[Path, FileLock] | None = None,
) -> Iterator[HeldLocks]:
    """Wait until no other process holds the locks with these names, then hold them.

    Args:
        names: See :func:`lock_names`.
        folder: The folder of the locks, see :func:`lock_folder`.
        waiting: How to wait.
        made: Locks by file that the caller has held before, and that are taken again.

    Yields:
        The locks.

    Raises:
        UsageError: The folder cannot hold locks, or the wait was too long.
    """
    held = HeldLocks(Holder(os.getpid(), waiting.test), [])
    with ExitStack() as stack:
        try:
            # Every process takes the locks in the same order. Otherwise two processes could each
            # hold a lock that the other one waits for, and neither would go on.
            for name in sorted(names):
                lock = _lock(folder, name, "device", made)
                file = folder / f"{name}.holder"
                _await(lock, file, waiting)
                stack.callback(lock.release)
                held.holder.write(file)
                stack.callback(remove, file)
                held.files.append(file)
        except OSError as error:
            raise unusable(folder, error) from None
        yield held


def _await(lock: FileLock, file: Path, waiting: Waiting) -> None:
    """Take a lock, and say who has it if that takes long.

    Raises:
        UsageError: The wait was too long.
    """
    limit_s = math.inf if waiting.limit_s is None else waiting.limit_s
    # Not filelock's own timeout: its clock may be frozen by a fixture of a whole module.
    began_s = CLOCK.monotonic()
    next_s = SILENT_S
    while not _is_free(lock):
        waited_s = CLOCK.monotonic() - began_s
        if waited_s >= limit_s:
            raise UsageError(
                f"another session still measures the device ({Holder.read(file) or 'not known'})"
                f" after --energy-wait-lock={limit_s:g} seconds; wait until it has ended, or allow"
                " more time"
            )
        if waited_s >= next_s:
            holder = Holder.read(file)
            if next_s == SILENT_S:
                owner = holder or "not known"
                waiting.say(f"waiting for a device that another session measures ({owner})")
            waiting.show(state_of_wait(holder, waited_s))
            next_s += SILENT_S
        CLOCK.sleep(POLL_S)
    if next_s > SILENT_S:
        waiting.show("")


def _is_free(lock: FileLock) -> bool:
    """Take a lock if nobody else holds it."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def state_of_wait(holder: Holder | None, waited_s: float) -> str:
    """``waiting for PID 4711: 2 min, about 4 min left · test_it.py::test_other``.

    Of a comparison the longest time is known: ``at most 20 min left``.
    """
    if holder is None:
        return f"waiting for another session: {rough(waited_s)}"
    how = "at most" if holder.at_most else "about"
    left = f", {how} {rough(max(0.0, holder.ends - CLOCK.time()))} left" if holder.ends else ""
    return f"waiting for PID {holder.pid}: {rough(waited_s)}{left} · {holder.test}"


def lock_names(meter: Meter | None) -> tuple[str, ...]:
    """Return the names of the locks that a measurement with ``meter`` must hold."""
    if meter is None:
        return ()
    boards = meter.environment.context.get("board")
    gpus = [str(board) for board in boards] if isinstance(boards, list) else []
    only_gpus = gpus and all(channel.startswith("gpu") for channel in meter.channels)
    return tuple(gpus) if only_gpus else (*gpus, PROCESSORS)


def visible_gpus(selected: Sequence[str] | None) -> tuple[Gpu, ...]:
    """Return the GPUs that this process may measure; none if NVML cannot list them.

    Args:
        selected: The GPUs of ``--energy-devices``; ``None`` for those that
            ``CUDA_VISIBLE_DEVICES`` shows.
    """
    from pytest_energy.meters.base import MeterUnavailableError
    from pytest_energy.meters.nvml import driver as library
    from pytest_energy.meters.nvml.devices import identity, selection

    try:
        library.start()
    except MeterUnavailableError:
        return ()
    try:
        devices = selection.select_devices(selected)
    except (MeterUnavailableError, UsageError, library.SensorError):
        return ()  # opening the meter meets the same error and reports it
    finally:
        library.stop()
    return tuple(Gpu(device.candidate.uuid, identity.board_hash(device)) for device in devices)


def show_only(selected: Sequence[str] | None) -> None:
    """Make CUDA show only the selected GPUs to this process and to those that it starts.

    Args:
        selected: The GPUs of ``--energy-devices``; ``None`` changes nothing.

    Raises:
        UsageError: This process has already initialized CUDA with other GPUs.
    """
    from pytest_energy.meters.nvml.devices.processes import uses_cuda

    gpus = visible_gpus(selected) if selected else ()
    if not gpus:
        return  # none are selected, or opening the meter reports why none can be used
    shown = ",".join(gpu.uuid for gpu in gpus)
    # CUDA reads the variable once, when a process initializes it.
    if uses_cuda() and set(gpus) != set(visible_gpus(None)):
        raise UsageError(
            f"--energy-devices={','.join(selected or ())}: this process has already initialized"
            " CUDA with other GPUs, and the models would run on those; keep conftest files and"
            " plugins from using CUDA before the tests, or start pytest with"
            f" CUDA_VISIBLE_DEVICES={shown}"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = shown


def device_names(boards: object, selected: Sequence[str] | None) -> tuple[str, ...]:
    """Return a name for each board that ``--energy-devices`` accepts, in the order of the boards.

    Args:
        boards: The boards in the context of the environment, if GPUs are measured.
        selected: As for :func:`visible_gpus`.

    Returns:
        The beginning of each UUID; nothing if one of the boards is unknown.
    """
    if not isinstance(boards, list) or not boards:
        return ()
    uuids = {gpu.board: gpu.uuid[:SHORT_UUID_LENGTH] for gpu in visible_gpus(selected)}
    if not set(map(str, boards)) <= uuids.keys():
        return ()
    return tuple(uuids[str(board)] for board in boards)


def lock_folder(variable: str = LOCK_FOLDER_VARIABLE) -> Path:
    """Return the folder of the locks; by default that of the current user on this machine.

    Args:
        variable: The variable of the environment that names another folder.

    Raises:
        UsageError: The folder does not exist and cannot be created.
    """
    # Windows has no numbers of users, and a folder for temporary files for each user.
    user = os.getuid() if hasattr(os, "getuid") else "locks"
    default = Path(tempfile.gettempdir()) / f"pytest-energy-{user}"
    folder = Path(os.environ.get(variable) or default)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from None
    return folder


def unusable(folder: Path, error: OSError) -> UsageError:
    """The error of a folder that cannot hold locks."""
    return UsageError(
        f"{folder}: cannot be the folder of the locks on measured devices"
        f" ({error.strerror or error}); name another folder in {LOCK_FOLDER_VARIABLE}"
    )


def _lock(folder: Path, name: str, kind: str, made: dict[Path, FileLock] | None = None) -> FileLock:
    path = folder / f"{name}.{kind}"
    if made is None:
        return FileLock(path)
    if path not in made:
        made[path] = FileLock(path)
    return made[path]
