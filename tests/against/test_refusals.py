"""What a comparison does not support is refused by name, before anything is measured."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.against.conftest import BENCHMARK, Repository

TORCHRUN = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["-n2"], {}, "-n 2: a pair of sides is measured on each of several GPUs, and no GPU"),
        (["-n2", "--dist=loadfile"], {}, "pytest-xdist cannot distribute a comparison (--dist"),
        ([], TORCHRUN, "not possible under torchrun"),
        (["--energy-update"], {}, "a comparison records no baseline"),
        (["--pdb"], {}, "the sides have no terminal"),
        (["--energy-against=nowhere"], {}, "no such commit in"),
        (["--energy-against-blocks=3"], {}, "expected a whole number of at least 4"),
    ],
)
def test_it_is_refused(
    repository: Repository, arguments: list[str], variables: dict[str, str], words: str
) -> None:
    """The message names the option and says why; no worktree is made."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--energy", "--energy-against=HEAD", *arguments],
        cwd=repository.folder,
        env={**os.environ, "PYTHONPATH": str(repository.library), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "--energy-against" in done.stderr
    assert words in done.stderr
    assert len(repository.worktrees()) == 1


RERUNNING = """
class Plugin:
    pass

def pytest_addoption(parser):
    parser.addoption("--reruns", type=int)

def pytest_configure(config):
    config.pluginmanager.register(Plugin(), "rerunfailures")
    config.addinivalue_line("markers", "flaky: run it again")
"""


@pytest.mark.parametrize(
    ("arguments", "marker", "words"),
    [
        (["--reruns=2"], "", "--reruns has no effect with --energy-against=HEAD"),
        ([], "import pytest\npytestmark = pytest.mark.flaky\n", "@pytest.mark.flaky has no effect"),
    ],
)
def test_reruns_are_refused(
    repository: Repository, arguments: list[str], marker: str, words: str
) -> None:
    """The sides measure a test several times themselves; a stand-in has the plugin's name."""
    repository.write("conftest.py", RERUNNING)
    repository.write("benchmarks/test_it.py", marker + BENCHMARK)
    repository.commit()
    done = repository.run("--energy-against=HEAD", *arguments)
    assert done.returncode == 4, done.stdout
    assert f"benchmarks/test_it.py::test_it: {words}" in done.stdout
    assert len(repository.worktrees()) == 1


@pytest.mark.parametrize("option", ["--energy-against-blocks=8", "--energy-against-all"])
def test_an_option_of_a_comparison_needs_one(repository: Repository, option: str) -> None:
    """Otherwise somebody would take a run by baselines for a comparison."""
    done = repository.run(option)
    assert done.returncode == 4, done.stdout
    name = option.partition("=")[0]
    assert f"{name} without --energy-against: nothing is compared" in done.stdout


@pytest.mark.slow
def test_a_failing_setup_stops_the_session(repository: Repository) -> None:
    """With the command, its status and its last words."""
    done = repository.run("--energy-against=HEAD", "--energy-against-setup=echo no; exit 3")
    assert done.returncode == 4, done.stdout
    assert "--energy-against-setup=echo no; exit 3: status 3 in " in done.stdout
    assert len(repository.worktrees()) == 1


@pytest.mark.slow
def test_an_interpreter_without_the_plugin_says_so(repository: Repository) -> None:
    """The message has what Python said."""
    done = repository.run("--energy-against=HEAD", "--energy-against-python=/nowhere/python")
    assert done.returncode == 4, done.stdout
    assert "the base side cannot be started with /nowhere/python" in done.stdout
