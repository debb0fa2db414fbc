"""A git repository with a package and benchmarks, on a machine with a scripted meter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytest_energy.against.blocks import walk
from pytest_energy.against.comparing import Comparing, Rules
from pytest_energy.against.preparation import Preparation, Session
from pytest_energy.against.side import Side
from pytest_energy.against.trees import Tree, resolve
from pytest_energy.settings import Settings
from tests.plugin.scripted import install

BENCHMARK = """
import engine

def test_it(energy):
    energy(engine.run)
"""
ENGINE = """
from scripted_meter import work

def run():
    work({seconds})
"""
OPTIONS = (
    *("--energy", "--energy-meter=scripted", "--energy-passes=4", "--energy-scale=small"),
    "--energy-output=html:none",  # a quarter of the time of a short session; one test has the page
    *("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:xdist", "-p", "no:benchmark"),
)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class Repository:
    """A repository with one module, ``engine``, and a file of benchmarks."""

    def __init__(self, folder: Path, library: Path, package: str = "") -> None:
        self.folder = folder
        self.library = library
        self.package = package
        """The folder with the module: empty for a flat layout, or ``src``."""
        folder.mkdir()
        install(library)
        git(folder, "init", "--quiet", "--initial-branch=main")
        self.write("pytest.ini", f"[pytest]\npythonpath = {package or '.'}\n")
        self.write(".gitignore", "__pycache__\n.energy\n")
        self.write("benchmarks/test_it.py", BENCHMARK)
        self.engine(0.01)

    def write(self, name: str, text: str) -> None:
        """Write a file of the working tree."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def engine(self, seconds: float | str, more: str = "") -> None:
        """Write the module; a pass takes the scripted power for so many seconds."""
        self.write(f"{self.package}/engine.py".lstrip("/"), more + ENGINE.format(seconds=seconds))

    def commit(self, message: str = "a change") -> str:
        """Commit the working tree; return the commit."""
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.folder, "rev-parse", "HEAD").strip()

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in a process of its own."""
        with self.start(*arguments, **variables) as process:
            output, _ = process.communicate(timeout=900)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start pytest in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *OPTIONS, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.library), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def results(self) -> dict[str, Any]:
        """The results of the last run."""
        text = (self.folder / ".energy" / "results.json").read_text("utf-8")
        data: dict[str, Any] = json.loads(text)
        return data

    def benchmark(self, name: str = "test_it") -> dict[str, Any]:
        """The benchmark of that name in the results of the last run."""
        (found,) = [one for one in self.results()["benchmarks"] if one["id"].endswith(f"::{name}")]
        return dict(found)

    def outcome(self, name: str = "test_it") -> str:
        """The verdict on a benchmark in the last run."""
        return str(self.benchmark(name)["verdict"]["outcome"])

    def worktrees(self) -> list[str]:
        """The folders that git takes for trees of this repository."""
        lines = git(self.folder, "worktree", "list", "--porcelain").splitlines()
        return [line for line in lines if line.startswith("worktree ")]


TEST = "benchmarks/test_it.py::test_it"


def walk_once(
    repository: Repository,
    *tests: str,
    revision: str = "HEAD",
    whole_runs: set[str] | None = None,
    arguments: Sequence[str] = (),
    gpu: str | None = None,
    **options: Any,
) -> Comparing:
    """Measure a revision and the working tree in one block, without a session or controls.

    A whole session starts a dozen processes; this starts the two sides.

    Args:
        repository: With a commit.
        tests: Ids; by default :data:`TEST` only.
        revision: The base, as an option names it.
        whole_runs: Takes the tests of which whole runs alternated.
        arguments: Further ones of the sides.
        gpu: The UUID of the card that the sides are shown; all cards by default.
        options: Fields of the settings.
    """
    folder = repository.folder.resolve()
    reference = resolve(revision, folder)
    rules = Rules(reference, 1, lambda benchmark: {"energy_j": 0.05}, ("regressed",), 4)
    comparing = Comparing(tests or [TEST], rules)
    comparing.block = 1

    def of_side(tree: Tree, files: Path) -> list[str]:
        places = (f"--rootdir={tree.folder}", "-c", str(tree.folder / "pytest.ini"))
        results = f"--energy-output=json:{files / 'results.json'}"
        return [*OPTIONS, *arguments, *places, results, str(tree.folder / "benchmarks")]

    test_file = folder / "benchmarks" / "test_it.py"
    session = Session(folder, folder, folder / "pytest.ini", (test_file,), of_side, ())
    preparation = Preparation(Settings(**options), reference, session)
    turns = set() if whole_runs is None else whole_runs
    # In any environment the sides find pytest, this plugin and the meter.
    places = (repository.library, Path(pytest.__file__).parent.parent, Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
        try:
            walk(preparation.pair(gpu), list(comparing.states), turns, Random(1), comparing.take)
        finally:
            preparation.close()
    comparing.look(last="blocks")
    assert len(repository.worktrees()) == 1
    return comparing


@pytest.fixture(autouse=True)
def _forks(forks: None) -> None:
    """A comparison starts a dozen processes."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A flat repository with one commit."""
    library = tmp_path / "library"
    library.mkdir()
    made = Repository(tmp_path / "project", library)
    made.commit("the first")
    return made


@pytest.fixture
def repositories(tmp_path: Path) -> Callable[[str], Repository]:
    """Makes a repository whose module is in a folder."""

    def make(package: str) -> Repository:
        library = tmp_path / "library"
        library.mkdir()
        made = Repository(tmp_path / "project", library, package)
        made.commit("the first")
        return made

    return make


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of sides that had not ended by themselves when they were closed."""
    names: list[str] = []
    stop = Side.stop

    def watched(side: Side) -> None:
        if side.process.poll() is None:
            names.append(side.plan.name)
        stop(side)

    monkeypatch.setattr(Side, "stop", watched)
    return names
