"""``pytest-energy simulate``: record, change, regress and accept without a GPU."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pytest_energy.cli import main
from pytest_energy.measuring.waiting import synchronizer
from pytest_energy.plugin.gpu_locks import lock_folder
from pytest_energy.plugin.results_lock import lock_name
from pytest_energy.simulation import build, layout
from pytest_energy.simulation.load import Load
from pytest_energy.testing import SimulatedNvml

SLEEPING = """
import os, time

def test_it(energy):
    energy(time.sleep, float(os.environ["AMOUNT"]))
"""


def of_the_page(name: str) -> str:
    """A file of docs/simulate.md; its first test takes its seconds from the environment."""
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text("utf-8")
    text = page.partition(f"```python\n# {name}\n")[2].partition("```")[0]
    return text.replace("SECONDS = 0.2\n", 'import os\n\nSECONDS = float(os.environ["AMOUNT"])\n')


SPINNING = """
import asyncio

def spin():
    sum(range(1000))

async def spin_slowly():
    spin()

def test_call(energy):
    energy(spin)

def test_repeat(energy):
    for w in energy.repeat("decode"):
        spin()

def test_awaited(energy):
    async def body():
        await energy.acall(spin_slowly)

    asyncio.run(body())
"""


@dataclass(frozen=True)
class Done:
    """What the command left."""

    returncode: int
    stdout: str
    stderr: str


class Sandbox:
    """A folder with tests, run by the command in this process, whose child is a fork."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capfd = capfd

    def run(self, *arguments: str, amount: float = 0.2) -> Done:
        """Run the tests on the virtual clock; ``amount`` is how much they do."""
        pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--energy"]
        self._capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("AMOUNT", str(amount))
            status = main(
                [
                    *("simulate", "h100", "--virtual-clock", "--"),
                    *pytest_command,
                    "--energy-window=1",
                    "--energy-rounds=2",
                    "--energy-baseline-runs=1",
                    "--energy-output=markdown:summary.md",
                    *arguments,
                ]
            )
        return Done(status, *self._capfd.readouterr())

    def outcomes(self) -> set[str]:
        """The outcomes of the last run's benchmarks."""
        results = json.loads((self.folder / ".energy/results.json").read_text())
        return {each["verdict"]["outcome"] for each in results["benchmarks"]}

    def metrics(self, name: str) -> dict[str, dict[str, float]]:
        """The metrics of a benchmark of the last run."""
        results = json.loads((self.folder / ".energy/results.json").read_text())
        metrics: dict[str, dict[str, float]] = next(
            each["metrics"] for each in results["benchmarks"] if each["id"].endswith(name)
        )
        return metrics


@pytest.fixture
def sandbox(tmp_path: Path, capfd: pytest.CaptureFixture[str], forks: None) -> Sandbox:
    """A folder for tests."""
    return Sandbox(tmp_path, capfd)


@pytest.fixture(scope="module")
def torch() -> Any:
    """torch, before any pytester: that forgets what is imported later, and torch starts once."""
    return pytest.importorskip("torch")


def test_a_reader_records_regresses_and_accepts(sandbox: Sandbox) -> None:
    """The steps of the page have the outcomes that it states, and each output says simulated."""
    (sandbox.folder / "test_answer.py").write_text(of_the_page("test_answer.py"))
    recorded = sandbox.run("--energy-update")
    assert recorded.returncode == 0, recorded.stdout
    energy = sandbox.metrics("test_answer")["energy_j"]
    assert energy["value"] == pytest.approx(350 * 0.2, rel=2e-3)
    markdown = (sandbox.folder / "summary.md").read_text()
    page = (sandbox.folder / ".energy/report.html").read_text()
    results = (sandbox.folder / ".energy/results.json").read_text()
    for text in (recorded.stdout, recorded.stderr, markdown, page, results):
        assert "simulated NVIDIA H100" in text
    for text in (recorded.stdout, markdown, page):
        assert "GPUs are simulated" in text
    (baseline,) = (sandbox.folder / "baselines").glob("simulated-nvidia-h100*/*/*.json")
    assert json.loads(baseline.read_text())["identity"]["simulated_load"] == "350 W, virtual clock"
    assert sandbox.run(amount=0.22).returncode == 1
    assert sandbox.outcomes() == {"regressed"}


def test_the_network_of_the_page_runs(torch: Any, pytester: pytest.Pytester) -> None:
    """Both files pass; comparing two revisions of them takes minutes, and no test does it."""
    for name in ("network.py", "test_network.py"):
        pytester.path.joinpath(name).write_text(of_the_page(name))
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_joules_follow_the_flops_of_torch(torch: Any) -> None:
    """Above rest, each TFLOP has the joules that the load says, whatever the time."""
    matrix = torch.ones(128, 128)
    with SimulatedNvml() as machine:
        begun_s = machine.now_s()
        with Load(watts_per_tflops=1000.0).applied(machine):
            for _ in range(20):
                matrix @ matrix
        ended_s = machine.now_s()
        above_rest_j = machine.true_energy_j(begun_s, ended_s) - 70.0 * (ended_s - begun_s)
    assert above_rest_j == pytest.approx(1000.0 * 20 * 2 * 128**3 * 1e-12, rel=1e-3)


