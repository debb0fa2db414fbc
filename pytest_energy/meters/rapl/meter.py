"""RAPL: the energy counters of Intel and AMD processors, by Linux's powercap files.

A zone's counter (``energy_uj``) is updated about every millisecond (Intel, *Software Developer's
Manual*, volume 3B, "Package RAPL Domain"; confirmed by Khan et al., "RAPL in Action", ACM TOMPECS
3(2), 2018) and starts again at 0 after ``max_energy_range_uj``. The update period is measured when
the meter is opened. Windows are not aligned to it: the energy between an edge and the last update
is unknown within one period, which is the term ``resolution``.

A window may be so long that a counter wraps around more than once. For such windows a helper
process reads the counters several times a wrap (:mod:`pytest_energy.meters.rapl.turnover`).

Packages are the channel ``cpu``, memory is ``dram``. A package contains its parts (``core``,
``uncore``), and ``psys`` contains the packages, so ``psys`` is read only if there is nothing else.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.rapl.turnover import WrapCounter
from pytest_energy.model.environment import cpu_model
from pytest_energy.model.measurement import Environment, MeterInfo, Quantity, Reason, ReasonCode
from pytest_energy.uncertainty.gum import combine, uniform
from pytest_energy.uncertainty.rounds import mean_of

ROOT: Final = Path("/sys/class/powercap")
CHANNELS: Final = {"package": "cpu", "dram": "dram", "psys": "psys"}
"""Channel by the beginning of a zone's name; all other zones are parts of these."""

TICK_S: Final = 1e-3
"""Update period if the counter stands still while it is watched; source: above."""
TICKS_A_WINDOW: Final = 100
"""Updates in the shortest window: the uncertainty of its edges is below 1 % of it."""
MARGIN: Final = 2.0
"""Windows are planned longer than the shortest by this factor: their latency is a guess."""
HIGHEST_POWER_W: Final = 600.0
"""No zone draws more: the highest rated power in 2025 is 500 W (AMD EPYC 9965)."""
READS_A_WRAP: Final = 4
"""How often the helper process reads the counters in the shortest possible wrap."""
IDLE_WINDOWS: Final = 4
IDLE_WINDOW_S: Final = 0.25
WATCH_S: Final = 0.05
"""How long the counter is watched to measure its update period."""


@dataclass(frozen=True)
class Zone:
    """One energy counter."""

    path: Path
    name: str
    channel: str
    range_uj: int
    """Largest value of the counter; the next value is 0."""

    def read_uj(self) -> int:
        """The counter's value in microjoules.

        Raises:
            OSError: The file cannot be read.
            ValueError: The file contains no number.
        """
        return int((self.path / "energy_uj").read_text("ascii"))

    @property
    def shortest_wrap_s(self) -> float:
        """In a longer window the counter could wrap around completely."""
        return self.range_uj / 1e6 / HIGHEST_POWER_W


@dataclass(frozen=True)
class Counts:
    """The counters' values at an edge."""

    by_zone: Mapping[str, int | Reason]
    """Microjoules, or why they are missing, by the zone's name."""
    totals_uj: Mapping[str, int] | None
    """Microjoules with all wraps, from the helper process; ``None`` if it has ended."""


def spent_uj(start_uj: int, end_uj: int, range_uj: int) -> int:
    """Microjoules between two readings of a counter that wrapped around at most once."""
    return (end_uj - start_uj) % (range_uj + 1)


