"""The energy to reach an accuracy: the joules of a training that stops there."""

from __future__ import annotations

import pytest

from benchmarks.options import Options
from benchmarks.power_cap import capped
from benchmarks.rows import Row, parameters, target_cap_rows, target_rows
from benchmarks.target import run_to_target
from pytest_energy.fixture import Energy

pytestmark = [pytest.mark.training, pytest.mark.sweep]


@pytest.mark.parametrize("row", parameters(target_rows()))
def test_energy_to_target(energy: Energy, row: Row, options: Options) -> None:
    """Paper D: ResNet-50 to 70 % top-1 on ImageNet, with the evaluation after each epoch."""
    run_to_target(energy, row, options)


@pytest.mark.parametrize("row", parameters(target_cap_rows()))
def test_energy_to_target_capped(
    energy: Energy, row: Row, options: Options, request: pytest.FixtureRequest
) -> None:
    """The same under a power limit, which is changed only with ``--power-caps``."""
    with capped(energy, row, request.config):
        run_to_target(energy, row, options)
