"""The pytest plugin: options, marker, fixture and hooks."""

from __future__ import annotations

import pytest

from pytest_energy.fixture import Energy


@pytest.fixture
def energy() -> Energy:
    """Measure the energy of what the test runs (with --energy; else run it once, plainly)."""
    return Energy()
