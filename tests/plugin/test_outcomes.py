"""A suite on simulated cards: its outcomes, exit statuses and messages.

The output without its figures is compared with ``snapshots/``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.testing import PROFILES, SimulatedNvml
from tests.plugin.snapshots import assert_matches_snapshot, wording
from tests.virtual import virtual_machine

pytestmark = pytest.mark.slow

BENCHMARK_VERSION = tuple(map(int, version("pytest-benchmark").split(".")[:2]))
CARD = replace(PROFILES["ada"], name="NVIDIA H100", idle_w=10.0, counter_tick_s=0.005)
"""Its counter ticks often, so that windows may be short."""
OTHER_CARD = replace(CARD, name="NVIDIA H200", power_limit_w=700.0)

CONFTEST = '''
import json, os, random, time
from pathlib import Path
from pytest_energy.testing import Machine

FACTORS = json.loads(Path("factors.json").read_text())
POWER_W = {"same": 200, "up": 180, "down": 220, "noisy": 160, "shared": 240, "killed": 140}
SCATTER = random.Random(7)
MACHINE = Machine.attached()


def draw(name):
    """Its power for a quarter of a second to the nanosecond, whenever the sleeper wakes."""
    power_w = POWER_W[name] * FACTORS.get(name, FACTORS.get("all", 1.0))
    if name == "noisy" and name in FACTORS:
        power_w *= SCATTER.uniform(0.5, 1.5)
    begun_s = MACHINE.set_power(power_w, card())
    MACHINE.set_power(10.0, card(), begun_s + 0.25)
    time.sleep(0.25)


def card():
    """The card of this process."""
    cards = [MACHINE.uuid(card) for card in range(MACHINE.device_count)]
    return cards.index(os.environ.get("CUDA_VISIBLE_DEVICES", cards[0]))
'''
SUITE = """
import os, signal
from contextlib import nullcontext
import pytest
from conftest import FACTORS, MACHINE, card, draw


@pytest.mark.parametrize("name", ["same", "up", "down", "noisy"])
def test_it(energy, name):
    energy.pedantic(draw, (name,), rounds=3)


def test_shared(energy):
    with MACHINE.process(4_000_000, card()) if "shared" in FACTORS else nullcontext():
        energy.pedantic(draw, ("shared",), rounds=3)


def test_killed(energy):
    energy.pedantic(draw, ("killed",), rounds=3)
    if "killed" in FACTORS:
        os.kill(os.getpid(), signal.SIGKILL)
"""
PLUGINS = ("-p", "xdist", "-p", "pytest_benchmark.plugin", "-p", "pytest_energy.plugin")
"""What the runs load, and nothing else, which takes time."""


class Suite:
    """A folder with the suite, kept between the sessions of this module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "conftest.py").write_text(CONFTEST)
        (path / "test_suite.py").write_text(SUITE)
        (path / "pytest.ini").write_text("[pytest]\n")

    def run(self, *arguments: str, **factors: float) -> subprocess.CompletedProcess[str]:
        """Run a session on the simulated machine; ``factors`` multiply the joules of tests."""
        (self.path / "factors.json").write_text(json.dumps(factors))
        alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "100"}
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "--energy",
                "--energy-baseline-runs=1",
                *PLUGINS,
                *arguments,
            ],
            cwd=self.path,
            env={**os.environ, **alone},
            capture_output=True,
            text=True,
            check=False,
        )

    def remember_runs(self) -> None:
        """Give every baseline eight accepted runs, with a variation of 0.3 %."""
        for path in (self.path / "baselines").glob("simulated-nvidia-h100/*/*.json"):
            baseline = json.loads(path.read_text())
            first = baseline["accepted"][0]
            baseline["accepted"] = [
                _scaled(first, 1 + 0.003 * (number % 3 - 1)) for number in range(8)
            ]
            path.write_text(json.dumps(baseline))

    def baselines(self) -> dict[Path, str]:
        """The text of every baseline."""
        folder = self.path / "baselines"
        return {path.relative_to(folder): path.read_text() for path in folder.rglob("*.json")}

    def results(self) -> dict[str, Any]:
        """The results of the last session."""
        return dict(json.loads((self.path / ".energy" / "results.json").read_text("utf-8")))

    def outcomes(self) -> dict[str, str]:
        """The outcome of each benchmark of the last session, by the name of its test."""
        return {
            benchmark["id"].partition("::")[2]: benchmark["verdict"]["outcome"]
            for benchmark in self.results()["benchmarks"]
        }


