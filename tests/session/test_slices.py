"""Slices of a comparison by time alone, as one side measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.marker import MarkerSettings
from pytest_energy.measuring.assemble import Place
from pytest_energy.model.measurement import Round
from pytest_energy.model.revision import Revision
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.measuring_energy import MeasuringEnergy
from pytest_energy.session.planning import SLICES_PER_BLOCK
from pytest_energy.settings import Settings
from tests.gate_data import H200

AGREED = 3


def call(energy: MeasuringEnergy) -> None:
    """A function."""
    energy(sum, range(10))


def repeat(energy: MeasuringEnergy) -> None:
    """A window whose body is repeated."""
    for _ in energy.repeat("window"):
        sum(range(10))


@pytest.mark.parametrize("measure", [call, repeat])
def test_slices_have_the_passes_of_both_sides(
    tmp_path: Path, measure: Callable[[MeasuringEnergy], None]
) -> None:
    """This side plans far more of so short a pass, and waits for its turn after each slice."""
    settings = Settings(scale="small")
    store = BaselineStore(tmp_path)
    session = EnergySession(settings, Path(), None, None, H200, store, Revision())
    planned: list[int] = []

    def pause(passes: int) -> int:
        planned.append(passes)
        return AGREED

    energy = MeasuringEnergy(
        replace(session, alternating=True),
        Place("t.py::test", "t.py", 1),
        MarkerSettings(),
        {},
        pause=pause,
    )
    measure(energy)
    (measured,) = energy.finish()
    rounds: list[Round] = measured.rounds
    assert [done.passes for done in rounds] == [AGREED] * SLICES_PER_BLOCK
    assert planned[0] > AGREED
    assert len(planned) == 1 + SLICES_PER_BLOCK
