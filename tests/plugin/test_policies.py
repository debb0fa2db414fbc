"""Policies that users choose: outcomes that fail, the protocol, tolerances from a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.scripted import install, script

pytestmark = pytest.mark.slow

SUITE = """
import json
from pathlib import Path
import pytest
from scripted_meter import work

FACTORS = json.loads(Path("factors.json").read_text())

@pytest.mark.parametrize("name", ["same", "up", "down"])
def test_it(energy, name):
    energy(work, 0.01 * FACTORS.get(name, 1))
"""


class Folder:
    """A project with a scripted meter, shared by the tests of a module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        install(path)
        (path / "test_suite.py").write_text(SUITE)
        (path / "pytest.ini").write_text("[pytest]\n")

    def run(
        self, *arguments: str, factors: dict[str, float] | None = None, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a session; ``factors`` multiply joules, ``changes`` change the meter."""
        script(self.path, **changes)
        (self.path / "factors.json").write_text(json.dumps(factors or {}))
        command = [sys.executable, "-m", "pytest", "--energy", "--energy-meter=scripted"]
        command.append("--energy-scale=small")
        return subprocess.run(
            [*command, "-p", "no:hypothesispytest", "-p", "no:anyio", *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
        )

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each benchmark of the last session, by the name of its test."""
        run = json.loads((self.path / ".energy" / "results.json").read_text())
        return {
            benchmark["id"].partition("::")[2]: benchmark["verdict"]["outcome"]
            for benchmark in run["benchmarks"]
        }

    def remember_runs(self, count: int) -> None:
        """Give every baseline ``count`` accepted runs like its first, with a variation of 0.3 %."""
        for path in (self.path / "baselines").glob("scripted-card/*/*.json"):
            baseline = json.loads(path.read_text())
            first = baseline["accepted"][0]
            baseline["accepted"] = [
                {
                    **first,
                    "values": {
                        name: value * (1 + 0.003 * (number % 3 - 1))
                        for name, value in first["values"].items()
                    },
                }
                for number in range(count)
            ]
            path.write_text(json.dumps(baseline))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project whose three benchmarks have accepted six runs each."""
    project = Folder(tmp_path_factory.mktemp("project"))
    first = project.run("--energy-update=new", "--energy-baseline-runs=1")
    assert first.returncode == 0, first.stdout
    assert set(project.outcomes().values()) == {"new"}
    project.remember_runs(6)
    return project


def test_a_suspect_is_measured_again_after_the_others(folder: Folder) -> None:
    """The first run is not a failure; the second one comes last, and only it counts."""
    session = folder.run("-v", "--junitxml=junit.xml", factors={"up": 1.08})
    lines = [line for line in session.stdout.splitlines() if "test_suite.py::" in line]
    suspect = next(index for index, line in enumerate(lines) if "[up] SUSPECT" in line)
    failed = next(index for index, line in enumerate(lines) if "[up] FAILED" in line)
    passed = [index for index, line in enumerate(lines) if "[down] PASSED" in line]
    assert suspect < passed[0] < failed
    junit = (folder.path / "junit.xml").read_text("utf-8")
    assert junit.count("<testcase") == 3
    assert junit.count("<failure") == 1


def test_a_policy_fails_invalid_measurements(folder: Folder) -> None:
    """With --energy-fail-on=invalid the test fails, with its own headline."""
    session = folder.run(
        "-k", "same", "--energy-fail-on=regressed,invalid", faults=["counter-reset"]
    )
    assert session.returncode == 1
    assert "could not measure test_suite.py::test_it[same]: invalid" in session.stdout
    assert "counter-reset" in session.stdout


def test_the_fixed_protocol_measures_once(folder: Folder) -> None:
    """With --energy-protocol=fixed nothing is measured again."""
    session = folder.run("-k", "up", "--energy-protocol=fixed", factors={"up": 1.08})
    assert session.returncode == 1
    assert "suspect" not in session.stdout


def test_tolerances_come_from_a_table(folder: Folder) -> None:
    """A table in pyproject.toml sets tolerances; a fault in it stops the session."""
    table = folder.path / "pyproject.toml"
    try:
        table.write_text('[tool.pytest-energy.tolerances]\n"*[[]up]" = 0.2\n"*[up]" = 0.2\n')
        session = folder.run("-k", "up", factors={"up": 1.08})
        assert session.returncode == 0
        assert folder.outcomes() == {"test_it[up]": "unchanged"}
        table.write_text('[tool.pytest-energy.tolerances]\n"*" = "x"\n')
        session = folder.run("-k", "up")
        assert session.returncode == pytest.ExitCode.USAGE_ERROR
        assert "not a table of tolerances" in session.stderr
    finally:
        table.unlink()


def test_a_tolerance_below_the_detectable_change_gives_a_warning(folder: Folder) -> None:
    """The header names the tolerance and what the baseline can detect."""
    session = folder.run("-k", "same", "--energy-tolerance=0.1%")
    assert "energy: test_suite.py::test_it[same]: 0.1 % is too tight: with" in session.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "figures"),
    [
        ([], {}, "3 figures"),
        ([], {"CI_NODE_TOTAL": "10"}, "30 figures"),
        (["--energy-family=50"], {"CI_NODE_TOTAL": "10"}, "50 figures"),
    ],
    ids=["whole", "shards", "option"],
)
def test_shards_share_the_chance_of_a_false_alarm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    figures: str,
) -> None:
    """Ten jobs of one suite must not allow ten times the alarms."""
    folder = Folder(tmp_path)
    folder.run("--energy-update", "--energy-baseline-runs=1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder.run(*arguments)
    run = json.loads((tmp_path / ".energy" / "results.json").read_text())
    assert any(note.startswith(figures) for note in run["run"]["notes"])


def test_many_small_accepted_rises_ask_for_a_word(tmp_path: Path) -> None:
    """Each is within the tolerance, their sum is not; the session that would accept it fails."""
    folder = Folder(tmp_path)
    update = ("-k", "up", "--energy-update", "--energy-baseline-runs=1")
    folder.run(*update)
    (path,) = (tmp_path / "baselines").glob("scripted-card/*/*.json")
    baseline = json.loads(path.read_text())
    (first,) = baseline["accepted"]
    joules = first["values"]["energy_j"]
    baseline["accepted"] = [
        {**first, "values": {"energy_j": joules * factor}} for factor in (1.0, 1.02, 1.04, 1.06)
    ]
    path.write_text(json.dumps(baseline))
    refused = folder.run(*update, factors={"up": 1.075})
    assert refused.returncode == 1
    assert "not accepted: small accepted changes add up to +6.4 % over its" in refused.stdout
    accepted = folder.run(*update, "--energy-accept-drift", factors={"up": 1.075})
    assert accepted.returncode == 0
    assert "energy: accepted baselines/" in accepted.stdout
