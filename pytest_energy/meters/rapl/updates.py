"""When the counters are updated: watched at opening, because processors differ.

Intel documents about a millisecond (*Software Developer's Manual*, volume 3B, "Package RAPL
Domain"; confirmed by Khan et al., "RAPL in Action", ACM TOMPECS 3(2), 2018). Other kernels and
virtual machines update every 100 ms, or once a second (QEMU, "RAPL MSR support").
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import MeterUnavailableError
from pytest_energy.meters.rapl.zones import Zone, count
from pytest_energy.model.measurement import ReasonCode

WATCH_S: Final = 2.5
"""A counter is watched up to this long: two updates of one that is updated every second."""
FIRST_WATCH_S: Final = 0.05
"""Usual counters are updated often enough in this time."""
ENOUGH_UPDATES: Final = 10
PAUSE_S: Final = 5e-4
"""Between two reads of a counter that is known to be slow."""


def measured_periods_s(zones: Sequence[Zone]) -> dict[Zone, float]:
    """The median time between two updates of each counter, without those that count nothing.

    Raises:
        MeterUnavailableError: A counter was not updated often enough to know its period.
    """
    updates = _watch(zones)
    for zone in [zone for zone in zones if _counts_nothing(zone, updates[zone])]:
        del updates[zone]
    for zone, moments_s in updates.items():
        if len(moments_s) < 2:
            raise MeterUnavailableError(ReasonCode.UNSUPPORTED, _too_slow(zone, len(moments_s)))
    return {
        zone: statistics.median(later - earlier for earlier, later in pairwise(moments_s))
        for zone, moments_s in updates.items()
    }


def _counts_nothing(zone: Zone, updates: Sequence[float]) -> bool:
    """Whether a memory zone has been at 0 since the machine was started.

    Desktop processors list such zones; a package at 0 is broken instead.
    """
    return zone.channel == "dram" and not updates and count(zone) == 0


def _watch(zones: Sequence[Zone]) -> dict[Zone, list[float]]:
    """The moments at which each counter was updated."""
    updates: dict[Zone, list[float]] = {zone: [] for zone in zones}
    last = {zone: count(zone) for zone in zones}
    began_s = now_s = CLOCK.perf_counter()
    while now_s - began_s < FIRST_WATCH_S or (
        now_s - began_s < WATCH_S and min(map(len, updates.values())) < ENOUGH_UPDATES
    ):
        if now_s - began_s > FIRST_WATCH_S:
            CLOCK.sleep(PAUSE_S)
        for zone in zones:
            value = count(zone)
            now_s = CLOCK.perf_counter()
            if value != last[zone]:
                updates[zone].append(now_s)
                last[zone] = value
    return updates


def _too_slow(zone: Zone, seen: int) -> str:
    return (
        f"the counter of RAPL zone {zone.name} was updated {seen} times in {WATCH_S:g} s: its"
        f" period is unknown, and above {WATCH_S / 2:g} s no window is exact; choose another meter"
        " with --energy-meter"
    )
