"""What each knob saves against its reference, both measured in turn on this machine."""

from __future__ import annotations

import pytest

from benchmarks.knobs import knob_rows, run_knob
from benchmarks.power_cap import check_permitted
from benchmarks.rows import Row, parameters
from pytest_energy.fixture import Energy


@pytest.mark.inference
@pytest.mark.parametrize("row", parameters(knob_rows()))
def test_knob(energy: Energy, row: Row, request: pytest.FixtureRequest) -> None:
    """The ratios are in the summary of the run; nothing is asserted of them."""
    if row.knobs["knob"] == "power_cap":
        check_permitted(request.config)
    run_knob(energy, row)
