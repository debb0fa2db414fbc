"""The record of a collection for another process."""

from __future__ import annotations

import json

import pytest

COLLECT = ("-p", "pytest_energy.plugin.collect", "--collect-only", "--collected=collected.json")
TESTS = [
    "tests/test_a.py::test_one",
    "tests/test_a.py::test_two",
    "tests/test_b.py::test_three",
]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with two files of tests in a folder, and one that skips itself."""
    pytester.makeini("[pytest]")
    pytester.mkdir("tests")
    files = {
        "test_a": "def test_one(): pass\ndef test_two(): pass",
        "test_b": "def test_three(): pass",
        "test_c": "import pytest\npytest.skip('no GPU', allow_module_level=True)",
    }
    for name, body in files.items():
        (pytester.path / "tests" / f"{name}.py").write_text(body)
    return pytester


def collected(project: pytest.Pytester, *arguments: str) -> dict[str, object]:
    """Collect, and return what was recorded."""
    project.runpytest_inprocess(*COLLECT, *arguments)
    record: dict[str, object] = json.loads((project.path / "collected.json").read_text())
    return record


def test_tests_and_files_are_recorded(project: pytest.Pytester) -> None:
    """The record has all tests, the files with tests, and apart from them the skipped file."""
    assert collected(project) == {
        "root": str(project.path),
        "configuration": str(project.path / "tox.ini"),
        "asked": [],
        "files": ["tests/test_a.py", "tests/test_b.py"],
        "skipped": ["tests/test_c.py"],
        "tests": TESTS,
        "selected": TESTS,
    }


def test_deselected_tests_are_recorded(project: pytest.Pytester) -> None:
    """A test that ``-k`` deselects still exists, and is not selected."""
    record = collected(project, "-k", "one")
    assert record["tests"] == TESTS
    assert record["selected"] == TESTS[:1]


def test_arguments_are_recorded_as_ids(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument that is relative to the current folder is recorded from the root folder."""
    monkeypatch.chdir(project.path / "tests")
    project.runpytest_inprocess(
        *COLLECT[:-1], "--rootdir=..", "--collected=../collected.json", "test_a.py::test_one"
    )
    recorded = json.loads((project.path / "collected.json").read_text())
    assert recorded["asked"] == ["tests/test_a.py::test_one"]
    assert recorded["tests"] == ["tests/test_a.py::test_one"]


def test_nothing_is_written_without_the_option(project: pytest.Pytester) -> None:
    """Loading the plugin alone changes nothing."""
    result = project.runpytest_inprocess("-p", "pytest_energy.plugin.collect")
    result.assert_outcomes(passed=3, skipped=1)
    assert not (project.path / "collected.json").exists()
