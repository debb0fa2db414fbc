"""What training costs: epochs measured one by one, scaled to the paper's full schedule."""

from __future__ import annotations

import pytest

from benchmarks.rows import Row, parameters, training_rows
from benchmarks.training import run_training
from pytest_energy.fixture import Energy

pytestmark = pytest.mark.training


@pytest.mark.parametrize("row", parameters(training_rows()))
def test_training(energy: Energy, row: Row, epochs_asked: int | None) -> None:
    """Data loading, forward, backward, step; the score is taken afterwards."""
    run_training(energy, row, epochs_asked)
