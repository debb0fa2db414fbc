"""A language model of transformers on a simulated card: joules per token, end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.cli import main
from pytest_energy.simulation.load import Load
from pytest_energy.simulation.profiles import CARDS
from tests.virtual import virtual_machine

WATTS_PER_TFLOPS = 2e7
REST_W = 70.0
TESTS = """
import os
import pytest, torch
from transformers import LlamaConfig, LlamaForCausalLM

PROMPT = torch.arange(32)[None]

@pytest.fixture(scope="module")
def model(energy_device):
    torch.manual_seed(0)
    sizes = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, vocab_size=64)
    config = LlamaConfig(num_hidden_layers=int(os.environ["LAYERS"]), **sizes)
    return LlamaForCausalLM(config).to(energy_device).eval()

def test_prefill(energy, model):
    with torch.inference_mode():
        energy(model, PROMPT, use_cache=False, facts=model, units={"token": 32})

def test_decode(energy, model):
    for w in energy.repeat("decode", facts=model):
        out = model.generate(PROMPT[:, :4], max_new_tokens=4, min_new_tokens=4, do_sample=False)
    w.units(token=out.shape[1] - 4)
"""
STEPS = {
    "recorded": (2, "--energy-update=all", "new", 0),
    "same": (2, "-q", "unchanged", 0),
    "doubled": (4, "-q", "regressed", 1),
    "accepted": (4, "--energy-update=all", "regressed", 0),
    "same again": (4, "-q", "unchanged", 0),
}
"""By step: layers of the model, the option, and what is awaited: outcome and exit status."""
OPTIONS = (
    *("-p", "no:cacheprovider", "--energy", "--energy-scale=small"),
    *("--energy-baseline-runs=1", "--energy-protocol=fixed"),
)


@pytest.fixture(scope="module")
def _libraries() -> None:
    """Before any pytester, which forgets what is imported later: torch starts once."""
    pytest.importorskip("transformers").LlamaForCausalLM  # noqa: B018 - imports its module


def benchmarks(folder: Path) -> dict[str, dict[str, Any]]:
    """The benchmarks of the last session by their name."""
    results = json.loads((folder / ".energy" / "results.json").read_text())["benchmarks"]
    return {each["id"].rpartition("::")[2]: each for each in results}


def test_twice_the_layers_are_found_until_they_are_accepted(
    _libraries: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joules of both phases are right in each step and decide, also on the exit status.

    The truth, by torch's FLOPs and the rest of the card, lies within each interval.
    """
    pytester.makepyfile(test_model=TESTS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    load = Load(watts_per_tflops=WATTS_PER_TFLOPS, tflops=1e-5)
    for name, value in load.to_environment().items():
        monkeypatch.setenv(name, value)
    with virtual_machine(CARDS["h100"]):
        for step, (layers, option, outcome, status) in STEPS.items():
            monkeypatch.setenv("LAYERS", str(layers))
            assert pytester.runpytest_inprocess(*OPTIONS, option).ret == status, step
            found = benchmarks(pytester.path)
            assert found.keys() == {"test_prefill", "decode"}, step
            for benchmark in found.values():
                assert_right_joules(benchmark)
                verdicts = benchmark["verdict"]["metrics"]
                energy = [each["outcome"] for each in verdicts if each["metric"] == "energy_j"]
                assert energy == [outcome], step


PRODUCT = """
import torch

MATRIX = torch.ones(64, 64)

def test_product(energy):
    energy(torch.mm, MATRIX, MATRIX)
"""


@pytest.mark.usefixtures("forks")
def test_the_command_loads_its_card_by_what_torch_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is on the virtual clock, torch as well: a product has the joules of its FLOPs."""
    monkeypatch.chdir(tmp_path)
    Path("test_product.py").write_text(PRODUCT)
    card = ["h100", f"--watts-per-tflops={WATTS_PER_TFLOPS}", "--tflops=1e-5", "--virtual-clock"]
    command = [sys.executable, "-m", "pytest", *OPTIONS]
    assert main(["simulate", *card, "--", *command]) == 0
    metrics = benchmarks(tmp_path)["test_product"]["metrics"]
    joules = REST_W * metrics["latency_s"]["value"] + WATTS_PER_TFLOPS * 2 * 64**3 * 1e-12
    energy_j = metrics["energy_j"]
    assert energy_j["value"] == pytest.approx(joules, abs=energy_j["uncertainty"])
    assert energy_j["uncertainty"] < 0.02 * energy_j["value"]


def assert_right_joules(benchmark: dict[str, Any]) -> None:
    """Check joules per token, and that their interval is not wide."""
    metrics = benchmark["metrics"]
    assert benchmark["status"] == "measured"
    joules = REST_W * metrics["latency_s"]["value"]
    joules += WATTS_PER_TFLOPS * metrics["flops"]["value"] * 1e-12
    tokens = benchmark["units"]["token"]
    per_token = metrics["energy_j_per_token"]
    assert per_token["value"] == pytest.approx(joules / tokens, abs=per_token["uncertainty"])
    assert per_token["uncertainty"] < 0.02 * per_token["value"]
