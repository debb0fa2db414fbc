"""What it costs to reach an accuracy: train until it is there, joules until then."""

from __future__ import annotations

import pytest

from benchmarks.rows import Row, parameters, target_rows
from benchmarks.target import run_to_target
from pytest_energy.fixture import Energy

pytestmark = [pytest.mark.training, pytest.mark.sweep]


@pytest.mark.parametrize("row", parameters(target_rows()))
def test_energy_to_target(energy: Energy, row: Row) -> None:
    """Paper D: 70 % top-1 of ImageNet by ResNet-50; the evaluations after each epoch count in."""
    run_to_target(energy, row)
