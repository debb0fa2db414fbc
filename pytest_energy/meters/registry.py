"""Find a meter by its name.

Third parties add a meter through the entry-point group ``pytest_energy.meters``. The entry point
names a callable ``open_meter(request: MeterRequest) -> Meter``. If the meter cannot measure here,
the callable raises a :class:`MeterUnavailableError` with cause and remedy.

The attribute ``auto_order`` of the callable, a number, states when ``auto`` tries the meter: lower
numbers first. The meters of this package have those of :data:`AUTO`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from inspect import getattr_static

from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.meters.base import Meter, MeterRequest, MeterUnavailableError
from pytest_energy.meters.combined import CombinedMeter
from pytest_energy.model.measurement import Reason, ReasonCode

GROUP = "pytest_energy.meters"
AUTO: Mapping[str, float] = {"nvml": 100, "rapl": 200, "codecarbon": 900}
"""The order in which ``auto`` tries meters: measured joules before estimated ones."""
OTHERS_ORDER = 500
"""The order of a meter that states none: it is measured, since it says nothing else."""
WITHOUT_DEVICES = frozenset({"rapl", "codecarbon"})
"""Meters that measure no device that ``--energy-devices`` names."""

MISSING = frozenset({ReasonCode.NO_METER, ReasonCode.UNSUPPORTED, ReasonCode.NO_PERMISSION})
"""Refusals after which ``auto`` tries the next meter.

A device that exists but is in use by others, lost or broken has no substitute: the joules of
another meter would be taken for its joules."""

PARTS = ("info", "channels", "environment", "begin", "end", "close")
"""What each meter has, of :class:`~pytest_energy.meters.base.Meter`."""

OpenMeter = Callable[[MeterRequest], Meter]


def meter_names() -> tuple[str, ...]:
    """The names of all installed meters, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def open_meter(
    name: str, request: MeterRequest, passed_over: Callable[[Reason], object] = lambda reason: None
) -> Meter:
    """Open the meter called ``name``, or, for ``auto``, the first in :func:`auto_order` that opens.

    Names joined by plus, such as ``nvml+rapl``, open each of them and read them as one.

    Args:
        name: ``auto``, a meter's name, or names joined by plus.
        request: The request to the meter.
        passed_over: Called with the reason for each meter that ``auto`` could not open.

    Raises:
        UsageError: No installed meter has that name, its package is broken, a sum would count a
            channel twice, or ``auto`` finds no meter for the devices that the request names.
        MeterUnavailableError: The meter cannot measure here. For ``auto``: a device exists but
            cannot be measured, or no meter is available; the text has the reason of each meter.
    """
    if name == "auto":
        return _open_first(request, passed_over)
    if "+" in name:
        return _open_sum(name.split("+"), request)
    return _open_one(name, request)


def auto_order() -> tuple[str, ...]:
    """The names of the meters that ``auto`` tries, in order; equal numbers are sorted by name.

    Raises:
        UsageError: The package of a meter is broken, or states no number as its order.
    """
    points = _points()
    orders = {
        name: AUTO[name] if name in AUTO else _stated_order(name, _load(name, points))
        for name in points
    }
    return tuple(sorted(orders, key=lambda name: (orders[name], name)))


def _points() -> dict[str, EntryPoint]:
    """The entry points of all meters by name.

    Raises:
        UsageError: Two packages have a meter of the same name.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise UsageError(
                f"two meters are called {point.name!r}: {other.value} and {point.value};"
                " uninstall one of the packages"
            )
    return points


def _load(name: str, points: Mapping[str, EntryPoint]) -> OpenMeter:
    if name not in points:
        raise UsageError(f"no meter {name!r}; choose one of auto, {', '.join(sorted(points))}")
    try:
        opener: OpenMeter = points[name].load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"meter {name!r} cannot be loaded from {points[name].value}: {error}; repair or"
            " uninstall its package"
        ) from None
    return opener


def _open_one(name: str, request: MeterRequest) -> Meter:
    """Open a meter by its entry point.

    Raises:
        UsageError: The opener of another package raises what no opener may, or returns no meter.
        EnergyError: The meter cannot measure here.
    """
    opener = _load(name, _points())
    try:
        meter = opener(request)
    except EnergyError:
        raise
    except Exception as error:
        if name in AUTO:
            raise  # a fault of this package: its traceback shows where
        raise UsageError(
            f"meter {name!r} cannot be opened: {type(error).__name__}: {error}; this is a fault of"
            " its package: repair or uninstall it, or choose another meter with --energy-meter"
        ) from error
    if lacking := [part for part in PARTS if getattr_static(meter, part, None) is None]:
        raise UsageError(
            f"meter {name!r}: its opener returned {meter!r}, which has no {', '.join(lacking)};"
            " repair or uninstall its package, or choose another meter with --energy-meter"
        )
    return meter


def _stated_order(name: str, opener: OpenMeter) -> float:
    order = getattr(opener, "auto_order", OTHERS_ORDER)
    if isinstance(order, bool) or not isinstance(order, int | float) or not math.isfinite(order):
        raise UsageError(f"meter {name!r}: auto_order is {order!r}; expected a number")
    return order


def _open_first(request: MeterRequest, passed_over: Callable[[Reason], object]) -> Meter:
    refusals: list[Reason] = []
    request = replace(request, wake=request.devices is not None)
    for name in auto_order():
        if request.devices is not None and name in WITHOUT_DEVICES:
            continue
        try:
            return open_meter(name, request)
        except MeterUnavailableError as error:
            if error.reason.code not in MISSING:
                raise
            refusals.append(error.reason)
            passed_over(error.reason)
    reasons = "; ".join(reason.message for reason in refusals)
    if request.devices is not None:
        raise UsageError(
            f"--energy-devices={','.join(request.devices)}: these devices cannot be measured:"
            f" {reasons}; leave the option out to measure or estimate the processor"
        )
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
