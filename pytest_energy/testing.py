"""For tests of your own: simulated GPUs whose true energy is known, and a contract for meters.

Name this module in a ``conftest.py``::

    pytest_plugins = ["pytest_energy.testing"]

Then a test that takes the fixture ``nvml_sim`` runs on a machine with one simulated H100, and so do
the processes that it starts. The simulation needs Linux and a C compiler; without a compiler the
test fails and says so.

:func:`~pytest_energy.meters.contract.meter_contract` checks a meter of a third party.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pytest_energy.meters.contract import BrokenContractError, meter_contract
from pytest_energy.simulation.build import SimulationError
from pytest_energy.simulation.machine import Machine
from pytest_energy.simulation.nvml import SimulatedNvml
from pytest_energy.simulation.profiles import PROFILES, MigProfile, Profile, Tail

__all__ = [
    "PROFILES",
    "BrokenContractError",
    "Machine",
    "MigProfile",
    "Profile",
    "SimulatedNvml",
    "SimulationError",
    "Tail",
    "meter_contract",
]


@pytest.fixture
def nvml_sim(request: pytest.FixtureRequest) -> Iterator[SimulatedNvml]:
    """A machine with one simulated H100, or with the cards of an ``indirect`` parametrization.

    ``@pytest.mark.parametrize("nvml_sim", ["ada"], indirect=True)`` takes another card. A parameter
    is a name in ``PROFILES``, a ``Profile``, or a tuple of these for several cards.
    """
    cards = getattr(request, "param", ())
    profiles = cards if isinstance(cards, tuple) else (cards,)
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(SimulatedNvml(*profiles))
        except SimulationError as error:
            pytest.fail(str(error), pytrace=False)
        yield machine
