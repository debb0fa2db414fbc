"""Two revisions on a card that drifts, and on a simulated card with both sides on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.testing import SimulatedNvml
from tests.against.conftest import Repository

pytestmark = pytest.mark.slow

RATIOS = {"a": 1.0, "b": 1.05, "c": 1.1, "d": 0.9}
SUITE = """
import engine, pytest

@pytest.mark.parametrize("name", "abcd")
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
    """Under ±3 % unchanged stays unchanged; +5 % is found beyond a tolerance of 3 %."""
    repository.write("benchmarks/test_it.py", SUITE)
    calls = str(tmp_path / "calls")
    same = dict.fromkeys(RATIOS, 1.0)
    repository.write("engine.py", DRIFTING.format(calls=calls, ratios=same))
    repository.commit()
    repository.write("engine.py", DRIFTING.format(calls=calls, ratios=RATIOS))
    done = repository.run("--energy-against=HEAD", "--energy-tolerance=0.03")
    assert {name: repository.outcome(f"test_it[{name}]") for name in RATIOS} == {
        "a": "unchanged",
        "b": "regressed",
        "c": "regressed",
        "d": "improved",
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
on_the_card = MACHINE.process(os.getpid())
on_the_card.__enter__()
atexit.register(on_the_card.__exit__, None, None, None)

def run():
    with MACHINE.load({power_w}):
        time.sleep(0.3)
"""


def test_both_sides_are_on_one_simulated_card(
    repository: Repository, nvml_sim: SimulatedNvml
) -> None:
    """The waiting side counts as no other user of the card, and a rise of 10 % is found."""
    repository.write("engine.py", SIMULATED.format(power_w=300))
    repository.commit()
    repository.write("engine.py", SIMULATED.format(power_w=330))
    done = repository.run(
        *("--energy-against=HEAD", "--energy-meter=nvml", "--energy-passes=1"),
        **nvml_sim.environment() | {"LD_PRELOAD": ""},
    )
    assert repository.outcome() == "regressed", done.stdout
    change = repository.benchmark()["verdict"]["metrics"][0]["change"]
    assert change == pytest.approx(0.1, abs=0.01)
    assert done.returncode == 1
