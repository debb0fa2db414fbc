"""The energy of a forward pass: three rounds of 10,000 passes on single random images."""

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
