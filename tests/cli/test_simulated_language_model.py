"""A language model of transformers on a simulated card: joules per token, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    "recorded": (2, "--energy-update=all"),
    "same": (2, "-q"),
    "doubled": (4, "-q"),
    "accepted": (4, "--energy-update=all"),
    "same again": (4, "-q"),
}
DRIVER = f"""
import os, pytest, shutil
for name, (layers, option) in {STEPS!r}.items():
    os.environ["LAYERS"] = str(layers)
    status = pytest.main(["-p", "no:cacheprovider", "--energy", "--energy-scale=small",
        "--energy-baseline-runs=1", "--energy-protocol=fixed", option, "test_model.py"])
    shutil.copy(".energy/results.json", f"{{name}}.json")
    open(f"{{name}}.status", "w").write(str(int(status)))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of all steps; one process runs them, since it imports torch only once."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "test_model.py").write_text(TESTS)
    (folder / "driver.py").write_text(DRIVER)
    simulate = "import sys; from pytest_energy.cli import main; sys.exit(main())"
    card = ["h100", f"--watts-per-tflops={WATTS_PER_TFLOPS}", "--tflops=1e-5", "--virtual-clock"]
    python = sys.executable
    subprocess.run(
        [python, "-c", simulate, "simulate", *card, "--", python, "driver.py"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    return folder


def benchmarks(folder: Path, step: str) -> dict[str, dict[str, Any]]:
    """The benchmarks of a step by their name."""
    results = json.loads((folder / f"{step}.json").read_text())["benchmarks"]
    return {each["id"].rpartition("::")[2]: each for each in results}


@pytest.mark.parametrize("step", STEPS)
def test_joules_per_token_are_those_of_the_flops(folder: Path, step: str) -> None:
    """The truth, by torch's FLOPs and the rest of the card, lies within each interval."""
    for benchmark in benchmarks(folder, step).values():
        metrics = benchmark["metrics"]
        assert benchmark["status"] == "measured"
        joules = REST_W * metrics["latency_s"]["value"]
        joules += WATTS_PER_TFLOPS * metrics["flops"]["value"] * 1e-12
        tokens = benchmark["units"]["token"]
        per_token = metrics["energy_j_per_token"]
        assert per_token["value"] == pytest.approx(joules / tokens, abs=per_token["uncertainty"])
        assert per_token["uncertainty"] < 0.02 * per_token["value"]


@pytest.mark.parametrize(
    ("step", "outcome", "status"),
    [
        ("recorded", "new", 0),
        ("same", "unchanged", 0),
        ("doubled", "regressed", 1),
        ("accepted", "regressed", 0),
        ("same again", "unchanged", 0),
    ],
)
def test_twice_the_layers_are_found_until_they_are_accepted(
    folder: Path, step: str, outcome: str, status: int
) -> None:
    """The joules of both phases decide; the exit status is that of the gate."""
    assert (folder / f"{step}.status").read_text() == str(status)
    found = benchmarks(folder, step)
    assert found.keys() == {"test_prefill", "decode"}
    for benchmark in found.values():
        energy = [each for each in benchmark["verdict"]["metrics"] if each["metric"] == "energy_j"]
        assert [each["outcome"] for each in energy] == [outcome]
