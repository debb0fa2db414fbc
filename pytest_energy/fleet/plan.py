"""What a fleet is to run, and how far it is: the files of a run's folder.

::

    .energy/fleet/20261129-091500/
      plan.json          written once
      state.json         replaced at each change
      h100-1.json        the results of a shard that has finished
      h100-1.txt         the end of its output
      engine/            what the engine remembers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import ConfigDict, Field

from pytest_energy.errors import UsageError
from pytest_energy.fleet.collection import Suite
from pytest_energy.fleet.durations import Durations, expected_durations
from pytest_energy.fleet.engine import Task
from pytest_energy.fleet.sharding import divide
from pytest_energy.model.files import is_there, list_folder, make_folder, write_atomically
from pytest_energy.model.json_files import dump_line, load_run, parse_json, read_utf8
from pytest_energy.model.measurement import Record
from pytest_energy.model.result import Run
from pytest_energy.settings import OUTPUT_FOLDER

SCHEMA: Final = "pytest-energy/fleet/1"
RUNS: Final = OUTPUT_FOLDER / "fleet"
"""The folder of all runs."""
ATTEMPTS: Final = 2
"""A shard that dies is run once more."""
R = TypeVar("R", bound=Record)


class Shard(Record):
    """Some modules on one card."""

    name: str
    accelerator: str
    arguments: list[str]
    """Of pytest: the modules, or the tests of them that were asked for."""
    tests: int
    expected_s: float | None = None
    """Seconds of its windows, by an earlier run."""


class Plan(Record):
    """What a fleet is to run."""

    model_config = ConfigDict(populate_by_name=True)

    schema_name: Literal["pytest-energy/fleet/1"] = Field(SCHEMA, alias="schema")
    created: str
    """UTC, ISO 8601, ending in ``Z``."""
    project: str
    """The root of the project, which every machine needs: an absolute path."""
    folder: str
    """Where pytest runs, relative to the project."""
    root: str
    """Pytest's root folder, relative to ``folder``."""
    options: list[str]
    """Of pytest."""
    environment: dict[str, str] = Field(default_factory=dict)
    engine: str
    engine_options: dict[str, str] = Field(default_factory=dict)
    shards: list[Shard]

    def task(self, shard: Shard) -> Task:
        """The task of a shard."""
        arguments = (*self.options, *shard.arguments)
        return Task(
            shard.name, shard.accelerator, arguments, self.folder, self.root, self.environment
        )

    @property
    def accelerators(self) -> list[str]:
        """The kinds of card, as the user named them."""
        return list(dict.fromkeys(shard.accelerator for shard in self.shards))


class ShardState(Record):
    """How far a shard is."""

    state: Literal["waiting", "running", "finished", "failed"] = "waiting"
    """``failed``: it died as often as it may."""
    attempts: int = 0
    """How often it has begun."""
    machine: str = ""
    """Where it ran last."""
    began_s: float | None = None
    """Seconds since the epoch."""
    ended_s: float | None = None
    exit_status: int | None = None
    """Of pytest."""
    reason: str = ""
    """Why it died last."""

    @property
    def has_ended(self) -> bool:
        """Whether it will not run again by itself."""
        return self.state in ("finished", "failed")

    def duration_s(self, now_s: float) -> float | None:
        """Seconds that it has run the last time; ``None`` if it waits."""
        if self.state == "waiting" or self.began_s is None:
            return None
        return (now_s if self.ended_s is None else self.ended_s) - self.began_s


class State(Record):
    """How far all shards are."""

    model_config = ConfigDict(populate_by_name=True)

    schema_name: Literal["pytest-energy/fleet/1"] = Field(SCHEMA, alias="schema")
    shards: dict[str, ShardState] = Field(default_factory=dict)

    def of(self, shard: str) -> ShardState:
        """How far a shard is."""
        return self.shards.get(shard, ShardState())

    def changed(self, shard: str, **changes: object) -> State:
        """The state with some facts of a shard replaced."""
        state = self.of(shard).model_copy(update=changes)
        return State(shards={**self.shards, shard: state})

    def interrupted(self) -> State:
        """The state if no process runs the fleet: what had begun must begin again."""
        begun = [name for name, shard in self.shards.items() if shard.state == "running"]
        return reduce(lambda state, name: state.changed(name, state="waiting"), begun, self)


