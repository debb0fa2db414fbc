"""The benchmark that needs several processes, as docs/suite.md starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import COMMAND_LINE

ROOT = Path(__file__).parents[2]
CARDS = ("-c", COMMAND_LINE, "simulate", "h100,h100", "--power=300", "--")
PROCESSES = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2")
QUICK = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--energy-window=0.3")


@pytest.mark.slow
@pytest.mark.usefixtures("torch_forks")
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """The joules are those of both cards, and the tokens those of both batches."""
    module = "benchmarks/today/test_fine_tuning.py"
    measuring = ("-m", "pytest", module, "-k", "data_parallel", "--energy", *QUICK)
    output = (
        "--energy-scale=small",
        f"--energy-output=json:{tmp_path}/results.json",
        f"--energy-output=html:{tmp_path}/report.html",
    )
    command = [sys.executable, *CARDS, *PROCESSES, *measuring, *output]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads((tmp_path / "results.json").read_text("utf-8"))["benchmarks"]
    assert found["workload"]["processes"] == 2
    metrics = {name: quantity["value"] for name, quantity in found["metrics"].items()}
    assert metrics["power_w"] == pytest.approx(600, rel=0.1)  # 300 W each
    tokens = metrics["energy_j"] / metrics["energy_j_per_token"]
    assert tokens == pytest.approx(2 * 8 * 8)
