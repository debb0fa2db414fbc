"""A project whose tests load simulated cards, run by several workers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_energy.simulation.machine import Machine

CONFTEST = '''
import os, time
import pytest
from pytest_energy.simulation.machine import Machine


def work(power_w, seconds=0.3):
    """Draw a power on the card that this process sees."""
    machine = Machine.attached()
    cards = [machine.uuid(card) for card in range(machine.device_count)]
    with machine.load(power_w, cards.index(os.environ.get("CUDA_VISIBLE_DEVICES", cards[0]))):
        time.sleep(seconds)


@pytest.fixture
def measured_work(energy):
    """Measure ``work`` in one window."""
    return lambda power_w: energy.pedantic(work, (power_w,))
'''

PLUGINS = ("-p", "xdist", "-p", "pytest_benchmark.plugin", "-p", "pytest_energy.plugin")
"""The only plugins of the runs, since loading others takes time."""


class Project:
    """A folder with one test file, on a simulated machine."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeconftest(CONFTEST)

    def write(self, body: str) -> None:
        """Write the test file."""
        self.pytester.makepyfile(
            test_it=f"import os, signal\nfrom pathlib import Path\nimport pytest\n{body}"
        )

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest with ``--energy`` in another process."""
        return self.pytester.runpytest_subprocess("--energy", *PLUGINS, *arguments)

    def results(self) -> dict[str, Any]:
        """Return the results of the last run."""
        text = (self.pytester.path / ".energy" / "results.json").read_text("utf-8")
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture
def project(
    pytester: pytest.Pytester, nvml_sim: Machine, monkeypatch: pytest.MonkeyPatch, forks: None
) -> Project:
    """A project on the machine that the test is parametrized with."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return Project(pytester)
