"""What a forward pass costs: 10,000 passes of batch 1 on random images, three times."""

from __future__ import annotations

import pytest

from benchmarks.rows import Row, inference_rows, parameters
from benchmarks.workbench import run_inference
from pytest_energy.fixture import Energy

pytestmark = pytest.mark.inference


@pytest.mark.parametrize("row", parameters(inference_rows()))
def test_inference(energy: Energy, row: Row) -> None:
    """Single images, as paper C measures them."""
    run_inference(energy, row)
