"""``pytest-energy simulate``: record, change, regress and accept without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_energy.cli import main
from pytest_energy.simulation import build, layout
from pytest_energy.testing import SimulatedNvml

SLEEPING = """
import os, time

def test_it(energy):
    energy(time.sleep, float(os.environ["AMOUNT"]))
"""
OWN = """
import os
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.qkv(x)[:, None].chunk(3, -1)
        x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + self.narrow(self.wide(x).relu())

layers = int(os.environ["AMOUNT"])
model = nn.Sequential(*(Block() for _ in range(layers))).eval()
prompt, last = torch.randn(1, 32, 64), torch.randn(1, 1, 64)
prefill, decode = (lambda: model(prompt)), (lambda: [model(last) for _ in range(4)])
"""
TRANSFORMERS = """
import os
import torch
from transformers import GPT2Config, GPT2LMHeadModel

layers = int(os.environ["AMOUNT"])
config = GPT2Config(vocab_size=64, n_positions=64, n_embd=64, n_layer=layers, n_head=2)
model = GPT2LMHeadModel(config).eval()
prompt = torch.arange(32)[None]
prefill = lambda: model(prompt)

def decode():
    return model.generate(
        prompt[:, :1], min_new_tokens=4, max_new_tokens=4, do_sample=False, pad_token_id=0
    )
"""
PHASES = """
import pytest

@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield

def test_prefill(energy):
    energy(prefill, units={"token": 32})

def test_decode(energy):
    energy(decode, units={"token": 4})
"""
BY_FLOPS = ("--watts-per-tflops=200000", "--tflops=0.001")


class Sandbox:
    """A folder with tests, run through the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *arguments: str, amount: float = 0.2, load: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run the tests on the virtual clock; ``amount`` is how much they do."""
        script = "import sys; from pytest_energy.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", script, "simulate", "h100", *load]
        pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--energy"]
        return subprocess.run(
            [
                *command,
                "--virtual-clock",
                "--",
                *pytest_command,
                "--energy-window=1",
                "--energy-rounds=2",
                "--energy-baseline-runs=1",
                "--energy-markdown=summary.md",
                *arguments,
            ],
            cwd=self.folder,
            env={**os.environ, "AMOUNT": str(amount), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

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
def sandbox(tmp_path: Path) -> Sandbox:
    """A folder for tests."""
    return Sandbox(tmp_path)


def test_a_reader_records_regresses_and_accepts(sandbox: Sandbox) -> None:
    """The steps of the page have the outcomes that it states, and each output says simulated."""
    (sandbox.folder / "test_it.py").write_text(SLEEPING)
    recorded = sandbox.run("--energy-update")
    assert recorded.returncode == 0, recorded.stdout
    energy = sandbox.metrics("test_it")["energy_j"]
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


@pytest.mark.parametrize(
    "model",
    [
        OWN,
        pytest.param(
            TRANSFORMERS,
            marks=pytest.mark.skipif(
                find_spec("transformers") is None, reason="transformers is not installed"
            ),
        ),
    ],
    ids=["own", "transformers"],
)
def test_doubled_layers_regress_until_they_are_accepted(sandbox: Sandbox, model: str) -> None:
    """Joules a token of prefill and decode follow the FLOPs of the layers."""
    (sandbox.folder / "test_it.py").write_text(model + PHASES)

    def run(*arguments: str, amount: int) -> int:
        return sandbox.run(*arguments, amount=amount, load=BY_FLOPS).returncode

    assert run("--energy-update", amount=2) == 0
    before_j = sandbox.metrics("test_prefill")["energy_j_per_token"]["value"]
    assert run(amount=4) == 1
    assert sandbox.outcomes() == {"regressed"}
    after_j = sandbox.metrics("test_prefill")["energy_j_per_token"]["value"]
    assert 1.5 < after_j / before_j < 2.1
    assert "energy_j_per_token" in sandbox.metrics("test_decode")
    assert run("--energy-update", amount=4) == 0
    assert run(amount=4) == 0
    assert sandbox.outcomes() == {"unchanged"}


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


def test_a_full_script_forgets_its_oldest_part() -> None:
    """Changes of power without end fit, and later joules stay exact."""
    with SimulatedNvml(virtual_clock=True) as machine:
        for _ in range(layout.MAX_SEGMENTS + 100):
            machine.shorten_script()
            machine.set_power(200.0)
        begun_s = machine.now_s()
        machine.advance(2.0)
        assert machine.true_energy_j(begun_s, begun_s + 2.0) == pytest.approx(400.0)
