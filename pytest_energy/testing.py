"""Test your own energy budgets on a CPU: simulated GPUs whose true energy is known.

Name this module in a ``conftest.py``::

    pytest_plugins = ["pytest_energy.testing"]

and a test that asks for ``nvml_sim`` runs on a machine with one simulated H100, as do the processes
it starts. Needs Linux and a C compiler; where there is none, the test fails and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pytest_energy.simulation.build import SimulationError
from pytest_energy.simulation.machine import Machine
from pytest_energy.simulation.nvml import SimulatedNvml
from pytest_energy.simulation.profiles import PROFILES, MigProfile, Profile

__all__ = ["PROFILES", "Machine", "MigProfile", "Profile", "SimulatedNvml", "SimulationError"]


@pytest.fixture
def nvml_sim(request: pytest.FixtureRequest) -> Iterator[SimulatedNvml]:
    """A machine with one simulated H100, or with the card that ``indirect`` parametrization names.

    ``@pytest.mark.parametrize("nvml_sim", ["ada"], indirect=True)`` takes another card; a profile
    of one's own and a tuple of several are good, too.
    """
    wanted = getattr(request, "param", ())
    profiles = wanted if isinstance(wanted, tuple) else (wanted,)
    with ExitStack() as stack:
        try:
            machine = stack.enter_context(SimulatedNvml(*profiles))
        except SimulationError as error:
            pytest.fail(str(error), pytrace=False)
        yield machine
