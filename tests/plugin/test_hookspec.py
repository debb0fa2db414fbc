"""The hooks that a conftest may implement."""

from __future__ import annotations

from tests.plugin.conftest import Project

CALL = """
def test_it(energy):
    energy(work, 0.01)
"""


def test_conftest_hooks_take_part(project: Project) -> None:
    """Hooks add facts to workload and identity, and receive each result."""
    project.pytester.makeconftest(
        """
        def pytest_energy_workload(item):
            return {"data": "cifar10"}

        def pytest_energy_identity(config, identity):
            return {"rack": "B"}

        def pytest_energy_result(config, result):
            print("seen", result.id, result.verdict.outcome)
        """
    )
    project.write(CALL)
    result = project.run("-s")
    result.stdout.fnmatch_lines(["*seen test_it.py::test_it new*"])
    assert project.benchmark()["workload"]["data"] == "cifar10"
    assert project.results()["environment"]["identity"]["rack"] == "B"
