"""Sessions on systems without what only POSIX or Linux has, simulated by taking it away."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from pytest_energy.meters import codecarbon
from pytest_energy.meters.codecarbon import CodeCarbonMeter, Processor
from tests.plugin.conftest import Project

WITHOUT = {
    "windows": (
        "getuid geteuid sysconf killpg fork mkfifo set_blocking sched_getaffinity"
        " sched_setaffinity getloadavg"
    ),
    "macos": "sched_getaffinity sched_setaffinity",
}
TAKING_AWAY = """
import os
import pathlib

from importlib import import_module, util

for name in ("filelock", "platformdirs"):  # they ask for the system when they are imported
    if util.find_spec(name):
        import_module(name)

for name in "{names}".split():
    if hasattr(os, name):
        delattr(os, name)

is_dir, exists = pathlib.Path.is_dir, pathlib.Path.exists

def on_linux(path):
    return path.parts[1:2] in (("proc",), ("sys",))

pathlib.Path.is_dir = lambda path, **options: not on_linux(path) and is_dir(path, **options)
pathlib.Path.exists = lambda path, **options: not on_linux(path) and exists(path, **options)
"""
ELSEWHERE = ("-p", "no:fakefs", "-p", "another_system")
CALL = "def test_it(energy):\n    energy(work, 1)"


@pytest.fixture(params=WITHOUT)
def elsewhere(request: pytest.FixtureRequest, project: Project) -> Project:
    """A project on another system, for sessions in processes of their own."""
    project.write(CALL)
    text = TAKING_AWAY.format(names=WITHOUT[request.param])
    project.path("another_system.py").write_text(text)
    return project


def test_a_session_measures_and_gates(elsewhere: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks, results, baselines and the verdict need no function of POSIX."""
    # The folder of the locks that this user has by default, out of the way of other sessions.
    monkeypatch.delenv("PYTEST_ENERGY_LOCKS", raising=False)
    monkeypatch.setenv("TMPDIR", str(elsewhere.pytester.mkdir("temporary")))
    recording = (*ELSEWHERE, "--energy-update", "--energy-baseline-runs=1")
    elsewhere.run_apart(*recording).assert_outcomes(passed=1)
    assert elsewhere.benchmark()["verdict"]["accepted"]
    elsewhere.script(power_w=150.0)
    elsewhere.run_apart(*ELSEWHERE).assert_outcomes(failed=1)


def test_an_estimate_is_possible_without_sysconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step in which the time of processes is counted is known on each system."""
    pytest.importorskip("codecarbon")
    without = {name: value for name, value in vars(os).items() if name != "sysconf"}
    monkeypatch.setattr(codecarbon, "os", SimpleNamespace(**without))  # psutil's build is of Linux
    processor = Processor("Example CPU", 100.0, sockets=1, threads=2)
    assert CodeCarbonMeter(processor, ram_power_w=5.0, ram_gib=16.0).shortest_window_s > 1 / 64


@pytest.mark.parametrize("elsewhere", ["windows"], indirect=True)
@pytest.mark.parametrize("option", ["--energy-against=HEAD", "--energy-fresh"])
def test_what_needs_process_groups_is_refused(elsewhere: Project, option: str) -> None:
    """The error names the option."""
    result = elsewhere.run_apart(*ELSEWHERE, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {option}: not possible on this system*"])
