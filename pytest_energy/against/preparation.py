"""The trees and environments of both sides, made once, and how to start a side from them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pytest_energy.against.blocks import Pair
from pytest_energy.against.folders import session_folder
from pytest_energy.against.gone import gone_tests
from pytest_energy.against.side import LOG_LINES, RunningSides, SidePlan
from pytest_energy.against.trees import Reference, Tree, overlay, within, worktree
from pytest_energy.errors import UsageError
from pytest_energy.model.comparison import SideName
from pytest_energy.settings import Settings

OWN_ENVIRONMENT: Final = ".venv"
"""What the command of ``--energy-against-setup`` makes in a tree to give it an environment."""


@dataclass(frozen=True)
class Session:
    """What the sides take over from the session that starts them."""

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
class Preparation:
    """Makes the trees and their environments when a side is first needed; :meth:`close` ends it."""

    settings: Settings
    reference: Reference
    session: Session
    running: RunningSides = field(default_factory=RunningSides)
    """Of all sides that the plans start."""
    gone: list[str] = field(default_factory=list)
    """The benchmarks that exist on the reference only, known once the trees are made."""
    replaced: list[Path] = field(default_factory=list)
    """The test files that the reference has with another content, known with ``gone``."""
    _leave: ExitStack = field(default_factory=ExitStack)
    _trees: tuple[Tree, Tree] | None = None

    def pair(self, gpu: str | None = None) -> Pair:
        """How to start base and head.

        Args:
            gpu: The UUID of the only GPU that both see; ``None`` for those of the session.

        Raises:
            UsageError: A tree or its environment cannot be made.
            EnergyError: git fails.
        """
        if self._trees is None:
            self._trees = self._make_trees()
        base, head = self._trees
        return Pair(self._plan("base", base, head, gpu), self._plan("head", head, base, gpu))

    def close(self) -> None:
        """End what still runs, and remove the trees."""
        self.running.stop()
        self._leave.close()

    def _make_trees(self) -> tuple[Tree, Tree]:
        top = self.reference.repository
        base = Tree(self._leave.enter_context(worktree(self.reference)), top)
        head = Tree(top, top)
        for tree in dict.fromkeys((base, head)):
            self._set_up(tree)
        session = self.session
        self.gone += gone_tests(base, session.tests, session.places, session.file_names)
        self.replaced += overlay(base, session.tests, session.configuration)
        return base, head

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

    def _plan(self, name: SideName, tree: Tree, other: Tree, gpu: str | None) -> SidePlan:
        own = self._own_environment(tree, tree if name == "base" else other)
        python = str(own / "bin" / "python") if own else sys.executable
        if name == "base" and self.settings.against_python:
            python, own = str(self.settings.against_python), None
        folder = self._leave.enter_context(session_folder("side"))
        session = self.session
        start = tree.place(session.started_in)
        shown = {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
        return SidePlan(
            name=name,
            python=python,
            environment=own,
            tree=tree.folder,
            other=other.folder,
            folder=start if start.is_dir() else tree.folder,
            paths=tree.import_paths(session.search),
            arguments=(
                *session.arguments(tree, folder),
                *((f"--energy-devices={gpu}",) if gpu else ()),
            ),
            variables=_variables(tree, os.environ) | shown,
            timeout_s=self.settings.against_timeout,
            running=self.running,
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


def _variables(tree: Tree, environment: Mapping[str, str]) -> dict[str, str]:
    """Without places of the working tree in ``PYTHONPATH``: the side's own paths replace them."""
    kept = [
        entry
        for entry in environment.get("PYTHONPATH", "").split(os.pathsep)
        if entry and not within(Path(entry).resolve(), tree.repository)
    ]
    variables = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return variables | ({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})
