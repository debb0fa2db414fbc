"""Baselines of selected tests that get no result: a gate must say what it did not measure."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

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
def suite(project: Project) -> Project:
    """A suite whose baselines are recorded."""
    project.path("test_suite.py").write_text(SUITE, "utf-8")
    project.path("test_other.py").write_text(OTHER, "utf-8")
    project.path("pytest.ini").write_text("[pytest]\nmarkers = slow\n", "utf-8")
    assert project.run("--energy-update", "--energy-baseline-runs=1").ret == 0
    return project


def uncompared(suite: Project) -> dict[str, str]:
    """The reasons in the results of the last session, by the name of the benchmark."""
    return {
        missing["id"].partition("::")[2]: missing["reason"]
        for missing in suite.results()["run"]["uncompared"]
    }


def test_a_skipped_test_is_named_and_fails_in_strict_mode(suite: Project) -> None:
    """In the terminal, in Markdown and in the results."""
    assert uncompared(suite) == {}
    suite.path("test_suite.py").write_text(SKIPPED, "utf-8")
    relaxed = suite.run("--energy-output=markdown:energy.md")
    assert relaxed.ret == 0
    assert "not compared: baselines without a result (1)" in relaxed.stdout.str()
    assert "  test_two: skipped: no data" in relaxed.stdout.str()
    assert "1 baseline was not compared." in relaxed.stdout.str()
    assert "- `test_two`: skipped: no data" in suite.path("energy.md").read_text("utf-8")
    assert uncompared(suite) == {"test_two": "skipped: no data"}
    strict = suite.run("--energy-strict")
    assert strict.ret == 1
    assert "Gate failed: 1 baseline was not compared." in strict.stdout.str()


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
    suite: Project, file: str, text: str, expected: dict[str, str]
) -> None:
    """The reason says what became of the test."""
    suite.path(file).write_text(text, "utf-8")
    assert suite.run("--energy-fail-on=uncompared").ret == 1
    assert uncompared(suite) == expected


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
def test_what_the_user_leaves_out_is_not_missed(suite: Project, arguments: list[str]) -> None:
    """Even if it was renamed meanwhile."""
    suite.path("test_suite.py").write_text(RENAMED, "utf-8")
    assert suite.run("--energy-fail-on=uncompared", *arguments).ret == 0
    assert uncompared(suite) == {}


def test_workers_miss_only_what_none_of_them_measured(suite: Project) -> None:
    """Each worker measures a part of the tests, which is no fault."""
    suite.path("test_suite.py").write_text(SKIPPED, "utf-8")
    done = suite.run("-n", "2", "--energy-strict")
    assert uncompared(suite) == {"test_two": "skipped: no data"}
    assert done.ret == 1


def test_a_session_that_stops_early_does_not_miss_the_rest(suite: Project) -> None:
    """The headline already says that later benchmarks are missing."""
    failing = SUITE.replace("def test_one(energy):", "def test_one(energy):\n    assert False")
    suite.path("test_suite.py").write_text(failing, "utf-8")
    suite.path(".energy/results.json").unlink()  # a run without results keeps earlier ones
    assert suite.run("-x", "test_suite.py").ret == 1
    assert uncompared(suite) == {"test_one": "failed before it had measured"}
