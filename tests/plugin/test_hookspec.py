"""The hooks that a conftest may implement."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pluggy import PluginManager

from pytest_energy import plugin
from pytest_energy.plugin import hookspec
from tests.plugin.conftest import QUICK, Project

CALL = """
def test_it(energy):
    energy(work, 0.01)
"""


def test_conftest_hooks_take_part(project: Project) -> None:
    """Hooks add facts to workload and identity, and receive each result."""
    project.pytester.makeconftest(
        """
        from pathlib import Path

        def pytest_energy_workload(item):
            return {"data": "cifar10"}

        def pytest_energy_identity(config, identity):
            return {"rack": "B"}

        def pytest_energy_result(config, result):
            print("seen", result.id, result.verdict.outcome)

        def pytest_energy_outputs(config, run):
            table = Path("joules.txt").absolute()
            table.write_text(run.benchmarks[0].id)
            return [table]
        """
    )
    project.write(CALL)
    result = project.run("-s")
    result.stdout.fnmatch_lines(["*seen test_it.py::test_it new*"])
    result.stdout.fnmatch_lines(["energy: wrote joules.txt"])
    assert (project.pytester.path / "joules.txt").read_text() == "test_it.py::test_it"
    assert project.benchmark()["workload"]["data"] == "cifar10"
    assert project.results()["environment"]["identity"]["rack"] == "B"


def test_a_hook_that_raises_costs_no_results(project: Project) -> None:
    """The summary names the hook and the error; the results are written."""
    project.pytester.makeconftest(
        """
        def pytest_energy_outputs(config, run):
            return [run.no_such_thing]
        """
    )
    project.write(CALL)
    result = project.run()
    result.stdout.fnmatch_lines(["energy: pytest_energy_outputs raised AttributeError: *"])
    assert project.benchmark()["status"] == "measured"


@pytest.mark.parametrize("returned", ["5", "'abc'", "['a', None]", "[b'a']"])
def test_a_hook_that_returns_no_paths_is_named(project: Project, returned: str) -> None:
    """One line says which hook it was, and what was expected; nothing else is listed as written."""
    project.pytester.makeconftest(f"def pytest_energy_outputs():\n    return {returned}")
    project.write(CALL)
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["energy: pytest_energy_outputs in a conftest.py* a list of paths*"]
    )
    assert sum("energy: wrote" in line for line in result.outlines) == 2


def test_a_hook_that_changes_what_it_was_given_changes_no_result(project: Project) -> None:
    """The identity of the machine and the list of results are copies."""
    project.pytester.makeconftest(
        """
        def pytest_energy_identity(identity):
            identity.clear()

        def pytest_energy_outputs(run):
            run.benchmarks.clear()
        """
    )
    project.write(CALL)
    result = project.run()
    result.stdout.fnmatch_lines(["*1 benchmark: 1 new*"])
    assert project.results()["environment"]["identity"]["device"] == "Scripted Card"


@pytest.mark.parametrize("measured", [True, False])
def test_a_hook_that_does_not_exist_is_refused(project: Project, measured: bool) -> None:
    """Pytest names it, with and without --energy; a hook that exists is known in both."""
    project.pytester.makeconftest("def pytest_energy_workload(item): return {}")
    project.write(CALL)
    arguments = ("--energy", "--energy-meter=scripted", "--energy-passes=2") if measured else ()
    project.pytester.runpytest_inprocess(*QUICK, *arguments).assert_outcomes(passed=1)
    project.pytester.makeconftest("def pytest_energy_worklaod(item): return {}")
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["*unknown hook 'pytest_energy_worklaod'*"])


@pytest.mark.parametrize("measured", [True, False])
def test_the_arguments_of_a_hook_are_checked(project: Project, measured: bool) -> None:
    """A hook in the conftest of a folder, too, and also where nothing calls it."""
    project.write(CALL)
    folder = project.pytester.mkdir("inside")
    (folder / "conftest.py").write_text("def pytest_energy_workload(items): return {}")
    (folder / "test_inside.py").write_text("def test_inside(energy): energy(abs, 1)")
    arguments = ("--energy", "--energy-meter=scripted", "--energy-passes=2") if measured else ()
    result = project.pytester.runpytest_subprocess(*QUICK, *arguments)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    output = result.stdout.str() + result.stderr.str()
    assert "Argument(s) {'items'} are declared in the hookimpl" in output


@pytest.mark.parametrize("name", [each for each in vars(hookspec) if each.startswith("pytest_")])
def test_each_hook_is_specified_once_it_is_implemented(name: str) -> None:
    """The plugin knows all of them by name, without the module that specifies them."""
    manager = PluginManager("pytest")
    hook = pytest.hookimpl(specname=name)(lambda: None)
    manager.register(SimpleNamespace(**{f"pytest_own_{name}": hook}))
    assert not getattr(manager.hook, name).has_spec()
    plugin.pytest_plugin_registered(manager)  # type: ignore[arg-type] # pytest's is a subclass
    assert getattr(manager.hook, name).has_spec()
