"""The energy of training: measured epoch by epoch, scaled to the paper's full schedule."""

from __future__ import annotations

import pytest

from benchmarks.options import Options
from benchmarks.rows import Row, parameters, training_rows
from benchmarks.training import run_training
from pytest_energy.fixture import Energy

pytestmark = pytest.mark.training


@pytest.mark.parametrize("row", parameters(training_rows()))
def test_training(energy: Energy, row: Row, options: Options) -> None:
    """Load data, forward, backward, step. The model is scored after the measured epochs."""
    run_training(energy, row, options)
