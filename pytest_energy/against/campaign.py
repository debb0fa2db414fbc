"""A whole comparison: its trees and environments, then block after block."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from pytest_energy.against.blocks import Pair, walk, walk_alone
from pytest_energy.against.comparing import Comparing
from pytest_energy.against.gone import gone_tests
from pytest_energy.against.messages import SideRun, Started
from pytest_energy.against.side import LOG_LINES, SideFailedError, SidePlan
from pytest_energy.against.trees import Reference, Tree, overlay, within, worktree
from pytest_energy.errors import UsageError
from pytest_energy.model.comparison import SideName
from pytest_energy.model.measurement import Measurement
from pytest_energy.model.result import Result
from pytest_energy.settings import Settings

OWN_ENVIRONMENT: Final = ".venv"
"""What the command of ``--energy-against-setup`` makes in a tree to give it an environment."""


@dataclass(frozen=True)
class Session:
    """What the sides take over from the session that compares."""

    root: Path
    started_in: Path
    configuration: Path | None
    """The file with pytest's options."""
    tests: tuple[Path, ...]
    """The test files."""
    arguments: Callable[[Tree, Path], Sequence[str]]
    """The arguments of pytest for a side: its tree, and a folder for its files."""
    search: tuple[str, ...]
    """``sys.path``."""
    places: tuple[Path, ...] = ()
    """The files and folders that were to be collected."""
    file_names: tuple[str, ...] = ()
    """The patterns of test files."""


