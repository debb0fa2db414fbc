"""Power against time: integrate samples, and reduce them without losing a joule.

A sample of a power sensor is the mean power since the previous sample. So the power is a staircase,
and its integral is exact; leaving samples out would lose joules. An :class:`Envelope` has the
duration, the joules, and the lowest and highest power of each bucket of samples. The joules and the
mean power of any range of buckets stay exact to a millijoule, and a drawing shows every peak.

Layout of ``Trace.data``: base64 of a zlib stream (RFC 1950; ``DecompressionStream("deflate")`` in a
browser) of, for n buckets:

====== ========= ===========================================================
offset type      content
====== ========= ===========================================================
0      uint32    n, the number of buckets
4      uint32    u, the unit of the last two columns in milliwatts
8      n of 4    duration of each bucket in microseconds
8+4n   n of 4    energy of each bucket in millijoules
8+8n   n of 2    lowest power in each bucket, in units of u, rounded down
8+10n  n of 2    highest power in each bucket, in units of u, rounded up
====== ========= ===========================================================

All numbers are unsigned and little-endian. A column "n of k" is split into byte planes, which
compress better: first the lowest byte of each of its n numbers, then the second of each, and so on,
k × n bytes in total. Number i of a column at offset o is the sum over j < k of
``byte[o + j·n + i] × 256ʲ``.

The first bucket begins at ``Trace.start``, every other bucket at the end of the previous one. The
mean power of a bucket in watts is energy / duration × 1000. Durations and energies are differences
of rounded running sums, so that rounding errors do not add up. If a bucket has more microseconds
(71 minutes) or millijoules than a column can hold, it is packed as several equal ones. u is a
thousandth of the highest power.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_energy.model.measurement import Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_BUCKETS = 2000
_HEADER = struct.Struct("<II")
_UNITS = 1000
_LARGEST = 2**32 - 2
"""For a column of 4 bytes: one less than the maximum, because sums are rounded."""


@dataclass(frozen=True)
class Bucket:
    """A part of a trace."""

    duration_s: float
    energy_j: float
    lowest_w: float
    highest_w: float

    @property
    def mean_w(self) -> float:
        """Time-weighted mean power; the highest power if the bucket has no duration."""
        return self.energy_j / self.duration_s if self.duration_s > 0 else self.highest_w


@dataclass(frozen=True)
class Envelope:
    """A reduced trace: consecutive buckets without gaps."""

    start: float
    """When the first bucket begins, in seconds since the epoch."""
    buckets: tuple[Bucket, ...]

    @property
    def energy_j(self) -> float:
        """Joules of the whole trace."""
        return math.fsum(bucket.energy_j for bucket in self.buckets)


def integrate(
    times_s: Sequence[float], powers_w: Sequence[float], start_s: float, end_s: float
) -> float:
    """Joules between two times. Each sample is the power of the time before it.

    The last sample is also the power of the time after it.

    Args:
        times_s: When the samples were taken, increasing.
        powers_w: Their values.
        start_s: The beginning, on the samples' clock.
        end_s: The end.

    Raises:
        ValueError: There is no sample.
    """
    steps = _steps(times_s, powers_w, start_s, end_s)
    return math.fsum(duration_s * power_w for duration_s, power_w in steps)


def reduce_samples(
    times_s: Sequence[float],
    powers_w: Sequence[float],
    start_s: float,
    end_s: float,
    most_buckets: int = MOST_BUCKETS,
) -> Envelope:
    """The envelope of the samples between two times; its joules are those of :func:`integrate`.

    Args:
        times_s: When the samples were taken, in seconds since the epoch, increasing.
        powers_w: Their values.
        start_s: The beginning, in seconds since the epoch.
        end_s: The end.
        most_buckets: The largest number of buckets; each has equally many samples.

    Raises:
        ValueError: There is no sample.
    """
    steps = list(_steps(times_s, powers_w, start_s, end_s))
    size = math.ceil(len(steps) / most_buckets)
    starts = range(0, len(steps), max(1, size))
    return Envelope(start_s, tuple(_bucket(steps[first : first + size]) for first in starts))


def encode(envelope: Envelope, channel: str, source: str, samples: int) -> Trace:
    """Pack an envelope for ``results.json``.

    Args:
        envelope: The envelope.
        channel: The channel of the power.
        source: The source of the samples, for example ``driver-ring``.
        samples: The number of samples in the envelope.
    """
    import numpy as np

    buckets = [part for bucket in envelope.buckets for part in _packable(bucket)]
    rows = [(b.duration_s, b.energy_j, b.lowest_w, b.highest_w) for b in buckets]
    durations_s, energies_j, lowest_w, highest_w = np.array(rows).reshape(-1, 4).T
    unit_mw = max(1, math.ceil(1e3 * highest_w.max(initial=0.0) / _UNITS))
    content = (
        _HEADER.pack(len(buckets), unit_mw)
        + _planes(4, _differences(durations_s * 1e6))
        + _planes(4, _differences(energies_j * 1e3))
        + _planes(2, np.floor(lowest_w * 1e3 / unit_mw))
        + _planes(2, np.ceil(highest_w * 1e3 / unit_mw))
    )
    return Trace(
        channel=channel,
        source=source,
        start=envelope.start,
        samples=samples,
        buckets=len(buckets),
        data=base64.b64encode(zlib.compress(content, 9)).decode("ascii"),
    )


def decode(trace: Trace) -> Envelope:
    """Unpack the data of :func:`encode`.

    Raises:
        ValueError: The data do not have that layout.
    """
    columns = decode_columns(trace)
    values = (columns.duration_s, columns.energy_j, columns.lowest_w, columns.highest_w)
    rows = zip(*(column.tolist() for column in values), strict=True)
    return Envelope(trace.start, tuple(Bucket(*row) for row in rows))


@dataclass(frozen=True)
class Columns:
    """An envelope as arrays with one value a bucket, for fast drawing and summing."""

    duration_s: Floats
    energy_j: Floats
    lowest_w: Floats
    highest_w: Floats


def decode_columns(trace: Trace) -> Columns:
    """Unpack the data of :func:`encode` into arrays.

    Raises:
        ValueError: The data do not have that layout.
    """
    import numpy as np

    try:
        content = zlib.decompress(base64.b64decode(trace.data, validate=True))
        count, unit_mw = _HEADER.unpack_from(content)
    except (binascii.Error, zlib.error, struct.error) as error:
        raise ValueError(f"trace of {trace.channel}: not a packed envelope: {error}") from None
    if len(content) != _HEADER.size + 12 * count:
        raise ValueError(f"trace of {trace.channel}: {len(content)} bytes for {count} buckets")
    planes = np.frombuffer(content, np.uint8, offset=_HEADER.size).reshape(12, count)
    unit_w = unit_mw * 1e-3
    return Columns(
        duration_s=_numbers(planes[0:4]) * 1e-6,
        energy_j=_numbers(planes[4:8]) * 1e-3,
        lowest_w=_numbers(planes[8:10]) * unit_w,
        highest_w=_numbers(planes[10:12]) * unit_w,
    )


def _numbers(planes: NDArray[np.uint8]) -> Floats:
    """The numbers of a column, from its byte planes with the lowest bytes first."""
    import numpy as np

    weights = 256.0 ** np.arange(len(planes))
    numbers: Floats = weights @ planes
    return numbers


Step = tuple[float, float]
"""A duration in seconds, and its power in watts."""


def _steps(
    times_s: Sequence[float], powers_w: Sequence[float], start_s: float, end_s: float
) -> Iterator[Step]:
    if not times_s:
        raise ValueError("a trace needs at least one sample")
    done_s = start_s
    for time_s, power_w in zip(times_s, powers_w, strict=True):
        until_s = min(time_s, end_s)
        if until_s > done_s:
            yield until_s - done_s, power_w
            done_s = until_s
    if end_s > done_s:
        yield end_s - done_s, powers_w[-1]


def _bucket(steps: Sequence[Step]) -> Bucket:
    return Bucket(
        duration_s=math.fsum(duration_s for duration_s, _ in steps),
        energy_j=math.fsum(duration_s * power_w for duration_s, power_w in steps),
        lowest_w=min(power_w for _, power_w in steps),
        highest_w=max(power_w for _, power_w in steps),
    )


def _packable(bucket: Bucket) -> list[Bucket]:
    """The bucket, divided into equal parts if its numbers do not fit into the columns."""
    largest = max(bucket.duration_s * 1e6, bucket.energy_j * 1e3)
    count = max(1, math.ceil(largest / _LARGEST))
    duration_s, energy_j = bucket.duration_s / count, bucket.energy_j / count
    return [replace(bucket, duration_s=duration_s, energy_j=energy_j)] * count


def _differences(values: Floats) -> Floats:
    """Whole numbers whose sums are the rounded sums of ``values``."""
    import numpy as np

    return np.diff(np.rint(np.cumsum(values)), prepend=0.0)


def _planes(width: int, column: Floats) -> bytes:
    """A column of unsigned whole numbers of ``width`` bytes, lowest bytes first.

    Raises:
        OverflowError: A number does not fit.
    """
    import numpy as np

    if column.size and not 0 <= column.min() <= column.max() < 256**width:
        raise OverflowError(f"{column.min():g} to {column.max():g} do not fit in {width} bytes")
    return column.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()
