"""Policies that users choose: outcomes that fail, the protocol, tolerances from a table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugin.conftest import Project

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
    """A project with three benchmarks on a scripted meter."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.path(".")
        (self.path / "test_suite.py").write_text(SUITE)
        (self.path / "pytest.ini").write_text("[pytest]\n")

    def run(
        self, *arguments: str, factors: dict[str, float] | None = None, **changes: Any
    ) -> pytest.RunResult:
        """Run a session; ``factors`` multiply joules, ``changes`` change the meter."""
        self.project.script(**changes)
        (self.path / "factors.json").write_text(json.dumps(factors or {}))
        return self.project.run(*arguments)

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


@pytest.fixture
def folder(project: Project) -> Folder:
    """A project whose three benchmarks have no baseline yet."""
    return Folder(project)


@pytest.fixture
def recorded(folder: Folder) -> Folder:
    """A project whose three benchmarks have accepted six runs each."""
    folder.run("--energy-update=new", "--energy-baseline-runs=1").assert_outcomes(passed=3)
    assert set(folder.outcomes().values()) == {"new"}
    folder.remember_runs(6)
    return folder


def test_a_suspect_is_measured_again_after_the_others(recorded: Folder) -> None:
    """The first run is not a failure; the second one comes last, and only it counts."""
    session = recorded.run("-v", "--junitxml=junit.xml", factors={"up": 1.08})
    lines = [line for line in session.stdout.str().splitlines() if "test_suite.py::" in line]
    suspect = next(index for index, line in enumerate(lines) if "[up] SUSPECT" in line)
    failed = next(index for index, line in enumerate(lines) if "[up] FAILED" in line)
    passed = [index for index, line in enumerate(lines) if "[down] PASSED" in line]
    assert suspect < passed[0] < failed
    junit = (recorded.path / "junit.xml").read_text("utf-8")
    assert junit.count("<testcase") == 3
    assert junit.count("<failure") == 1


def test_a_policy_fails_invalid_measurements(recorded: Folder) -> None:
    """With --energy-fail-on=invalid the test fails, with its own headline."""
    session = recorded.run(
        "-k", "same", "--energy-fail-on=regressed,invalid", faults=["counter-reset"]
    )
    assert session.ret == 1
    assert "could not measure test_suite.py::test_it[same]: counter-reset" in session.stdout.str()
    assert "counter-reset" in session.stdout.str()


def test_the_fixed_protocol_measures_once(recorded: Folder) -> None:
    """With --energy-protocol=fixed nothing is measured again."""
    session = recorded.run("-k", "up", "--energy-protocol=fixed", factors={"up": 1.08})
    assert session.ret == 1
    assert "suspect" not in session.stdout.str()


def test_tolerances_come_from_a_table(recorded: Folder) -> None:
    """A table in pyproject.toml sets tolerances; a fault in it stops the session."""
    table = recorded.path / "pyproject.toml"
    try:
        table.write_text('[tool.pytest-energy.tolerances]\n"*[[]up]" = 0.2\n"*[up]" = 0.2\n')
        session = recorded.run("-k", "up", factors={"up": 1.08})
        assert session.ret == 0
        assert recorded.outcomes() == {"test_it[up]": "unchanged"}
        table.write_text('[tool.pytest-energy.tolerances]\n"*" = "x"\n')
        session = recorded.run("-k", "up")
        assert session.ret == pytest.ExitCode.USAGE_ERROR
        assert "not a table of tolerances" in session.stderr.str()
    finally:
        table.unlink()


def test_a_tolerance_below_the_detectable_change_gives_a_warning(recorded: Folder) -> None:
    """The header names the tolerance and what the baseline can detect."""
    session = recorded.run("-k", "same", "--energy-tolerance=0.1%")
    assert "energy: test_suite.py::test_it[same]: 0.1 % is too tight: with" in session.stdout.str()


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
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    figures: str,
) -> None:
    """Ten jobs of one suite must not allow ten times the alarms."""
    folder.run("--energy-update", "--energy-baseline-runs=1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    folder.run(*arguments)
    run = json.loads((folder.path / ".energy" / "results.json").read_text())
    assert any(note.startswith(figures) for note in run["run"]["notes"])


def test_many_small_accepted_rises_ask_for_a_word(folder: Folder) -> None:
    """Each is within the tolerance, their sum is not; the session that would accept it fails."""
    update = ("-k", "up", "--energy-update", "--energy-baseline-runs=1")
    folder.run(*update)
    (path,) = (folder.path / "baselines").glob("scripted-card/*/*.json")
    baseline = json.loads(path.read_text())
    (first,) = baseline["accepted"]
    joules = first["values"]["energy_j"]
    baseline["accepted"] = [
        {**first, "values": {"energy_j": joules * factor}} for factor in (1.0, 1.02, 1.04, 1.06)
    ]
    path.write_text(json.dumps(baseline))
    refused = folder.run(*update, factors={"up": 1.075})
    assert refused.ret == 1
    assert "not accepted: small accepted changes add up to +6.4 % over its" in refused.stdout.str()
    accepted = folder.run(*update, "--energy-accept-drift", factors={"up": 1.075})
    assert accepted.ret == 0
    assert "Recorded 1 baseline; commit baselines/" in accepted.stdout.str()


@pytest.mark.parametrize(("share", "status"), [("20%", 1), ("40%", 0)])
def test_too_many_inconclusive_benchmarks_fail_the_session(
    recorded: Folder, share: str, status: int
) -> None:
    """One of three that rose by its tolerance is a third of the suite; no test fails."""
    session = recorded.run(
        f"--energy-fail-on=regressed,inconclusive>{share}",
        "--energy-retry-time=0.001",
        factors={"up": 1.05},
    )
    session.assert_outcomes(passed=3)
    assert recorded.outcomes()["test_it[up]"] == "inconclusive"
    assert session.ret == status
    sentence = f"1 of 3 benchmarks is inconclusive, more than {share[:-1]} %"
    assert (sentence in session.stdout.str()) == bool(status)
