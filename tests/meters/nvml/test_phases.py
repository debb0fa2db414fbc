"""The phases of the sensor's period at which rounds begin."""

from __future__ import annotations

import cmath
from statistics import fmean

import pytest

from pytest_energy.meters.nvml.phases import Phases


def likeness(phases: list[float], harmonic: int) -> float:
    """How similar the phases are: 1 if a load with this many repeats has the same phase in all."""
    turns = [cmath.exp(2j * cmath.pi * harmonic * phase) for phase in phases]
    return abs(sum(turns)) / len(turns)


@pytest.mark.parametrize("rounds", [3, 6, 9])
@pytest.mark.parametrize("harmonic", range(1, 8))
def test_rounds_are_hardly_more_alike_than_rounds_at_random(harmonic: int, rounds: int) -> None:
    """For any load, the variance of the mean is at most about that of one round by their number."""
    phases = Phases()
    square = fmean(
        likeness([phases.next() for _ in range(rounds)], harmonic) ** 2 for _ in range(2000)
    )
    assert square < 1.3 / rounds


@pytest.mark.parametrize("before", range(3))
def test_three_rounds_lie_apart_for_a_load_that_repeats_as_the_sensor_looks(before: int) -> None:
    """For slow loads, the mean of three rounds is three times as exact as with random phases.

    Of rounds in a row any three do so, however many rounds other benchmarks had before.
    """
    phases = Phases()
    for _ in range(before):
        phases.next()
    square = fmean(likeness([phases.next() for _ in range(3)], 1) ** 2 for _ in range(2000))
    assert square < 0.13


@pytest.mark.parametrize("harmonic", [1, 2, 3, 5, 7, 10])
def test_many_rounds_see_all_of_a_period(harmonic: int) -> None:
    """The mean over many rounds is that of the whole period."""
    phases = Phases()
    assert likeness([phases.next() for _ in range(2000)], harmonic) < 0.1
