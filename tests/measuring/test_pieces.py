"""The pieces of a paused window, of which some are too short for any sensor."""

from __future__ import annotations

import pytest

from pytest_energy.measuring.pieces import GAP, joined
from pytest_energy.model.measurement import Reason, ReasonCode, Round, Shortness, TooShort

SHORT = Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="shorter than the sensor can resolve")
NEGATIVE = Reason(code=ReasonCode.NEGATIVE_ENERGY, message="-0.02 J")
LOST = Reason(code=ReasonCode.DEVICE_LOST, message="gpu0 fell off the bus")


def piece(duration_s: float, energy_j: float | None, *reasons: Reason) -> Round:
    """A piece on two devices, which draw the same."""
    half_j = None if energy_j is None else energy_j / 2
    return Round(
        start=0.0,
        duration_s=duration_s,
        passes=1,
        energy_j=energy_j,
        budget={} if energy_j is None else {"edges": 0.5},
        channels={} if half_j is None else {"gpu0": half_j, "gpu1": half_j},
        reasons=list(reasons),
    )


@pytest.mark.parametrize("energy_j", [None, -0.02, 900.0])
def test_the_moment_before_a_pause_has_the_mean_power(energy_j: float | None) -> None:
    """Whatever was read for it: its power lies between zero and ten times the mean."""
    gap = piece(1e-4, energy_j, SHORT, NEGATIVE)
    whole = joined([gap, piece(1.0, 300.0), piece(1.0, 300.0), gap], 4)
    assert whole.energy_j == pytest.approx(600.06)
    assert whole.channels == pytest.approx({"gpu0": 300.03, "gpu1": 300.03})
    assert (whole.duration_s, whole.passes, whole.reasons) == (2.0002, 4, [])
    largest_j = 2 * 1e-4 * 300.0 * 9
    assert whole.budget == pytest.approx({GAP: largest_j / 3**0.5, "edges": 0.5 * 2**0.5})


@pytest.mark.parametrize("gap_s", [0.0021, 0.05])
def test_a_short_piece_that_may_count_stays_invalid(gap_s: float) -> None:
    """More than a thousandth of the time is no moment."""
    short = TooShort.of(Shortness("0.05 s", "is shorter than 0.1 s", 2.0))
    assert short.message == (
        "the window of 0.05 s is shorter than 0.1 s; run at least 2.0 × as many passes"
    )
    whole = joined([piece(gap_s, 0.5, short), piece(2.0, 600.0)], 1)
    (reason,) = whole.reasons
    assert reason.message == (
        "a piece of 0.05 s between two pauses is shorter than 0.1 s; run at least 2.0 × as many"
        " passes"
    )


def test_a_window_of_moments_is_invalid() -> None:
    """Nothing tells their power."""
    assert joined([piece(1e-4, 0.1, SHORT), piece(1e-4, 0.1, SHORT)], 1).reasons == [SHORT, SHORT]


def test_a_fault_that_is_seen_in_a_moment_stays() -> None:
    """It is no consequence of its shortness."""
    whole = joined([piece(1e-4, None, SHORT, LOST), piece(2.0, 600.0)], 1)
    assert whole.reasons == [LOST]
