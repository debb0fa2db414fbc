"""Two revisions compared on two simulated GPUs at the same time, by a pair of sides on each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.against.conftest import Repository
from tests.against.test_failing_sides import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("nvml_sim"),
    pytest.mark.parametrize("nvml_sim", [("turing", "turing")], indirect=True),
]

OPTIONS = (
    *("--energy", "--energy-meter=scripted", "--energy-scale=small", "--energy-output=html:none"),
    *("--energy-against=HEAD", "--energy-against-blocks=4"),
    *("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:benchmark", "-n2"),
)
ENGINE = """
import os, time
from pathlib import Path
from scripted_meter import work

def run():
    {body}

def last():
    {last}
"""
BY_CARD = """

def open_meter(request):
    meter = ScriptedMeter()
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", request.devices[0])
    assert request.devices == (shown,)
    meter.spent_j = lambda: CLOCK.perf_counter() * SCRIPT["power_w"]
    meter.environment = meter.environment.model_copy(update={"context": {"board": [shown]}})
    return meter
"""
"""The meter of one scripted card: one of NVML would measure for seconds when each side opens it."""
SUITE = """
import engine, pytest

@pytest.mark.energy(passes=2)
def test_it(energy):
    energy(engine.run)

@pytest.mark.energy(passes=2)
def test_same(energy):
    energy(engine.work, 0.03)

@pytest.mark.energy(passes=2)
def test_last(energy):
    energy(engine.work, 0.04)

@pytest.mark.energy(passes=2)
def test_crash(energy):
    energy(engine.last)
"""


def start(repository: Repository) -> subprocess.Popen[str]:
    """Start a session on both cards."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *OPTIONS],
        cwd=repository.folder,
        env={**os.environ, "PYTHONPATH": str(repository.library)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def revise(repository: Repository, before: str, after: str, last: str = "work(0.05)") -> None:
    """Commit one body of the changing function, and leave the other in the working tree."""
    meter = repository.library / "scripted_meter.py"
    meter.write_text(meter.read_text("utf-8") + BY_CARD, "utf-8")
    repository.write("benchmarks/test_it.py", SUITE)
    repository.write("engine.py", ENGINE.format(body=before, last="work(0.05)"))
    repository.commit()
    repository.write("engine.py", ENGINE.format(body=after, last=last))


def test_each_card_measures_its_share(repository: Repository) -> None:
    """A rise is found, a side that crashes costs its own benchmark, and the rest is unchanged."""
    revise(repository, "work(0.04)", "work(0.052)", last="os._exit(7)")
    with start(repository) as process:
        output, _ = process.communicate(timeout=900)
    assert process.returncode == 1, output
    assert "by a pair of sides on each of 2 GPUs" in output
    assert "the head side crashed: it ended with status 7" in output
    assert "Also: " not in output, "each failure is counted once"
    names = ("test_it", "test_same", "test_last", "test_crash")
    outcomes = [repository.outcome(name) for name in names]
    assert outcomes == ["regressed", "unchanged", "unchanged", "invalid"]
    run = repository.results()
    boards = [repository.benchmark(name)["context"]["board"] for name in names[:3]]
    assert boards[0] == boards[2] != boards[1]
    assert len(run["environment"]["context"]["board"]) == 2
    assert len(run["run"]["against"]["controls"]) == 2
    assert run["run"]["energy_j"] > 0
    spans = [
        {
            side["start"]
            for name in measured
            for block in repository.benchmark(name)["comparison"]["blocks"]
            for side in block["base"]
        }
        for measured in (("test_it", "test_last"), ("test_same",))
    ]
    assert min(spans[0]) < max(spans[1]), "the cards measure at the same time"
    assert min(spans[1]) < max(spans[0])
    assert len(repository.worktrees()) == 1


def test_an_interruption_ends_the_sides_of_both_cards(
    repository: Repository, tmp_path: Path
) -> None:
    """Ctrl-C leaves no process and no tree behind, and the session says that it is incomplete."""
    marks = tmp_path / "marks"
    marks.mkdir()
    body = f"Path({str(marks)!r}, str(os.getpid())).touch(); time.sleep(1000)"
    revise(repository, body, body)
    repository.write("benchmarks/test_it.py", SUITE.replace("engine.work, 0.03", "engine.run"))
    with start(repository) as process:
        wait_until(lambda: len(list(marks.iterdir())) == 2)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    assert len(repository.worktrees()) == 1
    for mark in marks.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.name), 0)
