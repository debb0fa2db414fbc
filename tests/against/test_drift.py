"""Two revisions on a card that drifts, and on a simulated card with both sides on it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pytest_energy.testing import SimulatedNvml
from tests.against.conftest import TEST, Repository, walk_once

pytestmark = pytest.mark.slow

RATIOS = {"a": 1.0, "b": 1.03, "c": 1.05, "d": 1.1, "e": 0.9}
TOLERANCE = "--energy-tolerance=0.02"
SUITE = """
import engine, pytest

@pytest.mark.parametrize("name", "abcde")
def test_it(energy, name):
    energy(engine.run, name)
"""
DRIFTING = """
import math
from pathlib import Path
from scripted_meter import work

CALLS = Path({calls!r})
RATIO = {ratios}

def run(name):
    # The calls of both sides are the clock of the card: ±3 % within 200 of them.
    number = len(CALLS.read_bytes()) if CALLS.exists() else 0
    with CALLS.open("ab") as file:
        file.write(b".")
    work(0.01 * RATIO[name] * (1 + 0.03 * math.sin(number * 2 * math.pi / 200)))
"""


def test_a_common_drift_cancels_and_rises_are_found(repository: Repository, tmp_path: Path) -> None:
    """Where the committed baselines can decide nothing below 10 %, the other revision decides."""
    repository.write("benchmarks/test_it.py", SUITE)
    calls = str(tmp_path / "calls")
    same = dict.fromkeys(RATIOS, 1.0)
    repository.write("engine.py", DRIFTING.format(calls=calls, ratios=same))
    done = repository.run("--energy-update", "--energy-baseline-runs=4", TOLERANCE)
    assert done.returncode == 0, done.stdout
    repository.commit("with baselines")
    repository.write("engine.py", DRIFTING.format(calls=calls, ratios=RATIOS))
    # Here a visit takes no time, so that the limit of time would let the drift average out.
    done = repository.run(TOLERANCE, "--energy-protocol=fixed")
    by_baselines = {name: repository.outcome(f"test_it[{name}]") for name in "abc"}
    assert by_baselines == dict.fromkeys("abc", "inconclusive"), done.stdout
    done = repository.run("--energy-against=HEAD", "--energy-against-all", TOLERANCE)
    assert {name: repository.outcome(f"test_it[{name}]") for name in RATIOS} == {
        "a": "unchanged",
        "b": "regressed",
        "c": "regressed",
        "d": "regressed",
        "e": "improved",
    }, done.stdout
    assert done.returncode == 1
    values = [
        one["energy_j"] / ratio
        for name, ratio in RATIOS.items()
        for block in repository.benchmark(f"test_it[{name}]")["comparison"]["blocks"]
        for one in block["head"]
    ]
    assert max(values) / min(values) > 1.05, "the card did not drift"


SIMULATED = """
import atexit, os, time
from pytest_energy.testing import Machine

MACHINE = Machine.attached()
on_the_card = MACHINE.process(os.getpid(), 1)
on_the_card.__enter__()
atexit.register(on_the_card.__exit__, None, None, None)

def run():
    with MACHINE.load({power_w}, 1):
        time.sleep(0.1)
"""


# A counter that ticks every 10 ms resolves short windows.
@pytest.mark.parametrize("nvml_sim", [("turing", "turing")], indirect=True)
def test_both_sides_are_on_one_of_two_simulated_cards(
    repository: Repository, nvml_sim: SimulatedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting side is no other user of the card, and a rise of 10 % on it is measured.

    It is that of the power: a busy processor makes one side sleep longer than the other.
    """
    repository.write("engine.py", SIMULATED.format(power_w=60))
    repository.commit()
    repository.write("engine.py", SIMULATED.format(power_w=66))
    for name, value in {**nvml_sim.environment(), "LD_PRELOAD": ""}.items():
        monkeypatch.setenv(name, value)
    arguments = ["--energy-meter=nvml", "--energy-passes=1"]
    comparing = walk_once(repository, arguments=arguments, gpu=nvml_sim.uuid(1))
    contest = comparing.states[TEST].contests[TEST]
    assert [
        reason.message for pair in contest.spoilt for side in pair for reason in side.reasons
    ] == []
    (block,) = contest.blocks
    assert block.differences["power_w"] == pytest.approx(math.log(1.1), abs=0.01)
