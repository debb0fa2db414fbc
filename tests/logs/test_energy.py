"""Joules from readings: laws that hold for any log, and the effect of gaps."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import UsageError
from pytest_energy.logs.energy import Reading, build_channel

METHODS = ("trapezoid", "hold", "counter")

steps = st.floats(0.01, 10)
powers = st.floats(0, 1000)


@st.composite
def logs(draw):
    """A log in the order of time, with any power; a counter grows."""
    method = draw(st.sampled_from(METHODS))
    pairs = draw(st.lists(st.tuples(steps, powers), min_size=2, max_size=30))
    times = itertools.accumulate((step for step, _ in pairs), initial=1.6e9)
    values = [power for _, power in pairs]
    if method == "counter":
        values = list(itertools.accumulate(values))
    readings = [Reading(*pair) for pair in zip(times, values, strict=False)]
    return build_channel("log", readings, method, max_gap_s=100)


def channel(*pairs, method="trapezoid", max_gap_s=None):
    """A channel of pairs of time and value."""
    return build_channel("log", [Reading(*pair) for pair in pairs], method, max_gap_s)


@given(logs(), st.lists(st.floats(0, 1), max_size=5))
def test_windows_in_a_row_add_up_to_the_log(log, shares):
    """The joules of adjacent windows add up to those of the log, wherever they are divided."""
    start_s, end_s = log.pieces[0].start_s, log.pieces[-1].end_s
    cuts = sorted({start_s, end_s, *(start_s + share * (end_s - start_s) for share in shares)})
    parts = [log.energy_between(*pair) for pair in itertools.pairwise(cuts)]

    whole = log.energy()
    assert sum(part.energy_j for part in parts) == pytest.approx(whole.energy_j, rel=1e-6, abs=1e-3)
    assert all(part.covered_share == pytest.approx(1, abs=1e-4) for part in parts)


@given(logs())
def test_the_whole_log_is_the_widest_window(log):
    """The window from the first to the last reading has the joules of the log."""
    window = log.energy_between(log.pieces[0].start_s, log.pieces[-1].end_s)

    assert window.energy_j == pytest.approx(log.energy().energy_j, rel=1e-6, abs=1e-6)


@given(st.lists(steps, min_size=1, max_size=30), powers, st.sampled_from(["trapezoid", "hold"]))
def test_constant_power_is_power_times_time(gaps, power_w, method):
    """At constant power every method gives exactly watts times seconds, at any spacing."""
    times = list(itertools.accumulate(gaps, initial=0.0))
    log = channel(*((time_s, power_w) for time_s in times), method=method, max_gap_s=100)

    energy = log.energy()
    assert energy.energy_j == pytest.approx(power_w * times[-1])
    assert energy.sampling_j == 0


@given(logs(), st.floats(0.1, 10))
def test_joules_are_proportional_to_power(log, factor):
    """Multiplying all readings by a factor multiplies the joules by it."""
    scaled = channel(
        *((piece.start_s, piece.start_w * factor) for piece in log.pieces),
        (log.pieces[-1].end_s, log.pieces[-1].end_w * factor),
        method="hold",
        max_gap_s=100,
    )
    held = channel(
        *((piece.start_s, piece.start_w) for piece in log.pieces),
        (log.pieces[-1].end_s, log.pieces[-1].end_w),
        method="hold",
        max_gap_s=100,
    )

    assert scaled.energy().energy_j == pytest.approx(factor * held.energy().energy_j)


@given(st.sets(st.integers(1, 98), max_size=97), powers, st.floats(1, 20))
def test_lost_readings_never_add_joules(lost, power_w, max_gap_s):
    """Whichever readings are lost, the joules are those of the time covered."""
    pairs = [(float(second), power_w) for second in range(100) if second not in lost]
    if max(later[0] - earlier[0] for earlier, later in itertools.pairwise(pairs)) > max_gap_s:
        pairs = [*pairs, (100.0, power_w)]  # at least one piece must remain
    energy = channel(*pairs, max_gap_s=max_gap_s).energy()

    assert energy.energy_j == pytest.approx(power_w * energy.covered_s)
    assert energy.duration_s == pairs[-1][0]
    assert energy.covered_s + sum(gap.missing_s for gap in energy.gaps) == energy.duration_s


@pytest.mark.parametrize(
    ("method", "energy_j"),
    [("trapezoid", 50 + 200), ("hold", 0 + 200), ("counter", 100)],
)
def test_between_readings(method, energy_j):
    """A ramp of 0 to 100 W in 1 s, then 2 s at 100 W, by each method."""
    assert channel((0, 0), (1, 100), (3, 100), method=method).energy().energy_j == energy_j


def test_a_window_between_two_readings_is_interpolated():
    """On a straight ramp a window inside one period has exactly its own area."""
    ramp = channel((0, 0), (10, 100), (20, 100))

    assert ramp.energy_between(4, 6).energy_j == pytest.approx(2 * 50)


def test_a_gap_is_not_filled():
    """A pause of more than three periods gets no joules."""
    log = channel((0, 100), (1, 100), (2, 100), (62, 100), (63, 100))

    energy = log.energy()

    assert energy.energy_j == 300
    assert energy.covered_share == pytest.approx(3 / 63)
    (gap,) = energy.gaps
    assert (gap.cause, gap.start_s, gap.missing_s) == ("pause", 2, 60)


def test_a_pause_within_the_threshold_is_no_gap():
    """One lost reading does not make a gap."""
    log = channel((0, 100), (1, 100), (3, 100), (4, 100))

    assert log.energy().energy_j == 400
    assert not log.gaps


def test_the_threshold_can_be_set():
    """A user who knows that the power stayed the same can allow longer pauses."""
    log = channel((0, 100), (1, 100), (2, 100), (62, 100), max_gap_s=60)

    assert log.energy().energy_j == 6200


def test_a_counter_counts_during_a_pause():
    """An energy counter loses nothing in a pause."""
    log = channel((0, 0), (1, 100), (2, 200), (62, 6200), method="counter")

    assert log.energy().energy_j == 6200
    assert not log.gaps


def test_a_counter_that_falls_is_a_gap():
    """A reset gives no negative joules; its time is missing."""
    log = channel((0, 0), (1, 100), (2, 200), (3, 50), (4, 150), method="counter")

    energy = log.energy()

    assert energy.energy_j == 300
    assert [gap.cause for gap in energy.gaps] == ["reset"]


def test_a_clock_that_steps_back_counts_nothing_twice():
    """Both sides of the step count; the unknown time between them is missing."""
    log = channel((100, 50), (101, 50), (102, 50), (97, 50), (98, 50), (99, 50))

    energy = log.energy()

    assert energy.energy_j == 200
    assert [gap.cause for gap in energy.gaps] == ["clock"]
    assert energy.covered_share == pytest.approx(4 / 5)


def test_a_window_over_times_that_came_twice_sees_the_step():
    """A window in the time that came twice has the gap; a window beside it does not."""
    log = channel((100, 50), (101, 50), (102, 50), (97, 50), (98, 50), (99, 50))

    assert [gap.cause for gap in log.energy_between(98, 99).gaps] == ["clock"]
    assert not log.energy_between(102, 103).gaps


@pytest.mark.parametrize(
    ("start_s", "share"), [(-10, 0), (-0.5, 0.5), (0, 1), (1.75, 0.25), (9, 0)]
)
def test_outside_the_log_nothing_is_covered(start_s, share):
    """A window that extends beyond the log is covered partly, or not at all."""
    log = channel((0, 100), (1, 100), (2, 100))

    energy = log.energy_between(start_s, start_s + 1)

    assert energy.covered_share == pytest.approx(share)
    assert energy.energy_j == pytest.approx(100 * share)


def test_readings_at_one_time_make_no_time():
    """Two readings may have the same time stamp, for example from a clock of whole seconds."""
    assert channel((0, 100), (1, 100), (1, 300), (2, 300)).energy().energy_j == 400


@pytest.mark.parametrize("pairs", [[], [(0, 100)], [(0, 100), (0, 100)], [(5, 100), (4, 100)]])
def test_a_log_without_time_is_refused(pairs):
    """Without two readings in order, the energy is unknown, not zero."""
    with pytest.raises(UsageError, match="two at different times"):
        channel(*pairs)


def test_readings_too_far_apart_are_refused():
    """If every pause is a gap, there is nothing to integrate."""
    with pytest.raises(UsageError, match="within 1 s"):
        channel((0, 100), (10, 100), max_gap_s=1)


def test_sampling_uncertainty_follows_the_steps_between_readings():
    """A step of 100 W at an unknown time within 1 s is uniform over 100 J."""
    energy = channel((0, 100), (1, 200), (2, 200)).energy()

    assert energy.sampling_j == pytest.approx(100 / 12**0.5)