class RaplMeter:
    """The zones of one machine; windows may overlap.

    Opening takes about a second, to measure the counter's period and the idle power.
    """

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._zones = tuple(zones)
        counters = [(zone.path / "energy_uj", zone.range_uj) for zone in self._zones]
        period_s = min(zone.shortest_wrap_s for zone in self._zones) / READS_A_WRAP
        self._wraps = WrapCounter(counters, period_s)
        self._tick_s = measured_tick_s(self._zones[0])
        self._opened = self.begin()
        self._idle_power_w = self._measure_idle()

    @property
    def info(self) -> MeterInfo:
        """A counter, with the zones that it sums."""
        return MeterInfo(
            name="rapl",
            source="counter",
            tick_s=self._tick_s,
            details={"zones": [zone.name for zone in self._zones]},
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """``cpu`` and ``dram``, as far as this machine has them."""
        return tuple(dict.fromkeys(zone.channel for zone in self._zones))

    @property
    def environment(self) -> Environment:
        """The processors and the zones that are summed."""
        packages = sum(zone.channel == "cpu" for zone in self._zones)
        return Environment(
            identity={
                "device": cpu_model(),
                "device_count": max(packages, 1),
                "zones": [zone.name for zone in self._zones],
                "meter": "rapl",
                "meter_source": "counter",
            }
        )

    @property
    def shortest_window_s(self) -> float:
        """Long enough for the updates at its edges not to matter, with a margin."""
        return MARGIN * TICKS_A_WINDOW * self._period_s

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Idle power by channel, measured when the meter was opened."""
        return self._idle_power_w

    def spent_j(self) -> float | None:
        """Joules of a window that began when the meter was opened."""
        reading = self.end(self._opened)
        return sum(reading.channels.values()) if reading.valid else None

    def begin(self) -> Edge:
        """Open a window by reading the counters."""
        start, time_s = time.time(), time.perf_counter()
        totals_uj = self._totals()  # before the counters: its energy is not counted in the window
        return Edge(start=start, time_s=time_s, state=Counts(self._read(), totals_uj))

    def end(self, edge: Edge) -> Reading:
        """Close the window: the difference of each counter, with its wraps."""
        before, after = cast(Counts, edge.state), Counts(self._read(), self._totals())
        duration_s = time.perf_counter() - edge.time_s
        spent = {zone: self._spent(zone, before, after, duration_s) for zone in self._zones}
        joules = {zone: value for zone, value in spent.items() if not isinstance(value, Reason)}
        return Reading(
            duration_s=duration_s,
            channels=self._summed(joules),
            budget={"resolution": self._resolution_j(joules.values(), duration_s)},
            reasons=(
                *(value for value in spent.values() if isinstance(value, Reason)),
                *self._length(duration_s),
            ),
        )

    def close(self) -> None:
        """End the helper process."""
        self._wraps.close()

    @property
    def _period_s(self) -> float:
        return self._tick_s or TICK_S

    def _length(self, duration_s: float) -> tuple[Reason, ...]:
        needed_s = TICKS_A_WINDOW * self._period_s
        if duration_s >= needed_s:
            return ()
        message = (
            f"the window of {duration_s:.4g} s has too few updates of RAPL's counters: at least"
            f" {needed_s:.4g} s are needed; run at least {needed_s / duration_s:.1f} × as many"
            " passes"
        )
        return (Reason(code=ReasonCode.WINDOW_TOO_SHORT, message=message),)

    def _read(self) -> dict[str, int | Reason]:
        return {zone.name: _count(zone) for zone in self._zones}

    def _totals(self) -> dict[str, int] | None:
        totals_uj = self._wraps.totals_uj()
        if totals_uj is None:
            return None
        return {zone.name: total for zone, total in zip(self._zones, totals_uj, strict=True)}

    def _spent(
        self, zone: Zone, before: Counts, after: Counts, duration_s: float
    ) -> float | Reason:
        start, end = before.by_zone[zone.name], after.by_zone[zone.name]
        if isinstance(start, Reason):
            return start
        if isinstance(end, Reason):
            return end
        spent = spent_uj(start, end, zone.range_uj)
        if duration_s > zone.shortest_wrap_s:
            wraps = _whole_wraps(zone, before, after, spent)
            if wraps is None:
                return _reset(
                    f"{zone.name}: the counter may have wrapped around more than once in"
                    f" {duration_s:.0f} s, and the helper process that counts its wraps has ended;"
                    f" keep windows below {zone.shortest_wrap_s:.0f} s"
                )
            spent += wraps * (zone.range_uj + 1)
        if spent / 1e6 > HIGHEST_POWER_W * (duration_s + 2 * self._period_s):
            return _reset(f"{zone.name}: the counter fell from {start} to {end} µJ")
        return spent / 1e6

    def _summed(self, joules: Mapping[Zone, float]) -> dict[str, float]:
        """Joules by channel; a channel with an unread zone is left out, never too small."""
        lost = {zone.channel for zone in self._zones if zone not in joules}
        return {
            channel: sum(value for zone, value in joules.items() if zone.channel == channel)
            for channel in self.channels
            if channel not in lost
        }

    def _resolution_j(self, joules: Iterable[float], duration_s: float) -> float:
        # each edge of each zone lies anywhere between two updates (uniform, GUM 4.3.7)
        return combine(
            uniform(value / duration_s * self._period_s) for value in joules for _edge in range(2)
        )

    def _measure_idle(self) -> dict[str, Quantity]:
        readings = [self._idle_window() for _ in range(IDLE_WINDOWS)]
        return {
            channel: mean_of([r.channels[channel] / r.duration_s for r in readings], "W")
            for channel in self.channels
            if all(channel in reading.channels for reading in readings)
        }

    def _idle_window(self) -> Reading:
        edge = self.begin()
        time.sleep(IDLE_WINDOW_S)
        return self.end(edge)


def open_meter(request: MeterRequest, root: Path = ROOT) -> RaplMeter:
    """Open all zones below ``root``; the devices in ``request`` are GPUs and do not matter.

    Raises:
        MeterUnavailableError: The machine has no zone, or a zone cannot be read.
    """
    zones = find_zones(root)
    if not zones:
        message = (
            f"no RAPL: no package or DRAM zone in {root}; virtual machines have none,"
            " on other machines try: sudo modprobe intel_rapl_msr"
        )
        raise MeterUnavailableError(ReasonCode.NO_METER, message)
    for zone in zones:
        count = _count(zone)
        if isinstance(count, Reason):
            raise MeterUnavailableError(count.code, count.message)
    return RaplMeter(zones)


def find_zones(root: Path = ROOT) -> tuple[Zone, ...]:
    """The zones that cover the machine and count nothing twice, sorted.

    ``intel-rapl-mmio`` is left out: it is another interface to the same packages.
    """
    folders = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
    zones = [zone for folder in folders if (zone := _zone(folder))]
    whole = [zone for zone in zones if zone.channel != "psys"]
    return tuple(whole or zones)


def measured_tick_s(zone: Zone) -> float | None:
    """The median time between two updates of a counter; ``None`` if it stands still."""
    updates: list[float] = []
    last, until = _count(zone), time.perf_counter() + WATCH_S
    while (now := time.perf_counter()) < until:
        if (count := _count(zone)) != last:
            updates.append(now)
            last = count
    periods = [later - earlier for earlier, later in pairwise(updates)]
    return statistics.median(periods) if periods else None


def _zone(folder: Path) -> Zone | None:
    name = (folder / "name").read_text("ascii").strip()
    kind = re.match(r"[a-z]+", name)
    channel = CHANNELS.get(kind.group() if kind else "")
    if channel is None:
        return None
    # The memory zones of all sockets have the same name.
    label = name if channel != "dram" else f"{name} ({folder.name})"
    try:
        range_uj = int((folder / "max_energy_range_uj").read_text("ascii"))
        if range_uj <= 0:
            raise ValueError(f"its max_energy_range_uj is {range_uj} µJ")
    except (OSError, ValueError) as error:
        message = f"the range of the counter of RAPL zone {label} is unknown: {error}"
        raise MeterUnavailableError(ReasonCode.METER_FAILED, message) from None
    return Zone(folder, label, channel, range_uj)


def _count(zone: Zone) -> int | Reason:
    try:
        return zone.read_uj()
    except PermissionError:
        message = (
            f"no permission to read RAPL: {zone.path}/energy_uj; allow it until the next boot with:"
            f" sudo chmod a+r {zone.path.parent}/intel-rapl:*/energy_uj"
        )
        return Reason(code=ReasonCode.NO_PERMISSION, message=message)
    except (OSError, ValueError) as error:
        return Reason(code=ReasonCode.METER_FAILED, message=f"{zone.name}: {error}")


def _whole_wraps(zone: Zone, before: Counts, after: Counts, spent: int) -> int | None:
    """The whole wraps that ``spent`` lacks; ``None`` if they were not counted."""
    if before.totals_uj is None or after.totals_uj is None:
        return None
    total = after.totals_uj[zone.name] - before.totals_uj[zone.name]
    return round((total - spent) / (zone.range_uj + 1))


def _reset(message: str) -> Reason:
    return Reason(code=ReasonCode.COUNTER_RESET, message=message)
