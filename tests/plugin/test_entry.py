"""The options and the fixture of pytest, with and without ``--energy``."""

from __future__ import annotations

import pytest

from pytest_energy.options import OPTIONS
from tests.plugin.conftest import QUICK, Project

CALL = """
@pytest.mark.parametrize("n", [1, 2, 3])
def test_it(energy, n):
    energy(work, 0.01)
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--energy-tolerance=abc"], "--energy-tolerance=abc: expected a fraction"),
        (["--energy-passes=0"], "--energy-passes=0: expected a whole number of at least 1"),
        (["--energy-meter=sundial"], "no meter 'sundial'"),
    ],
)
def test_a_bad_option_stops_the_session(
    project: Project, arguments: list[str], message: str
) -> None:
    """The error is one line on the error stream, the exit status is 4, and no test has run."""
    project.write(CALL)
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}*"])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()
    assert not project.path(".energy").exists()


LIGHT = {
    "",
    ".plugin",
}
"""The modules of this package that pytest imports at its start; together they take 2 ms."""
HEAVY = {"codecarbon", "jinja2", "numpy", "pydantic", "pynvml", "scipy", "torch", "unittest.mock"}
SHOW_MODULES = """
import sys

def pytest_unconfigure():
    print("imported:", *sorted(sys.modules))
"""


def test_help_names_every_option_and_pytest_starts_fast(pytester: pytest.Pytester) -> None:
    """It has the options and their ini twins, and neither settings nor libraries are imported."""
    pytester.makeconftest(SHOW_MODULES)
    result = pytester.runpytest_subprocess("--help", "-p", "no:hypothesispytest")
    text, _, imported = result.stdout.str().partition("imported: ")
    for option in OPTIONS:
        assert option.flag in text
        assert option.ini in text
    names = set(imported.split())
    own = {name for name in names if name.partition(".")[0] == "pytest_energy"}
    assert own == {f"pytest_energy{name}" for name in LIGHT}
    assert not names & HEAVY


def test_without_the_option_the_body_runs_once(pytester: pytest.Pytester) -> None:
    """A test that uses the fixture is then a plain test, without a GPU or output about energy."""
    pytester.makepyfile(
        """
        calls = []

        def test_call(energy):
            assert not energy.enabled
            assert energy(lambda x: calls.append(x) or x, 42) == 42
            assert energy.measurement is None

        def test_pedantic(energy):
            energy.pedantic(calls.append, args=(1,), rounds=5, iterations=7)

        def test_training(energy):
            evaluate = lambda: calls.append(0.5) or 0.5
            energy.training(lambda: calls.append("epoch"), evaluate=evaluate)

        def test_window(energy):
            with energy.window("inside"):
                calls.append("window")
            energy.record(accuracy=0.5)
            assert calls == [42, 1, "epoch", 0.5, "window"]
        """
    )
    result = pytester.runpytest_inprocess(*QUICK)
    result.assert_outcomes(passed=4)
    result.stdout.no_fnmatch_line("*energy:*")
    assert not (pytester.path / ".energy").exists()


@pytest.mark.parametrize("measured", [True, False])
def test_real_data_is_found_with_and_without_measuring(project: Project, measured: bool) -> None:
    """The test gets the folder of --energy-data, resolved against the root folder."""
    project.write(
        f"""
def test_it(energy, request):
    assert energy.enabled is {measured}
    assert energy.data_dir == request.config.rootpath / "sets"
"""
    )
    project.pytester.makeini("[pytest]\nenergy_data = sets\n")
    arguments = ("--energy", "--energy-meter=scripted") if measured else ()
    project.pytester.runpytest_inprocess(*QUICK, *arguments).assert_outcomes(passed=1)


@pytest.mark.skipif(pytest.version_tuple < (9, 2), reason="takes text only")
def test_a_native_table_takes_numbers(project: Project) -> None:
    """``[tool.pytest]`` has numbers and booleans of TOML; a value of another type is refused."""
    project.write("def test_it(energy):\n    energy(work, 0.01)")
    table = "[tool.pytest]\nenergy_rounds = 4\nenergy_tolerance = 0.02\nenergy_strict = true\n"
    project.pytester.makepyprojecttoml(table)
    assert project.run().ret == pytest.ExitCode.TESTS_FAILED  # new, and strict
    settings = project.results()["run"]["settings"]
    assert (settings["rounds"], settings["tolerance"]) == (4, 0.02)
    assert settings["fail_on"] == "regressed,over budget"
    project.pytester.makepyprojecttoml("[tool.pytest]\nenergy_rounds = [4]\n")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *'energy_rounds' expects one of*"])
    project.pytester.makepyprojecttoml("[tool.pytest]\nenergy_rounds = 1.5\n")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: energy_rounds=1.5: expected a whole number*"])
