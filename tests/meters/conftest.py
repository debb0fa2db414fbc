"""Machines for the tests of meters: simulated cards, and a package that counts as a kernel does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_energy.meters.nvml.sources import counter_reads, ticks
from pytest_energy.meters.rapl import zones
from pytest_energy.testing import SimulatedNvml
from tests.virtual import virtual_machine


@pytest.fixture
def nvml_sim(request: pytest.FixtureRequest) -> Iterator[SimulatedNvml]:
    """The machine that users have by this name, on the virtual clock."""
    cards = getattr(request, "param", ())
    with virtual_machine(*(cards if isinstance(cards, tuple) else (cards,))) as machine:
        yield machine


@pytest.fixture
def quick_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at a counter for a fifth of the usual time, where a meter opens on the real clock."""
    monkeypatch.setattr(ticks, "CALIBRATION_S", 0.1)
    monkeypatch.setattr(counter_reads, "STRETCH_S", 0.1)


@pytest.fixture
def counting_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A RAPL tree with a counter of 50 W, updated every millisecond of the real clock.

    The value is made when it is read, as the kernel does: a thread that wrote the file would be
    late on a busy machine.
    """
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (zone / "energy_uj").write_text("0\n")
    began_s = time.perf_counter()
    monkeypatch.setattr(
        zones.Zone, "read_uj", lambda _: int((time.perf_counter() - began_s) * 1000) * 50_000
    )
    return tmp_path
