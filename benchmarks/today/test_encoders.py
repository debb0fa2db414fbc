"""The energy of an image, a sentence and a second of audio."""

from __future__ import annotations

import pytest

from benchmarks.today.case import Case, parameters, run
from benchmarks.today.encoders import encoder_cases
from pytest_energy.fixture import Energy


@pytest.mark.parametrize("case", parameters(encoder_cases()))
def test_encoder(energy: Energy, case: Case) -> None:
    """One pass over a batch of random inputs."""
    run(energy, case)
