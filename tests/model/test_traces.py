"""Power traces: joules survive reduction and packing."""

from __future__ import annotations

import base64
import hashlib
import math
import random
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_energy.model.measurement import Trace
from pytest_energy.model.traces import Bucket, Envelope, decode, encode, integrate, reduce_samples

EPOCH_S = 1_800_000_000.0

sampled = st.lists(
    st.tuples(st.floats(1e-3, 5.0), st.floats(0.0, 2000.0)), min_size=1, max_size=200
)


def times_and_powers(steps: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Samples from pairs of a time step and a power."""
    times_s, now_s = [], EPOCH_S
    for step_s, _ in steps:
        now_s += step_s
        times_s.append(now_s)
    return times_s, [power_w for _, power_w in steps]


def test_a_sample_stands_for_the_time_up_to_it() -> None:
    """A staircase is integrated exactly, its first and last step cut or drawn out to the ends."""
    times_s, powers_w = [1.0, 2.0, 4.0], [10.0, 20.0, 30.0]
    assert integrate(times_s, powers_w, 0.0, 5.0) == pytest.approx(10 + 20 + 60 + 30)
    assert integrate(times_s, powers_w, 1.5, 3.0) == pytest.approx(10 + 30)


def test_constant_power_has_the_energy_of_its_duration() -> None:
    """Repeated equal samples are no reason for zero joules."""
    assert integrate([1.0, 2.0, 3.0], [300.0] * 3, 0.0, 6.0) == pytest.approx(1800.0)


def test_no_sample_is_an_error_and_no_zero() -> None:
    """Without samples nothing is known of the energy."""
    with pytest.raises(ValueError, match="at least one sample"):
        integrate([], [], 0.0, 1.0)


@given(sampled, st.integers(1, 50))
def test_reduction_keeps_every_joule(steps: list[tuple[float, float]], most: int) -> None:
    """Any number of buckets has the joules and the duration of all samples."""
    times_s, powers_w = times_and_powers(steps)
    end_s = times_s[-1] + 1.0
    envelope = reduce_samples(times_s, powers_w, EPOCH_S, end_s, most)
    assert len(envelope.buckets) <= most
    assert envelope.energy_j == pytest.approx(integrate(times_s, powers_w, EPOCH_S, end_s))
    assert sum(b.duration_s for b in envelope.buckets) == pytest.approx(end_s - EPOCH_S)
    assert max(b.highest_w for b in envelope.buckets) == max(powers_w)
    assert min(b.lowest_w for b in envelope.buckets) == min(powers_w)


@given(sampled, st.integers(1, 50), st.data())
def test_packing_keeps_the_joules_of_any_range(
    steps: list[tuple[float, float]], most: int, data: st.DataObject
) -> None:
    """After packing, the joules of every range of buckets are right to a millijoule."""
    times_s, powers_w = times_and_powers(steps)
    envelope = reduce_samples(times_s, powers_w, EPOCH_S, times_s[-1], most)
    unpacked = decode(encode(envelope, "gpu0", "driver-ring", len(times_s)))
    first = data.draw(st.integers(0, len(envelope.buckets) - 1))
    last = data.draw(st.integers(first, len(envelope.buckets) - 1)) + 1
    kept = sum(b.energy_j for b in unpacked.buckets[first:last])
    assert kept == pytest.approx(sum(b.energy_j for b in envelope.buckets[first:last]), abs=1.1e-3)


@given(sampled)
def test_packing_never_hides_a_peak(steps: list[tuple[float, float]]) -> None:
    """Lowest power is rounded down and highest up, by at most the unit of the column."""
    times_s, powers_w = times_and_powers(steps)
    envelope = reduce_samples(times_s, powers_w, EPOCH_S, times_s[-1])
    unpacked = decode(encode(envelope, "gpu0", "driver-ring", len(times_s)))
    unit_w = 1.1e-3 + max(powers_w) / 1000
    for before, after in zip(envelope.buckets, unpacked.buckets, strict=True):
        assert before.lowest_w - unit_w <= after.lowest_w <= before.lowest_w + 1e-6
        assert before.highest_w - 1e-6 <= after.highest_w <= before.highest_w + unit_w


large = st.builds(
    Bucket,
    duration_s=st.floats(0.0, 1e5),
    energy_j=st.floats(0.0, 1e8),
    lowest_w=st.just(100.0),
    highest_w=st.just(2000.0),
)


@given(st.lists(large, min_size=1, max_size=20))
@example([Bucket(4300.0, 430_000.0, 100.0, 100.0)])  # 71.6 minutes are 2³² µs
@example([Bucket(2**32 * 1e-6, 2**32 * 1e-3, 100.0, 2000.0)] * 3)
@example([Bucket(100.0, 4_300_000.0, 43_000.0, 43_000.0)])  # a rack: 4.3 MJ are 2³² mJ
def test_buckets_larger_than_a_column_holds_are_packed_in_parts(buckets: list[Bucket]) -> None:
    """However long they are and whatever they used, time and joules stay exact."""
    envelope = Envelope(EPOCH_S, tuple(buckets))
    trace = encode(envelope, "gpu0", "driver-ring", len(buckets))
    unpacked = decode(trace)
    assert trace.buckets == len(unpacked.buckets)
    assert unpacked.energy_j == pytest.approx(envelope.energy_j, rel=0, abs=1.1e-3)
    duration_s = math.fsum(bucket.duration_s for bucket in unpacked.buckets)
    true_s = math.fsum(bucket.duration_s for bucket in buckets)
    assert duration_s == pytest.approx(true_s, rel=0, abs=1.1e-6)


def test_power_beyond_the_usual_range_still_fits() -> None:
    """A rack of 40 kW is packed in coarser units."""
    envelope = reduce_samples([1.0, 2.0], [40_000.0, 100.0], 0.0, 2.0)
    unpacked = decode(encode(envelope, "rack", "wattmeter", 2))
    assert unpacked.buckets[0].highest_w == pytest.approx(40_000, rel=1e-3)
    assert unpacked.energy_j == pytest.approx(40_100.0)


def test_ten_minutes_at_the_sensors_rate_stay_under_20_kb() -> None:
    """6,000 noisy samples with jittering time steps pack into less than 20 kB of text."""
    rng = random.Random(7)
    steps = [(0.1 + rng.gauss(0, 3e-4), max(0.0, rng.gauss(300, 40))) for _ in range(6000)]
    times_s, powers_w = times_and_powers(steps)
    envelope = reduce_samples(times_s, powers_w, EPOCH_S, times_s[-1])
    trace = encode(envelope, "gpu0", "driver-ring", len(times_s))
    assert trace.buckets == 2000
    assert len(trace.model_dump_json()) < 20_000


@pytest.mark.parametrize("data", ["", "!!", "AAAA", "eJwDAAAAAAE="])
def test_damaged_data_are_an_error(data: str) -> None:
    """What is not a packed envelope is refused, with the channel's name."""
    trace = Trace(channel="gpu0", source="driver-ring", start=0, samples=1, buckets=1, data=data)
    with pytest.raises(ValueError, match="trace of gpu0"):
        decode(trace)


def unpacked(trace: Trace) -> bytes:
    """The packed bytes; a compressor may write the same bytes in several ways."""
    return zlib.decompress(base64.b64decode(trace.data))


def test_packing_of_a_small_trace_stays_the_same() -> None:
    """The bytes are those that were stored before numpy packed them."""
    envelope = reduce_samples([0.5, 1.0, 1.75], [100.0, 350.5, 70.25], 0.0, 2.0)
    assert unpacked(encode(envelope, "gpu0", "driver-ring", 3)).hex() == (
        "040000005f0100002020b090a1a171d007070b03000000005092d09ac3accd4400020000000000001ce6c8c801"
        "0300001de7c9c901030000"
    )


def test_packing_of_a_long_trace_stays_the_same() -> None:
    """Thousands of samples in reduced buckets, down to the last byte."""
    times_s = [0.02 * index for index in range(1, 5001)]
    powers_w = [60 + (index * 7919 % 641) + 0.125 * (index % 8) for index in range(5000)]
    trace = encode(reduce_samples(times_s, powers_w, 0.0, 100.01, 1700), "gpu0", "ring", 5000)
    assert trace.buckets == 1667
    assert hashlib.sha256(unpacked(trace)).hexdigest() == (
        "f29c0b1484c562b1837ee1dca328b21a3fef62d5b577e151b4cb9e2d2ddea884"
    )


@pytest.mark.parametrize("power_w", [-1.0, math.inf])
def test_a_power_that_does_not_fit_is_an_error(power_w: float) -> None:
    """No number is packed as another one."""
    envelope = Envelope(0.0, (Bucket(1.0, 1.0, power_w, power_w),))
    with pytest.raises(OverflowError):
        encode(envelope, "gpu0", "driver-ring", 1)
