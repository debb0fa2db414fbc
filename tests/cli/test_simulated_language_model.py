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
    "recorded": (2, "--energy-update=all", "new", 0),
    "same": (2, "-q", "unchanged", 0),
    "doubled": (4, "-q", "regressed", 1),
    "accepted": (4, "--energy-update=all", "regressed", 0),
    "same again": (4, "-q", "unchanged", 0),
}
"""By step: layers of the model, the option, and what is awaited: outcome and exit status."""
DRIVER = f"""
import os, pytest, shutil
for name, (layers, option, *_) in {STEPS!r}.items():
    os.environ["LAYERS"] = str(layers)
    status = pytest.main(["-p", "no:cacheprovider", "-p", "no:unraisableexception",
        "--energy", "--energy-scale=small", "--energy-baseline-runs=1",
        "--energy-protocol=fixed", option, "test_model.py"])
    shutil.copy(".energy/results.json", f"{{name}}.json")
    open(f"{{name}}.status", "w").write(str(int(status)))
"""


def run_steps(folder: Path) -> None:
    """Run all steps in one process, since it imports torch only once."""
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


def benchmarks(folder: Path, step: str) -> dict[str, dict[str, Any]]:
    """The benchmarks of a step by their name."""
    results = json.loads((folder / f"{step}.json").read_text())["benchmarks"]
    return {each["id"].rpartition("::")[2]: each for each in results}


@pytest.mark.usefixtures("forks")
def test_twice_the_layers_are_found_until_they_are_accepted(tmp_path: Path) -> None:
    """The joules of both phases are right in each step and decide, also on the exit status.

    The truth, by torch's FLOPs and the rest of the card, lies within each interval.
    """
    run_steps(tmp_path)
    for step, (_, _, outcome, status) in STEPS.items():
        assert (tmp_path / f"{step}.status").read_text() == str(status), step
        found = benchmarks(tmp_path, step)
        assert found.keys() == {"test_prefill", "decode"}, step
        for benchmark in found.values():
            assert_right_joules(benchmark)
            verdicts = benchmark["verdict"]["metrics"]
            energy = [each["outcome"] for each in verdicts if each["metric"] == "energy_j"]
            assert energy == [outcome], step


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