def test_the_flops_of_a_card_are_those_that_torch_counts(torch: Any) -> None:
    """Forward and backward, by composite operations, too, and each time that they run."""
    from torch.utils.flop_counter import FlopCounterMode

    convolution, linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(6, 5)
    images, tokens = torch.ones(2, 3, 8, 8), torch.ones(2, 2, 3, 6, requires_grad=True)

    def work() -> None:
        with torch.inference_mode():
            convolution(images)
        attended = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        linear(attended).sum().backward()

    with FlopCounterMode(display=False) as counter:
        work()
    with SimulatedNvml() as machine:
        begun_s = machine.now_s()
        with Load(watts_per_tflops=1e6).applied(machine):
            work()
            work()
            synchronizer()()  # the card may still have a queue
            ended_s = machine.now_s()
        above_rest_j = machine.true_energy_j(begun_s, ended_s) - 70.0 * (ended_s - begun_s)
    assert above_rest_j == pytest.approx(1e6 * 2 * counter.get_total_flops() * 1e-12, rel=1e-3)


def test_work_of_the_cpu_on_the_virtual_clock_is_refused(sandbox: Sandbox) -> None:
    """It takes no time there, so that no round would end; the real clock is the remedy."""
    (sandbox.folder / "test_it.py").write_text(SPINNING)
    refused = sandbox.run()
    assert refused.returncode == 1
    assert "3 failed" in refused.stdout
    assert refused.stdout.count("simulate without --virtual-clock") >= 3


def test_two_simulated_sessions_do_not_write_one_file(sandbox: Sandbox) -> None:
    """Each has cards of its own, but the second one would replace the results of the first."""
    (sandbox.folder / "test_it.py").write_text(SLEEPING)
    results = sandbox.folder / ".energy/results.json"
    with FileLock(lock_folder() / lock_name(results)):
        done = sandbox.run()
    assert done.returncode == 4
    assert f"another session is writing {results}" in done.stderr


def test_several_processes_on_one_virtual_clock_are_refused(sandbox: Sandbox) -> None:
    """Each would sleep for all of them, and lengthen their windows."""
    (sandbox.folder / "test_it.py").write_text(SLEEPING)
    refused = sandbox.run("-n2")
    assert refused.returncode == 4
    assert "--virtual-clock: -n 2 measures in several processes at once" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["h300", "--", "true"], ["'h300'", "h100", "a100"]),
        (["h100"], ["no command", "-- COMMAND"]),
        (["h100", "--"], ["no command"]),
        (["h100", "--", "no-such-program"], ["'no-such-program'", "No such file"]),
        (["h100", "--power=50", "--", "true"], ["--power=50", "70 W"]),
        (["h100", "--power=nan", "--", "true"], ["'nan'", "above 0", "script"]),
    ],
)
def test_errors_name_the_word_and_the_remedy(
    arguments: list[str], texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs, and one line says what was expected."""
    assert main(["simulate", *arguments]) == 2
    error = capsys.readouterr().err
    for text in texts:
        assert text in error


def test_a_missing_compiler_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says how to install one."""
    monkeypatch.setenv("CC", "no-such-compiler")
    build.build_libraries.cache_clear()
    try:
        assert main(["simulate", "h100", "--", "true"]) == 2
    finally:
        build.build_libraries.cache_clear()
    assert "no-such-compiler (from CC) is not on the path" in capsys.readouterr().err


def test_the_exit_status_is_that_of_the_command() -> None:
    """Also where a signal ended it, as a shell reports it; options may follow the cards."""
    assert main(["simulate", "h100,a100", "--power=300", "--", "sh", "-c", "exit 3"]) == 3
    assert main(["simulate", "h200", "--", "sh", "-c", "kill -9 $$"]) == 128 + 9


@pytest.mark.skipif("EVERY_COMMAND" not in os.environ, reason="two minutes: set EVERY_COMMAND=1")
def test_the_comparison_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wider layer is found against the last commit, to the hundredth of a per cent it names."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("network.py", "test_network.py"):
        Path(name).write_text(of_the_page(name))
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    network = Path("network.py")
    network.write_text(network.read_text().replace("WIDTH = 512", "WIDTH = 576"))
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text("utf-8")
    (command,) = re.findall(r"^\$ (pytest-energy simulate .* --energy-against=HEAD)$", page, re.M)

    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stdout
    change, low, high = re.findall(r"\+(12\.\d+) % \[\+([\d.]+), \+([\d.]+)\]", done.stdout)[0]
    assert float(change) == pytest.approx(12.5, abs=0.02)
    assert float(high) - float(low) < 0.05


def test_a_full_script_forgets_its_oldest_part() -> None:
    """Changes of power without end fit, and later joules stay exact."""
    with SimulatedNvml(virtual_clock=True) as machine:
        for _ in range(layout.MAX_SEGMENTS + 100):
            machine.shorten_script()
            machine.set_power(200.0)
        begun_s = machine.now_s()
        machine.advance(2.0)
        assert machine.true_energy_j(begun_s, begun_s + 2.0) == pytest.approx(400.0)
