"""The protocol of what runs shards somewhere, and how an engine is found by its name.

A third party adds an engine through the entry-point group ``pytest_energy.engines``. The entry
point names a callable ``open_engine(request: EngineRequest) -> Engine``. It raises a
:class:`~pytest_energy.errors.UsageError` for an option that it does not know.

An engine runs :func:`pytest_energy.fleet.shard.run_shard` once for each task, on a machine that has
the accelerator of the task, with nothing else on that card. It reports when a task starts, and its
outcome as soon as it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol

from pytest_energy.errors import UsageError
from pytest_energy.session.collection import NO_TESTS

GROUP: Final = "pytest_energy.engines"
FAILED: Final = 1
"""pytest's exit status if a test fails."""
ENDED: Final = (0, FAILED, NO_TESTS)
"""pytest's exit statuses of a session that came to its end."""
EXTRAS: Final[Mapping[str, str]] = {"ray": "ray", "slurm": "slurm"}
"""The extra of this package that an engine needs."""


@dataclass(frozen=True)
class Task:
    """One shard on one accelerator."""

    shard: str
    accelerator: str
    """The name that the user gave, such as ``H100``."""
    arguments: tuple[str, ...]
    """Of pytest."""
    folder: str = "."
    """Where pytest runs, relative to the root of the project."""
    root: str = "."
    """Pytest's root folder, relative to that folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for pytest, where the machine does not have them."""


@dataclass(frozen=True)
class Started:
    """A task has begun."""

    shard: str
    machine: str
    """Where, in words."""


@dataclass(frozen=True)
class Outcome:
    """A task has ended."""

    shard: str
    exit_status: int | None = None
    """Of pytest; ``None`` if its process or its machine died."""
    results: str | None = None
    """The text of the results file; that of a shard that died has what it had found."""
    output: str = ""
    """The end of what pytest printed."""
    reason: str = ""
    """Why it died."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts of the baselines that it accepted, by path relative to pytest's root folder."""

    @property
    def finished(self) -> bool:
        """Whether the session of the shard came to its end, with a verdict or without tests."""
        return self.exit_status in ENDED


@dataclass(frozen=True)
class EngineRequest:
    """What an engine gets."""

    root: Path
    """The root of the project, which every machine needs."""
    folder: Path
    """A folder for what the engine must remember of this run; it need not exist."""
    options: Mapping[str, str] = field(default_factory=dict)
    """From ``--engine-option NAME=VALUE``."""

    def refuse_unknown(self, engine: str, *names: str) -> None:
        """Raise a UsageError for an option that is none of ``names``."""
        if unknown := sorted(self.options.keys() - set(names)):
            raise UsageError(
                f"--engine-option {unknown[0]}: the engine {engine!r} knows {', '.join(names)}"
            )


class Engine(Protocol):
    """Runs shards."""

    def check(self, accelerators: Sequence[str]) -> None:
        """Check, before anything runs, that each accelerator exists.

        Raises:
            UsageError: One does not; the text names those that do.
        """

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks, each for one card of its accelerator.

        A task that an earlier process of this run submitted, and that is still queued, running or
        just ended, is taken over instead. The shard of a task that ended may be submitted again.
        """

    def poll(self, timeout_s: float) -> Sequence[Started | Outcome]:
        """What happened since the last call; waits up to ``timeout_s`` for something to happen."""

    def close(self) -> None:
        """Cancel all that is queued or running, wait until it has ended, and free everything."""


OpenEngine = Callable[[EngineRequest], Engine]


def engine_names() -> tuple[str, ...]:
    """The names of all engines, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find_engine(name: str) -> OpenEngine:
    """What opens the engine called ``name``.

    Raises:
        UsageError: There is none, or its package is missing.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        known = ", ".join(sorted(points))
        raise UsageError(f"--engine={name}: no such engine; choose one of {known}")
    try:
        opener: OpenEngine = points[name].load()
    except (ImportError, AttributeError) as error:
        remedy = "repair or uninstall its package"
        if extra := EXTRAS.get(name):
            remedy = f'install it: pip install "pytest-energy[{extra}]"'
        raise UsageError(f"--engine={name} cannot be loaded ({error}); {remedy}") from None
    return opener
