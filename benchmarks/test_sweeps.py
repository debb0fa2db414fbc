"""The effect of one knob: batch size, precision, resolution or power cap, all else equal.

Depth is swept by paper D's rows in ``test_inference.py`` and ``test_training.py``: ResNet-18 to
ResNet-152 and YOLOv5 n to x.
"""

from __future__ import annotations

import pytest

from benchmarks.options import Options
from benchmarks.power_cap import capped
from benchmarks.rows import Row, cap_rows, parameters, sweep_rows
from benchmarks.training import run_training
from benchmarks.workbench import run_inference
from pytest_energy.fixture import Energy

pytestmark = pytest.mark.sweep


@pytest.mark.training
@pytest.mark.parametrize("row", parameters(sweep_rows("training")))
def test_training_sweep(energy: Energy, row: Row, options: Options) -> None:
    """Batch size and precision of training."""
    run_training(energy, row, options)


@pytest.mark.inference
@pytest.mark.parametrize("row", parameters(sweep_rows("inference")))
def test_inference_sweep(energy: Energy, row: Row) -> None:
    """Batch size and resolution of inference."""
    run_inference(energy, row)


@pytest.mark.training
@pytest.mark.parametrize("row", parameters(cap_rows()))
def test_power_cap(
    energy: Energy, row: Row, options: Options, request: pytest.FixtureRequest
) -> None:
    """The card's power limit: changed only with ``--power-caps``, and always restored."""
    with capped(energy, row, request.config):
        run_training(energy, row, options)