def make_shards(
    suite: Suite, accelerators: Mapping[str, int], durations: Durations, folder: Path
) -> list[Shard]:
    """Divide a suite among the cards of each kind; each kind runs all of it.

    Args:
        suite: The suite.
        accelerators: The number of cards by kind.
        durations: Seconds of an earlier run.
        folder: Where pytest will run.
    """
    modules = suite.modules()
    shards = []
    for accelerator, cards in accelerators.items():
        expected_s = expected_durations(modules, durations, accelerator)
        for number, names in enumerate(divide(expected_s or modules, cards), 1):
            shards.append(
                Shard(
                    name=f"{accelerator.lower()}-{number}",
                    accelerator=accelerator,
                    arguments=[item for name in names for item in suite.arguments(name, folder)],
                    tests=sum(modules[name] for name in names),
                    expected_s=sum(expected_s[name] for name in names) if expected_s else None,
                )
            )
    return shards


@dataclass(frozen=True)
class RunFolder:
    """The files of one run of a fleet."""

    path: Path

    @classmethod
    def new(cls, created: str) -> RunFolder:
        """A folder for a run that begins at ``created``; nothing is written yet."""
        name = re.sub(r"[-:Z]|\.[0-9]+", "", created).replace("T", "-")
        paths = (RUNS / name, *(RUNS / f"{name}-{number}" for number in range(2, 1000)))
        return cls(next(path for path in paths if not is_there(path)))

    @classmethod
    def find(cls, name: str | None) -> RunFolder:
        """The folder of the run called ``name``; without a name that of the newest.

        Raises:
            UsageError: There is none.
        """
        names = [path.name for path in list_folder(RUNS)] if is_there(RUNS) else []
        runs = sorted(run for run in names if is_there(RUNS / run / "plan.json"))
        if not runs:
            raise UsageError(f"no run of a fleet in {RUNS}; start one with pytest-energy fleet run")
        if name is not None and name not in runs:
            raise UsageError(f"no run {name!r} in {RUNS}; there are {', '.join(runs[-5:])}")
        return cls(RUNS / (name or runs[-1]))

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.name

    @property
    def lock(self) -> Path:
        """The file that the process which runs the fleet has locked."""
        return self.path / "lock"

    @property
    def engine(self) -> Path:
        """The folder of the engine."""
        return self.path / "engine"

    def results(self, shard: str) -> Path:
        """The results file of a shard; it exists only if the shard has finished."""
        return self.path / f"{shard}.json"

    def partial(self, shard: str) -> Path:
        """What a shard that died as often as it may had found the last time."""
        return self.path / f"{shard}.partial.json"

    def output(self, shard: str) -> Path:
        """The end of the output of a shard."""
        return self.path / f"{shard}.txt"

    def save_plan(self, plan: Plan) -> None:
        """Write the plan."""
        make_folder(self.path)
        write_atomically(self.path / "plan.json", dump_line(plan, indent=1))

    def save_state(self, state: State) -> None:
        """Write the state."""
        write_atomically(self.path / "state.json", dump_line(state, indent=1))

    def load_plan(self) -> Plan:
        """Read the plan.

        Raises:
            FileFormatError: It is none.
        """
        return _load(self.path / "plan.json", Plan)

    def load_state(self) -> State:
        """Read the state; of a run that has not begun, that nothing has run.

        Raises:
            FileFormatError: It is none.
        """
        path = self.path / "state.json"
        return _load(path, State) if is_there(path) else State()

    def load_results(self, plan: Plan) -> dict[str, Run]:
        """The results by shard; a shard whose tests measure nothing has none."""
        files = {
            shard.name: path
            for shard in plan.shards
            for path in (self.results(shard.name), self.partial(shard.name))
            if is_there(path)
        }
        return {name: load_run(path) for name, path in files.items()}


def _load(path: Path, model: type[R]) -> R:
    expected = "a file of a fleet's run"
    return parse_json(read_utf8(path, expected), model, path, expected, SCHEMA)