def _scaled(run: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**run, "values": {name: value * factor for name, value in run["values"].items()}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, module_forks: None) -> Suite:
    """The suite with its baselines, made on one card."""
    suite = Suite(tmp_path_factory.mktemp("suite"))
    with virtual_machine(CARD):
        session = suite.run("--energy-update=new")
    assert session.returncode == 0, session.stdout
    suite.remember_runs()
    return suite


@pytest.fixture
def suite(recorded: Suite) -> Iterator[Suite]:
    """The recorded suite on a machine with the same card."""
    with virtual_machine(CARD):
        yield recorded


def test_no_baseline(suite: Suite) -> None:
    """A first run passes and says what to do next."""
    session = suite.run("-k", "same or up", "--energy-baselines=none")
    assert session.returncode == 0
    assert set(suite.outcomes().values()) == {"new"}
    assert_matches_snapshot(wording(session.stdout, "energy"), "no-baseline")


@pytest.mark.parametrize(
    ("name", "factor", "outcome"),
    [
        pytest.param("same", 1.0, "unchanged", id="unchanged"),
        pytest.param("down", 0.92, "improved", id="improved"),
        pytest.param("noisy", 1.0, "inconclusive", id="noisy"),
        pytest.param("shared", 2.0, "inconclusive", id="contended"),
    ],
)
def test_what_passes(
    suite: Suite, name: str, factor: float, outcome: str, request: pytest.FixtureRequest
) -> None:
    """Equal joules, fewer joules and undecided joules pass; fewer are not accepted by themselves.

    The noisy test stays too uncertain after all its visits. Nothing is decided on a card that
    others use, whatever the joules.
    """
    session = suite.run("-k", name, **{name: factor})
    assert session.returncode == 0
    assert list(suite.outcomes().values()) == [outcome]
    assert_matches_snapshot(wording(session.stdout, "energy"), request.node.callspec.id)


def test_eight_percent_more_fails_until_it_is_gone(suite: Suite) -> None:
    """Above the tolerance of 5 % a test fails, and ``--lf`` runs it alone and fails again."""
    session = suite.run("-k", "same or up", up=1.08)
    assert session.returncode == 1
    assert suite.outcomes() == {"test_it[same]": "unchanged", "test_it[up]": "regressed"}
    (energy,) = [
        metric
        for metric in suite.results()["benchmarks"][1]["verdict"]["metrics"]
        if metric["metric"] == "energy_j"
    ]
    assert energy["change"] == pytest.approx(0.08, abs=0.005)
    assert_matches_snapshot(wording(session.stdout, "FAILURES"), "regressed")
    again = suite.run("--lf", up=1.08)
    assert again.returncode == 1
    assert suite.outcomes() == {"test_it[up]": "regressed"}
    assert_matches_snapshot(wording(again.stdout, "FAILURES"), "last-failed")
    assert suite.run("--lf").returncode == 0


@pytest.mark.parametrize(
    ("selected", "count"), [("same", 1), ("test_it or shared", 5)], ids=["one", "five"]
)
def test_the_last_lines_explain_a_regression(suite: Suite, selected: str, count: int) -> None:
    """The last 20 lines have the regression, its size and certainty, its cause and a next step."""
    session = suite.run("-k", selected, all=1.08)
    assert session.returncode == 1
    tail = "\n".join(session.stdout.splitlines()[-20:])
    expected = [
        rf"^regressed \({count}\)$",
        r"^  test_suite\.py::test_",
        r"^    Energy .+ → .+ J/call, \+8(\.\d)? % \[\+.+\] \(95 % sure\), tolerance 5 %$",
        r"^    likely cause: power \+\d.* % × time .+ %$",
        r"^  → measure (it|them) again: pytest .*test_suite\.py::test_it.* --energy$",
        r"^  → intended\? Rerun with --energy-update$",
        rf"^✗ Gate failed: {'the benchmark' if count == 1 else f'all {count} benchmarks'} exceed",
    ]
    assert [line for line in expected if not re.search(line, tail, re.MULTILINE)] == [], tail


def test_other_card(recorded: Suite) -> None:
    """Twice the joules on another card fail nothing, and each difference is named."""
    with virtual_machine(OTHER_CARD):
        session = recorded.run("-k", "same", same=2.0)
    assert session.returncode == 0
    assert recorded.outcomes() == {"test_it[same]": "incomparable"}
    assert_matches_snapshot(wording(session.stdout, "energy"), "other-card")


