"""Meters of simulated cards, whose helper processes are forks."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _forks(forks: None) -> None:
    """A meter that keeps traces starts a helper process, which takes longer than most tests."""
