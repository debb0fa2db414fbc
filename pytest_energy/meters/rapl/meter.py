"""RAPL: the energy counters of Intel and AMD processors, by Linux's powercap files.

A zone's counter (``energy_uj``) starts again at 0 after ``max_energy_range_uj``. How often it is
updated is measured when the meter is opened (:mod:`pytest_energy.meters.rapl.updates`):

* Usual counters, about every millisecond. Windows are not aligned to the updates: the energy
  between an edge and the last update is unknown within one period, which is the term
  ``resolution``.
* Slow counters, up to every second. Windows begin after an update and end before one, like those of
  a GPU's counter, and the idle energy between the updates and the window is subtracted.

A window may be so long that a counter wraps around more than once. A helper process reads the
counters several times a wrap (:mod:`pytest_energy.meters.rapl.turnover`), and is asked only after
such windows: its answer would take time and energy beside every other window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.sources.joules import Joules, OpeningTick
from pytest_energy.meters.nvml.span import Span
from pytest_energy.meters.rapl.turnover import WrapCounter
from pytest_energy.meters.rapl.updates import measured_periods_s
from pytest_energy.meters.rapl.zones import ROOT, Zone, count, find_zones, spent_uj
from pytest_energy.model.environment import cpu_model
from pytest_energy.model.measurement import (
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Shortness,
    TooShort,
)
from pytest_energy.uncertainty.gum import combine, uniform
from pytest_energy.uncertainty.rounds import mean_of

SLOW_S: Final = 5e-3
"""Counters with a longer period are aligned: unaligned windows would take more than a second."""
TICKS_A_WINDOW: Final = 100
"""Updates in the shortest unaligned window: the uncertainty of its edges is below 1 % of it."""
MARGIN: Final = 2.0
"""Windows are planned longer than the shortest by this factor: their latency is a guess."""
READS_A_WRAP: Final = 4
"""How often the helper process reads the counters in the shortest possible wrap."""
IDLE_WINDOWS: Final = 4
IDLE_WINDOW_S: Final = 0.25


@dataclass(frozen=True)
class _WindowStart:
    """What was read when a window began."""

    counts: Mapping[Zone, int | Reason]
    """Microjoules, or why they are missing."""
    read_s: float
    """Just before they were read, by ``time.perf_counter``."""
    ticks: Mapping[str, OpeningTick | SensorError]
    """The updates of slow counters before the window, by the zone's name."""


