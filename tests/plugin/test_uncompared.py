"""Baselines of selected tests that get no result: a gate must say what it did not measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.scripted import install

pytestmark = pytest.mark.slow

SUITE = """
import pytest
from scripted_meter import work

@pytest.mark.slow
def test_one(energy):
    energy(work, 0.01)

def test_two(energy):
    energy(work, 0.01)

def test_three(energy):
    with energy.window("prefill"):
        work(0.01)
"""
SKIPPED = SUITE.replace(
    "def test_two(energy):", "def test_two(energy):\n    pytest.skip('no data')"
)
RENAMED = SUITE.replace("test_two", "test_deux")
WITHOUT_WINDOW = SUITE.replace('"prefill"', '"decode"')
SKIPS_ITSELF = "import pytest\npytest.skip('no library', allow_module_level=True)\n"
OTHER = "from scripted_meter import work\ndef test_other(energy):\n    energy(work, 0.01)\n"
DESELECTS = """
def pytest_collection_modifyitems(config, items):
    gone = [item for item in items if "two" in item.name]
    items[:] = [item for item in items if "two" not in item.name]
"""
ANNOUNCES = DESELECTS + "    config.hook.pytest_deselected(items=gone)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A suite whose baselines are recorded."""
    install(tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE, "utf-8")
    (tmp_path / "test_other.py").write_text(OTHER, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n", "utf-8")
    assert run(tmp_path, "--energy-update", "--energy-baseline-runs=1").returncode == 0
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a session in the folder."""
    command = [sys.executable, "-m", "pytest", "--energy", "--energy-meter=scripted"]
    fast = ["--energy-scale=small", "--energy-markdown=energy.md", "-p", "no:anyio"]
    return subprocess.run(
        [*command, *fast, "-p", "no:hypothesispytest", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def uncompared(folder: Path) -> dict[str, str]:
    """The reasons in the results of the last session, by the name of the benchmark."""
    results = json.loads((folder / ".energy" / "results.json").read_text("utf-8"))
    return {
        missing["id"].partition("::")[2]: missing["reason"]
        for missing in results["run"]["uncompared"]
    }


def test_a_skipped_test_is_named_and_fails_in_strict_mode(folder: Path) -> None:
    """In the terminal, in Markdown and in the results."""
    assert uncompared(folder) == {}
    (folder / "test_suite.py").write_text(SKIPPED, "utf-8")
    relaxed = run(folder)
    assert relaxed.returncode == 0
    assert "not compared: baselines without a result (1)" in relaxed.stdout
    assert "  test_two: skipped: no data" in relaxed.stdout
    assert "1 baseline was not compared." in relaxed.stdout
    assert "- `test_two`: skipped: no data" in (folder / "energy.md").read_text("utf-8")
    assert uncompared(folder) == {"test_two": "skipped: no data"}
    strict = run(folder, "--energy-strict")
    assert strict.returncode == 1
    assert "Gate failed: 1 baseline was not compared." in strict.stdout


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("test_suite.py", RENAMED, {"test_two": "no such test: renamed or removed"}),
        (
            "test_suite.py",
            WITHOUT_WINDOW,
            {"test_three::prefill": "no longer measured by its test"},
        ),
        ("conftest.py", DESELECTS, {"test_two": "deselected by a conftest file"}),
        ("conftest.py", ANNOUNCES, {"test_two": "deselected by a conftest file"}),
        ("test_other.py", SKIPS_ITSELF, {"test_other": "skipped: no library"}),
    ],
    ids=["renamed", "window", "dropped", "deselected", "skipped file"],
)
def test_what_leaves_the_suite_by_itself_is_named(
    folder: Path, file: str, text: str, expected: dict[str, str]
) -> None:
    """The reason says what became of the test."""
    (folder / file).write_text(text, "utf-8")
    assert run(folder, "--energy-fail-on=uncompared").returncode == 1
    assert uncompared(folder) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "one"],
        ["-m", "slow"],
        ["test_other.py"],
        ["test_suite.py::test_one"],
        ["--deselect=test_suite.py::test_deux", "-k", "one or other"],
        ["--ignore=test_suite.py"],
    ],
    ids=" ".join,
)
def test_what_the_user_leaves_out_is_not_missed(folder: Path, arguments: list[str]) -> None:
    """Even if it was renamed meanwhile."""
    (folder / "test_suite.py").write_text(RENAMED, "utf-8")
    assert run(folder, "--energy-fail-on=uncompared", *arguments).returncode == 0
    assert uncompared(folder) == {}


def test_workers_miss_only_what_none_of_them_measured(folder: Path) -> None:
    """Each worker measures a part of the tests, which is no fault."""
    (folder / "test_suite.py").write_text(SKIPPED, "utf-8")
    done = run(folder, "-n", "2", "--energy-strict")
    assert uncompared(folder) == {"test_two": "skipped: no data"}
    assert done.returncode == 1


def test_a_session_that_stops_early_does_not_miss_the_rest(folder: Path) -> None:
    """The headline already says that later benchmarks are missing."""
    failing = SUITE.replace("def test_one(energy):", "def test_one(energy):\n    assert False")
    (folder / "test_suite.py").write_text(failing, "utf-8")
    assert run(folder, "-x", "test_suite.py").returncode == 1
    assert uncompared(folder) == {"test_one": "failed before it had measured"}
