"""Machines for the tests of meters: simulated cards, and a package that counts as a kernel does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_energy.meters.nvml.sources import counter_reads, ticks
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
def counting_package(tmp_path: Path) -> Iterator[Path]:
    """A RAPL tree whose counter runs on at 50 W."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    counter, ended = zone / "energy_uj", threading.Event()

    def count() -> None:
        began_s, scratch = time.perf_counter(), zone / "scratch"
        while not ended.wait(0.001):
            scratch.write_text(f"{int((time.perf_counter() - began_s) * 50e6)}\n")
            scratch.replace(counter)  # in one step: a reader never finds the file empty

    counter.write_text("0\n")
    thread = threading.Thread(target=count)
    thread.start()
    yield tmp_path
    ended.set()
    thread.join()
