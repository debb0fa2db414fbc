"""Training in several processes counts every card once."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PLUGINS = ("-p", "pytest_benchmark.plugin", "-p", "pytest_energy.plugin")
BODY = """
import time
import torch
import torch.distributed as group
from pytest_energy.simulation.machine import Machine

def test_it(energy):
    group.init_process_group("gloo")
    machine, rank = Machine.attached(), group.get_rank()

    def epoch():
        with machine.load((20.0, 50.0)[rank], rank):
            time.sleep(1.5)
        group.all_reduce(torch.ones(1))

    energy.training(epoch, epochs=1)
    group.destroy_process_group()
"""


@pytest.mark.parametrize("nvml_sim", [("turing", "turing")], indirect=True)
def test_two_processes_on_one_host_count_each_card_once(project, torch_forks):
    """Two processes on two cards give one result with the joules of both, and one report."""
    project.write(BODY)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "pytest", "--energy", *PLUGINS],
        cwd=project.pytester.path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (item,) = project.results()["benchmarks"]
    assert item["status"] == "measured"
    assert item["workload"]["processes"] == 2
    (measured,) = item["rounds"]
    assert measured["channels"].keys() == {"gpu0", "gpu1"}
    assert measured["channels"]["gpu0"] == pytest.approx(20 * measured["duration_s"], rel=0.1)
    assert measured["channels"]["gpu1"] == pytest.approx(50 * measured["duration_s"], rel=0.1)
    assert done.stdout.count("energy: wrote .energy/report.html") == 1
