"""What becomes of a suite: every outcome in one session, its exit status and its messages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import METER

pytestmark = pytest.mark.slow

SUITE = """
import json, random
from pathlib import Path
import pytest
from scripted_meter import work

FACTORS = json.loads(Path("factors.json").read_text())

@pytest.mark.parametrize("name", ["same", "up", "down"])
def test_it(energy, name):
    energy(work, 0.01 * FACTORS.get(name, 1))

SCATTER = random.Random(7)

def test_noisy(energy):
    energy(lambda: work(0.01 * SCATTER.choice([0.1, 0.1, 3])))
"""


class Folder:
    """A project with a scripted meter, kept between the sessions of a module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        info = path / "scripted_meter-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: scripted-meter\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[pytest_energy.meters]\nscripted = scripted_meter:open_meter\n"
        )
        (path / "scripted_meter.py").write_text(METER)
        (path / "test_suite.py").write_text(SUITE)
        (path / "pytest.ini").write_text("[pytest]\n")

    def run(
        self, *arguments: str, factors: dict[str, float] | None = None, **script: Any
    ) -> subprocess.CompletedProcess[str]:
        """One session; ``factors`` multiply the joules of benchmarks, ``script`` is the meter's."""
        default = {
            "power_w": 100.0,
            "device": "Scripted Card",
            "estimated": False,
            "uncertainty": 0.001,
            "faults": [],
            "unavailable": "",
        }
        (self.path / "scripted.json").write_text(json.dumps({**default, **script}))
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
        """The outcome of each benchmark of the last session, by the name of its test."""
        run = json.loads((self.path / ".energy" / "results.json").read_text())
        return {
            one["id"].partition("::")[2]: one["verdict"]["outcome"] for one in run["benchmarks"]
        }

    def remember_runs(self, count: int) -> None:
        """Let every baseline have accepted so many runs like its first, with a scatter of 0.3 %."""
        for path in (self.path / "baselines").glob("scripted-card/*/*.json"):
            kept = json.loads(path.read_text())
            first = kept["accepted"][0]
            kept["accepted"] = [
                {
                    **first,
                    "values": {
                        name: value * (1 + 0.003 * (number % 3 - 1))
                        for name, value in first["values"].items()
                    },
                }
                for number in range(count)
            ]
            path.write_text(json.dumps(kept))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project whose four benchmarks have accepted six runs each."""
    made = Folder(tmp_path_factory.mktemp("project"))
    first = made.run("--energy-update=new")
    assert first.returncode == 0, first.stdout
    assert set(made.outcomes().values()) == {"new"}
    made.remember_runs(6)
    return made


@pytest.fixture(scope="module")
def changed(folder: Folder) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """The session in which one benchmark needs 8 % more, one 8 % less, and one is noisy."""
    done = folder.run("-v", "--junitxml=junit.xml", factors={"up": 1.08, "down": 0.92})
    return done, folder.outcomes()


Changed = tuple[subprocess.CompletedProcess[str], dict[str, str]]


def test_each_benchmark_has_its_outcome(changed: Changed) -> None:
    """+8 % has regressed, −8 % has improved, noise is undecided; only the first fails."""
    done, outcomes = changed
    assert outcomes == {
        "test_it[same]": "unchanged",
        "test_it[up]": "regressed",
        "test_it[down]": "improved",
        "test_noisy": "inconclusive",
    }
    assert done.returncode == 1
    assert "1 failed, 3 passed" in done.stdout


def test_a_suspect_is_measured_again_after_the_others(changed: Changed, folder: Folder) -> None:
    """Its first run is no failure yet; its second comes last, and only that one counts."""
    lines = [line for line in changed[0].stdout.splitlines() if "test_suite.py::" in line]
    suspect = next(index for index, line in enumerate(lines) if "[up] SUSPECT" in line)
    failed = next(index for index, line in enumerate(lines) if "[up] FAILED" in line)
    others = [index for index, line in enumerate(lines) if "[down] PASSED" in line]
    assert suspect < others[0] < failed
    junit = (folder.path / "junit.xml").read_text("utf-8")
    assert junit.count("<testcase") == 4
    assert junit.count("<failure") == 1


def test_the_last_lines_say_what_to_do(changed: Changed) -> None:
    """What got worse, by how much, how sure, likely why and what to type: in the last 20 lines."""
    tail = "\n".join(changed[0].stdout.splitlines()[-20:])
    for told in ("test_it[up]", "+8.0 %", "tolerance 5 %", "likely cause", "--energy-update"):
        assert told in tail


def test_the_failure_message(changed: Changed) -> None:
    """Word for word, but for digits that depend on the machine."""
    lines = changed[0].stdout.splitlines()
    start = lines.index("test_suite.py::test_it[up]: energy regressed")
    energy = (
        r"  Energy: 1\.0+ ± 0\.00\d* J/call → 1\.080+ ± 0\.00\d* J/call:"
        r" \+8\.0 % \[\+5\.\d, \+10\.\d\] \(at least 95 % sure\), tolerance 5 %"
    )
    assert re.fullmatch(energy, lines[start + 1])
    assert re.fullmatch(r"  likely cause: power .+ % × time .+ %", lines[start + 2])
    assert lines[start + 3 : start + 6] == [
        "  measured again after the others: 2 visits, 6 rounds together",
        "  measure again:  pytest 'test_suite.py::test_it[up]' --energy",
        "  accept it:      pytest 'test_suite.py::test_it[up]' --energy --energy-update",
    ]


def _message(done: subprocess.CompletedProcess[str], told: Sequence[str]) -> None:
    for text in told:
        assert text in done.stdout, done.stdout


def test_a_gpu_in_use_by_others_is_inconclusive(folder: Folder) -> None:
    """It is measured again, and passes if that does not help; strict mode fails it."""
    done = folder.run("-k", "same", faults=["contended"])
    assert done.returncode == 0
    assert folder.outcomes() == {"test_it[same]": "inconclusive"}
    _message(done, ["1 passed", "1 suspect", "scripted contended"])


def test_policies_fail_what_could_not_be_measured(folder: Folder) -> None:
    """--energy-fail-on=invalid fails it, under a headline of its own."""
    done = folder.run("-k", "same", "--energy-fail-on=regressed,invalid", faults=["counter-reset"])
    assert done.returncode == 1
    _message(done, ["could not measure test_suite.py::test_it[same]: invalid", "counter-reset"])


def test_another_card_is_incomparable(folder: Folder) -> None:
    """Twice the joules on another card fail nothing, and the card is named."""
    done = folder.run("-k", "same", device="Other Card", power_w=200.0)
    assert done.returncode == 0
    assert folder.outcomes() == {"test_it[same]": "incomparable"}
    _message(done, ["Scripted Card → Other Card"])


def test_the_papers_protocol_looks_once(folder: Folder) -> None:
    """With --energy-protocol=paper nothing is measured again."""
    done = folder.run("-k", "up", "--energy-protocol=paper", factors={"up": 1.08})
    assert done.returncode == 1
    assert "suspect" not in done.stdout


def test_last_failed_repeats_the_regression(folder: Folder) -> None:
    """--lf runs what failed, suspects or not, and finds it again."""
    folder.run("-k", "up or same", factors={"up": 1.08})
    done = folder.run("--lf", factors={"up": 1.08})
    assert done.returncode == 1
    assert folder.outcomes() == {"test_it[up]": "regressed"}


def test_tolerances_come_from_a_table(folder: Folder) -> None:
    """pyproject.toml widens the tolerance of one benchmark; a fault in it stops the session."""
    table = folder.path / "pyproject.toml"
    try:
        table.write_text('[tool.pytest-energy.tolerances]\n"*[[]up]" = 0.2\n"*[up]" = 0.2\n')
        done = folder.run("-k", "up", factors={"up": 1.08})
        assert done.returncode == 0
        assert folder.outcomes() == {"test_it[up]": "unchanged"}
        table.write_text('[tool.pytest-energy.tolerances]\n"*" = "x"\n')
        done = folder.run("-k", "up")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "not a table of tolerances" in done.stderr
    finally:
        table.unlink()


def test_a_tolerance_that_cannot_be_seen_is_warned_of(folder: Folder) -> None:
    """At collection, with what can be seen there."""
    done = folder.run("-k", "same", "--energy-tolerance=0.1%")
    _message(done, ["energy: test_suite.py::test_it[same]: a tolerance of 0.10% asks for more"])
