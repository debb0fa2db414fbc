"""A project with a scripted meter, whose joules the workload of a test sets exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import scipy.special  # noqa: F401 - see Project.run

import pytest_energy.plugin.measuring_hooks
import pytest_energy.report.html.render  # noqa: F401 - as above
from pytest_energy.meters import registry
from tests.plugin.scripted import install, script

QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")
"""Plugins that such a session would load but does not use."""
MEASURING = ("--energy", "--energy-meter=scripted", "--energy-passes=20", *QUICK)


class Project:
    """A folder with tests in it, on a machine with a scripted meter."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        install(pytester.path)

    def script(self, **changes: Any) -> None:
        """Change the meter."""
        script(self.pytester.path, **changes)

    def write(self, body: str) -> None:
        """Write the project's one test file."""
        self.pytester.makepyfile(test_it=f"import pytest\nfrom scripted_meter import work\n{body}")

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest with ``--energy`` on the scripted meter, inside this process.

        This module imports the extension modules of such a session: pytester forgets the modules
        that a session imports, and extension modules cannot be loaded twice.
        """
        return self.pytester.runpytest_inprocess(*MEASURING, *arguments)

    def run_apart(self, *arguments: str) -> pytest.RunResult:
        """Run the same in another process, which may die or import torch."""
        return self.pytester.runpytest_subprocess(*MEASURING, *arguments)

    def results(self) -> dict[str, Any]:
        """The results of the last run."""
        data: dict[str, Any] = json.loads(self.path(".energy/results.json").read_text())
        return data

    def benchmark(self, name: str = "test_it") -> dict[str, Any]:
        """The benchmark of that name in the results of the last run."""
        benchmarks = [
            item for item in self.results()["benchmarks"] if item["id"].endswith(f"::{name}")
        ]
        assert len(benchmarks) == 1
        return dict(benchmarks[0])

    def path(self, name: str) -> Path:
        """A path inside the project."""
        return self.pytester.path / name


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, forks: None) -> Project:
    """A project on a machine with a scripted meter."""
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    monkeypatch.syspath_prepend(pytester.path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return Project(pytester)


@pytest.fixture
def only_scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``auto`` try no meter of this machine.

    The module is imported above, so that pytester does not forget it after a session: otherwise
    the next session would import it anew, without this change.
    """
    monkeypatch.setattr(registry, "auto_order", lambda: ("scripted",))
