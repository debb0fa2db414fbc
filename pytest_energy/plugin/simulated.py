"""Load simulated GPUs while the bodies of tests run, in a session of ``pytest-energy simulate``."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.model.measurement import Facts
from pytest_energy.plugin.alternation.cards import PAIRS
from pytest_energy.settings import Settings
from pytest_energy.simulation.load import Load
from pytest_energy.simulation.machine import Machine


class SimulatedLoad:
    """Applies the load of the session.

    Args:
        load: The load.
        settings: The settings of the session.
        processes: How many measure at once, as ``-n`` says; ``None`` for this one.

    Raises:
        UsageError: The load does not fit the options.
    """

    def __init__(self, load: Load, settings: Settings, processes: int | str | None) -> None:
        if settings.against is not None and load.power_w is not None:
            raise UsageError(
                "pytest-energy simulate: --energy-against alternates two processes, which cannot"
                " share a fixed power; use --watts-per-tflops"
            )
        self._load = load
        self._machine = Machine.attached()
        if self._machine.has_virtual_clock and processes:
            raise UsageError(
                f"pytest-energy simulate --virtual-clock: -n {processes} measures in several"
                " processes at once, which share the one clock: each would sleep for all; leave"
                " out -n, or --virtual-clock"
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Load the cards while the body of a test runs."""
        with self._load.applied(self._machine):
            return (yield)

    def pytest_energy_identity(self) -> Facts:
        """Joules under different loads are not comparable."""
        clock = ", virtual clock" if self._machine.has_virtual_clock else ""
        return {"simulated_load": f"{self._load.label}{clock}"}


def register_load(config: pytest.Config, settings: Settings) -> None:
    """Register the load that ``pytest-energy simulate`` asks for."""
    if load := Load.of_environment():
        processes = config.stash.get(PAIRS, None) or config.getoption("numprocesses", None)
        load_of_session = SimulatedLoad(load, settings, processes)
        config.pluginmanager.register(load_of_session, "energy-simulated")
