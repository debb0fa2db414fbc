"""The energy of one step of fine-tuning, per token of the batch."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from benchmarks.today.case import Case, parameters, run
from benchmarks.today.fine_tuning import data_parallel_case, fine_tuning_cases
from pytest_energy.fixture import Energy


@pytest.mark.parametrize("case", parameters(fine_tuning_cases()))
def test_fine_tuning(energy: Energy, case: Case) -> None:
    """All weights against adapters, and two ways to need less memory."""
    run(energy, case)


@pytest.fixture
def process_device() -> Iterator[str]:
    """The device of this process; those that torchrun started are connected."""
    rank = os.environ.get("LOCAL_RANK", "0")
    device = f"cuda:{rank}" if torch.cuda.is_available() else "cpu"
    distributed = "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if distributed:
        if device != "cpu":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    yield device
    if distributed:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("case", parameters([data_parallel_case()]))
def test_data_parallel(energy: Energy, case: Case, process_device: str) -> None:
    """Two devices that train one model: the joules of both, for the batch of each."""
    run(energy, case, process_device)
