"""The energy to reach an accuracy: the joules of a training that stops there."""

from __future__ import annotations

import pytest

from benchmarks.options import Options
from benchmarks.rows import Row, parameters, target_rows
from benchmarks.target import run_to_target
from pytest_energy.fixture import Energy

pytestmark = [pytest.mark.training, pytest.mark.sweep]


@pytest.mark.parametrize("row", parameters(target_rows()))
def test_energy_to_target(energy: Energy, row: Row, options: Options) -> None:
    """Paper D: ResNet-50 to 70 % top-1 on ImageNet, with the evaluation after each epoch."""
    run_to_target(energy, row, options)