def test_another_card_gets_its_own_baselines(recorded: Suite) -> None:
    """A baseline of another card only is new on this card, and is accepted beside the other."""
    before = recorded.baselines()
    with virtual_machine(OTHER_CARD):
        session = recorded.run("-k", "same", "--energy-update=new", same=2.0)
        assert session.returncode == 0
        added = recorded.baselines().keys() - before.keys()
        assert {str(path) for path in added} == {
            "simulated-nvidia-h200/test_suite/test_it--same.json"
        }
        assert_matches_snapshot(wording(session.stdout, "energy"), "other-card-accepted")
        recorded.run("-k", "same", "--energy-update=new", same=2.0)
        assert recorded.outcomes() == {"test_it[same]": "unchanged"}
    assert {path: recorded.baselines()[path] for path in before} == before


@pytest.fixture(scope="module")
def three_cards(
    tmp_path_factory: pytest.TempPathFactory, module_forks: None
) -> Iterator[tuple[Suite, str]]:
    """The suite on a machine with three cards, and the output of three workers that record it."""
    suite = Suite(tmp_path_factory.mktemp("three"))
    with SimulatedNvml(CARD, CARD, CARD):  # on the real clock: three processes run at a time
        session = suite.run("-n3", "-v", "--energy-update=new")
        assert session.returncode == 0, session.stdout
        yield suite, session.stdout


def test_three_workers(three_cards: tuple[Suite, str]) -> None:
    """Each worker has a card, and each benchmark its own joules; one worker is killed.

    Benchmarks run on the cards of their baselines. All finished ones are judged, and ``--lf``
    measures the lost one. Joules end the retries of the noisy test.
    """
    suite, recorded = three_cards
    assert_recorded(suite, recorded)
    suite.remember_runs()
    changes = {"up": 1.08, "down": 0.92, "noisy": 1.0, "shared": 1.0, "killed": 1.0}
    session = suite.run("-n3", "--energy-retry-energy=400", **changes)
    assert session.returncode == 1
    assert suite.outcomes() == {
        "test_it[same]": "unchanged",
        "test_it[up]": "regressed",
        "test_it[down]": "improved",
        "test_it[noisy]": "inconclusive",
        "test_shared": "inconclusive",
    }
    run = suite.results()["run"]
    assert any(note.startswith("killed before they had finished: gw") for note in run["notes"])
    assert run["energy_j"] is None  # what it spent nobody knows
    assert "FAILED test_suite.py::test_it[up] - Failed: energy regressed: " in session.stdout
    assert "FAILED test_suite.py::test_killed" in session.stdout  # with a reason since pytest 8.3
    assert_matches_snapshot(wording(session.stdout, "energy"), "three-workers")
    again = suite.run("-n3", "--lf")
    assert again.returncode == 0
    assert suite.outcomes() == {"test_it[up]": "unchanged", "test_killed": "unchanged"}
    assert_matches_snapshot(wording(again.stdout, "energy"), "killed-again")


def assert_recorded(suite: Suite, output: str) -> None:
    """Three workers have recorded each benchmark once, and the output names each file once."""
    powers_w = {"same": 200, "up": 180, "down": 220, "noisy": 160, "shared": 240, "killed": 140}
    results = suite.results()
    for item in results["benchmarks"]:
        (name,) = re.findall(r"\w+(?=\]?$)", item["id"].removeprefix("test_suite.py::test_"))
        assert item["metrics"]["power_w"]["value"] == pytest.approx(powers_w.pop(name), rel=0.15)
    assert not powers_w
    assert len(results["environment"]["context"]["board"]) == 3
    assert results["run"]["energy_j"] > 0
    files = [f"baselines/{file}" for file in suite.baselines()]
    assert sorted(results["run"]["accepted"]) == sorted(files)
    lines = output.splitlines()
    assert sorted(line for line in lines if line.startswith("energy: accepted ")) == [
        f"energy: accepted {file}" for file in sorted(files)
    ]
    assert sum(line.startswith("energy: will measure with NVML") for line in lines) == 3
    assert "✓ Recorded 6 baselines; commit baselines/." in output
    if BENCHMARK_VERSION >= (5, 3):  # older ones say so of any session with workers
        assert "Benchmarks are automatically disabled" not in output
    assert list((suite.path / ".energy").glob("*.workers-*")) == []
