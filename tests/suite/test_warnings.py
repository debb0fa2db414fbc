"""Warnings are errors in the project's tests, and never in its benchmarks."""

from __future__ import annotations

import shutil
import tomllib
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WARNS = """
import warnings
import pytest

def test_warns():
    warnings.warn("of a library")

@pytest.mark.filterwarnings("ignore")
def test_ignores():
    warnings.warn("of a library")
"""


def test_only_tests_are_strict(pytester: pytest.Pytester) -> None:
    """In one session a warning fails a test and not a benchmark; a test's own filter wins."""
    shutil.copy(ROOT / "pyproject.toml", pytester.path)
    for folder in ("benchmarks", "tests"):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / f"test_warns_in_{folder}.py").write_text(WARNS)
    shutil.copy(ROOT / "tests/conftest.py", pytester.path / "tests")
    result = pytester.runpytest_subprocess("benchmarks", "tests")
    result.assert_outcomes(passed=3, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["FAILED tests/test_warns_in_tests.py::test_warns*"])


def test_a_module_of_tests_that_warns_is_an_error(pytester: pytest.Pytester) -> None:
    """A warning at import is seen as well."""
    shutil.copy(ROOT / "pyproject.toml", pytester.path)
    (pytester.path / "tests").mkdir()
    shutil.copy(ROOT / "tests/conftest.py", pytester.path / "tests")
    (pytester.path / "tests/test_import_warns.py").write_text("import warnings; warnings.warn('x')")
    pytester.runpytest_subprocess("tests").assert_outcomes(errors=1)


def test_the_suite_needs_no_configuration_file_of_its_own() -> None:
    """With one, its folder would be pytest's root: baselines and results would lie elsewhere."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]
    assert "filterwarnings" not in options["ini_options"]
    assert not list((ROOT / "benchmarks").glob("*.ini"))


def test_this_very_test_is_strict() -> None:
    """The filters hold where they should: here."""
    with pytest.raises(UserWarning, match="of a library"):
        warnings.warn("of a library", stacklevel=1)
