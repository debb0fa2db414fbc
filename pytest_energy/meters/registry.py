"""Find a meter by its name.

Third parties add a meter through the entry-point group ``pytest_energy.meters``. The entry point
names a callable ``open_meter(request: MeterRequest) -> Meter``. If the meter cannot measure here,
the callable raises a :class:`MeterUnavailableError` with cause and remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import entry_points

from pytest_energy.errors import UsageError
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.model.measurement import Reason, ReasonCode

GROUP = "pytest_energy.meters"
AUTO = ("nvml", "rapl", "codecarbon")
"""The meters that ``auto`` tries, in this order: measured joules before estimated ones."""

MISSING = frozenset({ReasonCode.NO_METER, ReasonCode.UNSUPPORTED, ReasonCode.NO_PERMISSION})
"""Refusals after which ``auto`` tries the next meter.

A device that exists but is in use by others, lost or broken has no substitute: the joules of
another meter would be taken for its joules."""

OpenMeter = Callable[[MeterRequest], Meter]


def meter_names() -> tuple[str, ...]:
    """The names of all installed meters, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def open_meter(
    name: str, request: MeterRequest, passed_over: Callable[[Reason], object] = lambda reason: None
) -> Meter:
    """Open the meter called ``name``, or, for ``auto``, the first of :data:`AUTO` that opens.

    Names joined by plus, such as ``nvml+rapl``, open each of them and read them as one.

    Args:
        name: ``auto``, a meter's name, or names joined by plus.
        request: The request to the meter.
        passed_over: Called with the reason for each meter that ``auto`` could not open.

    Raises:
        UsageError: No installed meter has that name, or a sum would count a channel twice.
        MeterUnavailableError: The meter cannot measure here. For ``auto``: a device exists but
            cannot be measured, or no meter is available; the text has the reason of each meter.
    """
    if name == "auto":
        return _open_first(AUTO, request, passed_over)
    if "+" in name:
        return _open_sum(name.split("+"), request)
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise UsageError(f"no meter {name!r}; choose one of auto, {', '.join(sorted(points))}")
    opener: OpenMeter = points[name].load()
    return opener(request)


def _open_first(
    names: tuple[str, ...], request: MeterRequest, passed_over: Callable[[Reason], object]
) -> Meter:
    refusals: list[Reason] = []
    for name in names:
        try:
            return open_meter(name, request)
        except MeterUnavailableError as error:
            if error.reason.code not in MISSING:
                raise
            refusals.append(error.reason)
            passed_over(error.reason)
    reasons = "; ".join(reason.message for reason in refusals)
    raise MeterUnavailableError(refusals[0].code, reasons)


def _open_sum(names: Sequence[str], request: MeterRequest) -> Meter:
    with ExitStack() as opened:  # closes the first meters if a later one cannot be opened
        meters: list[Meter] = []
        for name in names:
            meters.append(open_meter(name, request))
            opened.callback(meters[-1].close)
        combined = CombinedMeter(meters)
        opened.pop_all()
    return combined