@dataclass
class Campaign:
    """Runs blocks until everything is decided, or a limit is reached."""

    settings: Settings
    reference: Reference
    session: Session
    comparing: Comparing
    draw: Random
    show: Callable[[str], object] = lambda text: None
    """Takes the line of progress."""
    clock: Callable[[], float] = time.monotonic
    _leave: ExitStack = field(default_factory=ExitStack)
    _pair: Pair | None = None
    _controls: list[str] | None = None
    _whole_runs: set[str] = field(default_factory=set)
    _began_s: float | None = None
    _spent_s: float = 0.0
    """In all blocks so far."""
    _walked: int = 0
    """Tests in all blocks so far."""

    @property
    def settled(self) -> bool:
        """Whether no further block is needed."""
        comparing = self.comparing
        begun = self._began_s is not None
        return begun and not comparing.open_tests and not comparing.open_controls

    def screen(
        self,
        tests: Sequence[str],
        baselines: Path,
        judge: Callable[[Measurement], Result],
        keep: Callable[[Result], object],
    ) -> None:
        """Measure the head alone; whatever the committed baselines call unchanged is decided.

        Args:
            tests: Those that have a baseline.
            baselines: The folder of the baselines.
            judge: The verdict of a baseline.
            keep: Takes each verdict, first as soon as there is one.

        Raises:
            UsageError: A tree or a side cannot be made, or imports the wrong tree.
            EnergyError: git fails.
        """
        pair, comparing = self.prepare(), self.comparing
        arguments = (*pair.head.arguments, f"--energy-baselines={baselines}")
        plan = replace(pair.head, arguments=arguments, alternates=False)

        def take(test: str, done: SideRun | SideFailedError) -> None:
            comparing.take_screening(test, done)
            for measured in comparing.states[test].screening:
                keep(judge(measured))

        number = count(1)

        def watch(test: str) -> None:
            self.show(f"screening {next(number)} of {len(tests)} by the baselines · {test}")

        walk_alone(plan, tests, take, watch)
        # Only now is it known what the whole suite has in common.
        for result in comparing.screen(judge):
            keep(result)

    def next_block(self) -> list[Result]:
        """Measure one block, and look.

        Returns:
            The results that it settled.

        Raises:
            UsageError: A tree or a side cannot be made, or imports the wrong tree.
            EnergyError: git fails.
        """
        pair, comparing = self.prepare(), self.comparing
        comparing.block += 1
        before_s = self.clock()
        tests = comparing.open_tests
        walk(pair, tests, self._whole_runs, self.draw, comparing.take, self._watch)
        self._walk_controls(pair)
        self._spent_s += self.clock() - before_s
        self._walked += len(tests)
        self._count_permitted_blocks()
        return comparing.look(last=self._limit())

    def _walk_controls(self, pair: Pair) -> None:
        comparing = self.comparing
        if self._controls is None:
            self._controls = tests = comparing.choose_controls(self.draw)
        else:
            tests = comparing.open_control_tests
        bases = Pair(pair.base, pair.base)
        walk(
            bases,
            tests,
            self._whole_runs,
            self.draw,
            lambda test, done: comparing.take_control(done, test),
            lambda test: self._watch(f"control {test}"),
        )

    def _count_permitted_blocks(self) -> None:
        """Count the blocks that the limit of time permits if every test stays open."""
        limit_s = self.settings.against_time
        if limit_s is None or not self._walked:
            return
        block_s = self._spent_s / self._walked * len(self.comparing.states)
        # A block that has begun is finished.
        in_time = math.ceil(limit_s / block_s) if block_s > 0 else self.settings.against_blocks
        self.comparing.permitted_blocks = min(self.settings.against_blocks, in_time)

    def _limit(self) -> str | None:
        """Why no block may follow."""
        if self.comparing.block >= self.settings.against_blocks:
            return f"the limit of {self.settings.against_blocks} blocks (--energy-against-blocks)"
        limit_s = self.settings.against_time
        if limit_s is not None and self.clock() - (self._began_s or 0.0) >= limit_s:
            return f"the time limit of {limit_s:g} s (--energy-against-time)"
        return None

    def _watch(self, test: str) -> None:
        """Show block, benchmark, what is decided and how long it takes."""
        comparing = self.comparing
        total, left = len(comparing.states), len(comparing.open_tests)
        parts = [
            f"block {comparing.block} of at most {self.settings.against_blocks}",
            f"{total - left} of {total} decided",
        ]
        if self._walked:
            block_s = self._spent_s / self._walked * left
            most_s = block_s * (self.settings.against_blocks - comparing.block + 1)
            parts.append(f"{_minutes(block_s)} a block, at most {_minutes(most_s)} left")
        self.show(" · ".join([*parts, test]))

    def close(self) -> None:
        """Remove the trees."""
        self._leave.close()

    # ---- trees and environments ----

    def prepare(self) -> Pair:
        """Make the trees and the environments, once.

        Raises:
            UsageError: A tree or its environment cannot be made.
            EnergyError: git fails.
        """
        if self._began_s is None:
            self._began_s = self.clock()
        if self._pair is None:
            self._pair = self._make_pair()
        return self._pair

    def _make_pair(self) -> Pair:
        self.show("preparing the base's tree")
        top = self.reference.repository
        base = Tree(self._leave.enter_context(worktree(self.reference)), top)
        head = Tree(top, top)
        for tree in dict.fromkeys((base, head)):
            self._set_up(tree)
        session = self.session
        for test in gone_tests(base, session.tests, session.places, session.file_names):
            self._note_gone(test)
        overlay(base, session.tests, session.configuration)
        return Pair(
            self._plan("base", base, head), self._plan("head", head, base), self._check_start
        )

    def _set_up(self, tree: Tree) -> None:
        command = self.settings.against_setup
        if command is None:
            return
        done = subprocess.run(
            command,
            shell=True,
            cwd=tree.folder,
            # The session's own environment must not be taken for that of the tree.
            env={k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            ending = "\n".join(done.stdout.rstrip().splitlines()[-LOG_LINES:])
            raise UsageError(
                f"--energy-against-setup={command}: status {done.returncode} in {tree.folder}:"
                f"\n{ending}"
            )

    def _plan(self, name: SideName, tree: Tree, other: Tree) -> SidePlan:
        own = self._own_environment(tree, tree if name == "base" else other)
        python = str(own / "bin" / "python") if own else sys.executable
        if name == "base" and self.settings.against_python:
            python, own = str(self.settings.against_python), None
        folder = Path(self._leave.enter_context(TemporaryDirectory(prefix="pytest-energy-side-")))
        session = self.session
        start = tree.place(session.started_in)
        return SidePlan(
            name=name,
            python=python,
            environment=own,
            tree=tree.folder,
            other=other.folder,
            folder=start if start.is_dir() else tree.folder,
            paths=tree.import_paths(session.search),
            arguments=tuple(session.arguments(tree, folder)),
            variables=_variables(tree, os.environ),
            timeout_s=self.settings.against_timeout,
        )

    def _own_environment(self, tree: Tree, base: Tree) -> Path | None:
        """The environment that the command made; a fresh worktree shows whether it makes one."""
        if self.settings.against_setup is None:
            return None
        if not (base.folder / OWN_ENVIRONMENT / "bin" / "python").exists():
            return None
        own = tree.folder / OWN_ENVIRONMENT
        if not (own / "bin" / "python").exists():
            raise UsageError(
                f"--energy-against-setup: it made {OWN_ENVIRONMENT} in the base's tree, but not in"
                f" {tree.folder}; both sides need one"
            )
        return own

    def _check_start(self, base: Started, head: Started) -> None:
        comparing = self.comparing
        comparing.environments = (base.environment, head.environment)
        for test in sorted(set(base.tests) - set(head.tests)):
            self._note_gone(test)

    def _note_gone(self, test: str) -> None:
        self.comparing.notes[f"gone: {test} exists on {self.reference} only"] = None


def _variables(tree: Tree, environment: Mapping[str, str]) -> dict[str, str]:
    """Without places of the working tree in ``PYTHONPATH``: the side's own paths replace them."""
    kept = [
        entry
        for entry in environment.get("PYTHONPATH", "").split(os.pathsep)
        if entry and not within(Path(entry).resolve(), tree.repository)
    ]
    variables = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return variables | ({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})


def _minutes(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s < 100 else f"{duration_s / 60:.0f} min"
