"""When rounds begin within the sensor's period."""

from __future__ import annotations

import cmath

import pytest

from pytest_energy.meters.nvml.meter import Phases


def likeness(phases: list[float], harmonic: int) -> float:
    """How much alike: 1 where a load of so many repeats a period is met at one moment of it."""
    turns = [cmath.exp(2j * cmath.pi * harmonic * phase) for phase in phases]
    return abs(sum(turns)) / len(turns)


@pytest.mark.parametrize("harmonic", range(1, 7))
def test_three_rounds_do_not_look_alike(harmonic: int) -> None:
    """A load that repeats once to six times a period is met at different moments of it."""
    phases = Phases()
    for _ in range(200):
        assert likeness([phases.next() for _ in range(3)], harmonic) < 0.9


@pytest.mark.parametrize("harmonic", [1, 2, 3, 5, 7, 10])
def test_many_rounds_see_all_of_a_period(harmonic: int) -> None:
    """The mean over many rounds is that of the whole load."""
    phases = Phases()
    assert likeness([phases.next() for _ in range(2000)], harmonic) < 0.1