class RaplMeter:
    """The zones of one machine; windows may overlap if no counter is slow.

    Opening takes about a second, and more with slow counters, to measure the idle power.
    """

    def __init__(self, periods_s: Mapping[Zone, float], left_out: Iterable[Zone] = ()) -> None:
        """Open the zones.

        Args:
            periods_s: The zones to read and the periods of their counters.
            left_out: Zones that count nothing.

        Raises:
            SensorError: A slow counter does not answer or no longer moves.
        """
        self._zones = tuple(periods_s)
        self._periods_s = periods_s
        self._left_out = tuple(left_out)
        slow = {zone.name: _joules_without_wraps(zone) for zone in self._zones if self._slow(zone)}
        self._aligned = CounterSource(slow) if slow else None  # first: it may raise
        counters = [(zone.path / "energy_uj", zone.range_uj) for zone in self._zones]
        shortest_s = min(zone.shortest_wrap_s for zone in self._zones)
        self._wraps = WrapCounter(counters, shortest_s / READS_A_WRAP)
        self._opened = self._start({})
        self._idle_power_w = self._measure_idle()

    @property
    def info(self) -> MeterInfo:
        """A counter, with the zones that it sums."""
        standing = [f"{zone.name}: its counter stands at 0" for zone in self._left_out]
        return MeterInfo(
            name="rapl",
            source="counter",
            tick_s=max(self._periods_s.values()),
            details={
                "zones": [zone.name for zone in self._zones],
                **({"missing": list(standing)} if standing else {}),
            },
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
        return MARGIN * self._needed_s

    @property
    def idle_power_w(self) -> Mapping[str, Quantity]:
        """Idle power by channel, measured when the meter was opened."""
        return self._idle_power_w

    def spent_j(self) -> float | None:
        """Joules since the meter was opened, by the counters' last updates."""
        spent = self._coarse(self._opened, CLOCK.perf_counter() - self._opened.read_s)
        joules = [value for value in spent.values() if not isinstance(value, Reason)]
        return sum(joules) if len(joules) == len(spent) else None

    def begin(self) -> Edge:
        """Open a window: wait for an update of slow counters, and read all."""
        start = self._start(self._aligned.begin() if self._aligned else {})
        return Edge(start=CLOCK.time(), time_s=CLOCK.perf_counter(), state=start)

    def end(self, edge: Edge) -> Reading:
        """Close the window: the difference of each counter, with its wraps."""
        start, duration_s = cast(_WindowStart, edge.state), CLOCK.perf_counter() - edge.time_s
        coarse = self._coarse(start, duration_s)
        exact = self._exact(start, Span(edge.time_s, duration_s), coarse)
        joules = {zone: used for zone, used in exact.items() if not isinstance(used, Reason)}
        return Reading(
            duration_s=duration_s,
            channels=self._summed({zone: used.energy_j for zone, used in joules.items()}),
            budget=_budget(joules.values()),
            reasons=(
                *(used for used in exact.values() if isinstance(used, Reason)),
                *self._length(duration_s),
            ),
        )

    def close(self) -> None:
        """End the helper process."""
        self._wraps.close()

    def _slow(self, zone: Zone) -> bool:
        return self._periods_s[zone] > SLOW_S

    @property
    def _needed_s(self) -> float:
        """The shortest valid window."""
        return max(
            period_s if self._slow(zone) else TICKS_A_WINDOW * period_s
            for zone, period_s in self._periods_s.items()
        )

    def _length(self, duration_s: float) -> tuple[Reason, ...]:
        if duration_s >= self._needed_s:
            return ()
        shortness = Shortness(
            f"{duration_s:.4g} s",
            f"has too few updates of RAPL's counters: at least {self._needed_s:.4g} s are needed",
            self._needed_s / duration_s,
        )
        return (TooShort.of(shortness),)

    def _start(self, ticks: Mapping[str, OpeningTick | SensorError]) -> _WindowStart:
        read_s = CLOCK.perf_counter()
        return _WindowStart({zone: count(zone) for zone in self._zones}, read_s, ticks)

    def _coarse(self, start: _WindowStart, duration_s: float) -> dict[Zone, float | Reason]:
        """Joules by the counters' last updates, with all wraps, or why they are missing."""
        after = {zone: count(zone) for zone in self._zones}
        # The helper is asked after the counters were read, and only if a wrap may be hidden.
        hidden = any(duration_s > zone.shortest_wrap_s for zone in self._zones)
        totals_uj = self._totals_uj(start) if hidden else None
        return {
            zone: self._spent(zone, start.counts[zone], after[zone], duration_s, totals_uj)
            for zone in self._zones
        }

    def _totals_uj(self, start: _WindowStart) -> dict[Zone, int] | None:
        """Microjoules since a window's start, from the helper process; ``None`` if it has ended."""
        counts = [value if isinstance(value, int) else 0 for value in start.counts.values()]
        totals_uj = self._wraps.since(start.read_s, counts)
        return None if totals_uj is None else dict(zip(self._zones, totals_uj, strict=True))

    def _spent(
        self,
        zone: Zone,
        start: int | Reason,
        end: int | Reason,
        duration_s: float,
        totals_uj: Mapping[Zone, int] | None,
    ) -> float | Reason:
        if isinstance(start, Reason):
            return start
        if isinstance(end, Reason):
            return end
        spent = spent_uj(start, end, zone.range_uj)
        if duration_s > zone.shortest_wrap_s:
            if totals_uj is None:
                return _reset(
                    f"{zone.name}: the counter may have wrapped around more than once in"
                    f" {duration_s:.0f} s, and the helper process that counts its wraps has ended;"
                    f" keep windows below {zone.shortest_wrap_s:.0f} s"
                )
            wraps = round((totals_uj[zone] - spent) / (zone.range_uj + 1))
            spent += wraps * (zone.range_uj + 1)
        if spent / 1e6 > zone.highest_power_w * (duration_s + 2 * self._periods_s[zone]):
            return _reset(f"{zone.name}: the counter fell from {start} to {end} µJ")
        return spent / 1e6

    def _exact(
        self, start: _WindowStart, window: Span, coarse: Mapping[Zone, float | Reason]
    ) -> dict[Zone, Joules | Reason]:
        """Joules within a window, with their uncertainties; slow counters wait for an update."""
        aligned = self._aligned.end(start.ticks, window) if self._aligned else {}
        return {
            zone: spent
            if isinstance(spent, Reason)
            else _with_wraps(zone, aligned[zone.name], spent)
            if self._slow(zone)
            else Joules(spent, {"resolution": self._resolution_j(zone, spent / window.duration_s)})
            for zone, spent in coarse.items()
        }

    def _summed(self, joules: Mapping[Zone, float]) -> dict[str, float]:
        """Joules by channel; a channel with an unread zone is left out, never too small."""
        lost = {zone.channel for zone in self._zones if zone not in joules}
        return {
            channel: sum(value for zone, value in joules.items() if zone.channel == channel)
            for channel in self.channels
            if channel not in lost
        }

    def _resolution_j(self, zone: Zone, power_w: float) -> float:
        # each edge lies anywhere between two updates (uniform, GUM 4.3.7)
        return combine(2 * [uniform(power_w * self._periods_s[zone])])

    def _measure_idle(self) -> dict[str, Quantity]:
        """The idle power of each channel whose zones could be read."""
        aligned = self._aligned.idle_power_w if self._aligned else {}
        by_zone = {zone: aligned[zone.name] for zone in self._zones if self._slow(zone)}
        if len(by_zone) < len(self._zones):
            windows = [self._idle_window() for _ in range(IDLE_WINDOWS)]
            steady = [z for z in self._zones if z not in by_zone and all(z in w for w in windows)]
            by_zone |= {zone: mean_of([w[zone] for w in windows], "W") for zone in steady}
        return {
            channel: _total([by_zone[zone] for zone in self._zones if zone.channel == channel])
            for channel in self.channels
            if all(zone in by_zone for zone in self._zones if zone.channel == channel)
        }

    def _idle_window(self) -> dict[Zone, float]:
        """The power of the zones that could be read, from unaligned readings."""
        start = self._start({})
        CLOCK.sleep(IDLE_WINDOW_S)
        duration_s = CLOCK.perf_counter() - start.read_s
        spent = self._coarse(start, duration_s)
        return {z: used / duration_s for z, used in spent.items() if not isinstance(used, Reason)}


def open_meter(request: MeterRequest, root: Path = ROOT) -> RaplMeter:
    """Open all zones below ``root``; the devices in ``request`` are GPUs and do not matter.

    Raises:
        MeterUnavailableError: The machine has no zone, or a zone cannot be read or is not updated.
    """
    zones = find_zones(root)
    if not zones:
        message = (
            f"no RAPL: no package or DRAM zone in {root}; virtual machines have none,"
            " on other machines try: sudo modprobe intel_rapl_msr"
        )
        raise MeterUnavailableError(ReasonCode.NO_METER, message)
    for zone in zones:
        value = count(zone)
        if isinstance(value, Reason):
            raise MeterUnavailableError(value.code, value.message)
    periods_s = measured_periods_s(zones)
    try:
        return RaplMeter(periods_s, [zone for zone in zones if zone not in periods_s])
    except SensorError as error:
        raise MeterUnavailableError(error.reason.code, f"RAPL: {error}") from None


def _joules_without_wraps(zone: Zone) -> Callable[[], float]:
    """A function that reads a counter in joules and adds its range each time that it wraps.

    Raises:
        SensorError: From that function, if the counter cannot be read.
    """
    last_uj = total_uj = 0

    def read_j() -> float:
        nonlocal last_uj, total_uj
        value = count(zone)
        if isinstance(value, Reason):
            raise SensorError(value.code, value.message)
        total_uj += spent_uj(last_uj, value, zone.range_uj)
        last_uj = value
        return total_uj / 1e6

    return read_j


def _with_wraps(zone: Zone, aligned: Joules | SensorError, spent_j: float) -> Joules | Reason:
    """Aligned joules, which miss whole wraps between two reads, with the wraps of ``spent_j``."""
    if isinstance(aligned, SensorError):
        return aligned.reason
    range_j = (zone.range_uj + 1) / 1e6
    energy_j = aligned.energy_j + round((spent_j - aligned.energy_j) / range_j) * range_j
    if energy_j < 0:
        message = f"{zone.name}: negative energy in the window, {energy_j:.4g} J"
        return Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message)
    return replace(aligned, energy_j=energy_j)


def _budget(joules: Iterable[Joules]) -> dict[str, float]:
    """Standard uncertainties of the sum over zones, whose errors are independent (GUM 5.1.2)."""
    return _combined([used.budget for used in joules])


def _total(powers: Sequence[Quantity]) -> Quantity:
    """The power of a channel from that of its zones."""
    freedoms = [p.degrees_of_freedom for p in powers if p.degrees_of_freedom is not None]
    return Quantity(
        value=sum(power.value for power in powers),
        unit="W",
        uncertainty=combine(power.uncertainty or 0.0 for power in powers),
        degrees_of_freedom=min(freedoms, default=None),
        budget=_combined([power.budget for power in powers]),
    )


def _combined(budgets: Sequence[Mapping[str, float]]) -> dict[str, float]:
    causes = {cause for budget in budgets for cause in budget}
    return {cause: combine(b.get(cause, 0.0) for b in budgets) for cause in sorted(causes)}


def _reset(message: str) -> Reason:
    return Reason(code=ReasonCode.COUNTER_RESET, message=message)
