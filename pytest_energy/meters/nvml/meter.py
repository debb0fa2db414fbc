"""The meter of NVIDIA GPUs: devices, sources and checks put together."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from pytest_energy.meters.base import Edge, Reading
from pytest_energy.meters.nvml import validity
from pytest_energy.meters.nvml.capabilities import missing
from pytest_energy.meters.nvml.devices.identity import describe
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.devices.sensors import (
    Fields,
    Snapshot,
    take_fields,
    take_snapshot,
)
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.collector import Collector, Samples
from pytest_energy.meters.nvml.sources.counter_source import (
    CounterSource,
    Joules,
    OpeningTick,
    with_unseen,
)
from pytest_energy.meters.nvml.sources.phases import Phases
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor
from pytest_energy.meters.nvml.sources.power_source import (
    LONGEST_GAP_PERIODS,
    PowerSource,
    largest_miss,
)
from pytest_energy.meters.nvml.sources.sample_energy import (
    longest_gap_s,
    make_trace,
    sampled_energy,
)
from pytest_energy.model.measurement import (
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Scalar,
    Trace,
)
from pytest_energy.uncertainty.gum import combine, standard_error

T = TypeVar("T")

GAIN_LIMIT = 0.05
"""Boards of one model read within ±5 % of the truth. Source: arXiv 2312.02741, section 5."""


@dataclass(frozen=True)
class Instruments:
    """What the devices are measured with; each channel has one source."""

    counter: CounterSource | None
    power: PowerSource | None
    sensors: Mapping[str, PowerSensor]
    """How power samples are had, by channel, where they are."""
    collector: Collector | None
    """What collects them; ``None`` where nobody wants them."""
    collected: tuple[str, ...] = ()
    """The channels whose samples it collects."""

    @property
    def sources(self) -> tuple[CounterSource | PowerSource, ...]:
        """Those in use."""
        return tuple(source for source in (self.counter, self.power) if source is not None)


@dataclass(frozen=True)
class _Shown:
    """What the devices showed at an edge, by channel."""

    state: Mapping[str, Snapshot | SensorError]
    fields: Mapping[str, Fields | SensorError]


@dataclass(frozen=True)
class _Opened:
    """What a window began with."""

    shown: _Shown
    ticks: Mapping[str, OpeningTick | SensorError]
    collecting: SensorError | None
    """Why no power samples are collected, where they should be."""
    waited_s: float
    """For how long the measured program had to wait."""


class NvmlMeter:
    """Joules of one or several NVIDIA GPUs."""

    def __init__(
        self,
        devices: Sequence[Device],
        instruments: Instruments,
        thresholds: Mapping[str, float],
        close: ExitStack,
    ) -> None:
        """Put a meter together from what is open already.

        Args:
            devices: What is measured.
            instruments: What it is measured with.
            thresholds: Limits of the validity checks by reason code, where not the default.
            close: Closes all that is open.
        """
        self._devices = devices
        self._instruments = instruments
        self._limits = validity.limits(thresholds)
        self._phases = Phases()
        sources = instruments.sources
        self._period_s = max(source.period_s for source in sources)
        self._opened = {device.channel: take_snapshot(device) for device in devices}
        self.environment: Environment = describe(devices, list(self._opened.values()))
        self.channels = tuple(device.channel for device in devices)
        self.idle_power_w: Mapping[str, Quantity] = {
            channel: power for source in sources for channel, power in source.idle_power_w.items()
        }
        self.shortest_window_s = max(source.shortest_window_s for source in sources)
        self.info = MeterInfo(
            name="nvml",
            source="+".join(source.name for source in sources),
            tick_s=self._period_s,
            details={"gain_limit": GAIN_LIMIT, "missing": self._missing()},
        )
        self._close = close.pop_all()

    def _missing(self) -> list[Scalar]:
        counter, sensors = self._instruments.counter, self._instruments.sensors
        counted = counter.channels if counter else ()
        fields = {device.channel: take_fields(device) for device in self._devices}
        return [
            f"{channel}: {what}"
            for channel, state in self._opened.items()
            for what in missing(
                state, fields[channel], counted=channel in counted, sensor=sensors.get(channel)
            )
        ]

    def spent_j(self) -> float | None:
        """By the counters; ``None`` where a device has none, or does not answer any more."""
        counter = self._instruments.counter
        if counter is None or counter.channels != self.channels:
            return None
        try:
            return counter.spent_j()
        except SensorError:
            return None

    def begin(self) -> Edge:
        """Read the devices' state, wait for a tick and some more, and read their fields.

        Starting at another phase of the tick in each round keeps a sensor that looks only part of
        the time from seeing the same part of the load again and again.
        """
        asked_s, instruments = time.perf_counter(), self._instruments
        before = self._each(take_snapshot)
        collecting = _failure_of(instruments.collector.begin) if instruments.collector else None
        if instruments.power is not None:
            time.sleep(instruments.power.settling_s)
        ticks = instruments.counter.begin() if instruments.counter else {}
        time.sleep(self._phases.next() * self._period_s)
        shown, begun_s = _Shown(before, self._each(take_fields)), time.perf_counter()
        state = _Opened(shown, ticks, collecting, begun_s - asked_s)
        return Edge(start=time.time(), time_s=begun_s, state=state)

    def end(self, edge: Edge) -> Reading:
        """Read fields and state at once, wait for the closing tick, and judge what was seen."""
        ended_s = time.perf_counter()
        opened = edge.state
        assert isinstance(opened, _Opened)
        fields = self._each(take_fields)
        shown = _Shown(self._each(take_snapshot), fields)
        duration_s = ended_s - edge.time_s
        used, samples, remarks = self._joules(edge, opened, ended_s)
        traces = self._traces(samples, edge.start, edge.start + duration_s)
        evidence = self._evidence(opened.shown, shown, used, samples, edge.start, duration_s)
        before = opened.shown
        stages = (before.state, before.fields, shown.fields, shown.state, used)
        reasons = [*_failures(*stages), *self._length(duration_s), *remarks]
        reasons += [r for known in evidence for r in validity.judge(known, self._limits)]
        read = {channel: j for channel, j in used.items() if isinstance(j, Joules)}
        edges_s = opened.waited_s + time.perf_counter() - ended_s
        return Reading(
            duration_s=duration_s,
            channels={channel: j.energy_j for channel, j in read.items() if j.energy_j >= 0},
            budget=_budget(read),
            conditions={**_conditions(evidence), **_edge_costs(read, edges_s)},
            reasons=tuple(reasons),
            traces=traces,
        )

    def _joules(
        self, edge: Edge, opened: _Opened, ended_s: float
    ) -> tuple[dict[str, Joules | SensorError], Samples, list[Reason]]:
        """The joules by channel, the power samples, and what was wrong with the samples alone."""
        instruments = self._instruments
        used: dict[str, Joules | SensorError] = {}
        if instruments.counter is not None:
            used |= instruments.counter.end(opened.ticks, edge.time_s, ended_s)
        samples, failure = self._collected(opened.collecting)
        used = {
            c: self._doubted(c, j, samples, edge.start, ended_s - edge.time_s)
            for c, j in used.items()
        }
        if instruments.power is not None:
            ended = edge.start + ended_s - edge.time_s
            used |= instruments.power.joules(samples, edge.start, ended)
        if failure is None:
            return used, samples, self._gaps(samples, edge.start, ended_s - edge.time_s)
        fatal = instruments.power is not None
        message = f"no power samples: {failure}"
        return used, samples, [Reason(code=ReasonCode.DATA_GAP, message=message, fatal=fatal)]

    def _gaps(self, samples: Samples, start: float, duration_s: float) -> list[Reason]:
        """Remarks on samples that are missing; where joules come from them, that is fatal anyway.

        The process that collects them goes on where the driver refuses them, or the session would
        end for the sake of a trace.
        """
        gaps = []
        for channel in self._instruments.collected:
            gap_s = longest_gap_s(samples.get(channel, ()), start, duration_s)
            if gap_s > LONGEST_GAP_PERIODS * self._instruments.sensors[channel].period_s:
                message = f"{channel}: no power samples for {gap_s:.3g} s of the window"
                gaps.append(Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False))
        return gaps

    def _doubted(
        self,
        channel: str,
        joules: Joules | SensorError,
        samples: Samples,
        start: float,
        duration_s: float,
    ) -> Joules | SensorError:
        """Counted joules, with their doubt where the device's power sensor looks away.

        Whether the counter is part-time as well is not published for any card. Until enough windows
        have shown it (:mod:`.sources.coverage`), two facts of the power samples are used: how much
        they vary, and how far their joules are from the counter's. A counter that then is not
        shown to cover the full time may have missed as much as any such sensor.
        """
        sensor, counter = self._instruments.sensors.get(channel), self._instruments.counter
        if isinstance(joules, SensorError) or sensor is None or not sensor.part_time:
            return joules
        assert counter is not None
        full_time = counter.full_time(channel)
        inside = [w for time_s, w in samples.get(channel, ()) if 0 < time_s - start <= duration_s]
        if full_time or len(inside) < 2:
            return joules
        apart_j = statistics.fmean(inside) * duration_s - joules.energy_j
        missed_j = 0.0 if full_time is None else largest_miss(joules.energy_j)
        seen_j = standard_error(inside) * duration_s
        return with_unseen(joules, combine((seen_j, apart_j, missed_j)))

    def _collected(self, failure: SensorError | None) -> tuple[Samples, SensorError | None]:
        collector, power = self._instruments.collector, self._instruments.power
        if collector is None or failure is not None:
            return {}, failure
        if power is not None:
            time.sleep(power.settling_s)
        try:
            return collector.end(), None
        except SensorError as error:
            return {}, error

    def _traces(self, samples: Samples, start: float, end: float) -> tuple[Trace, ...]:
        return tuple(
            make_trace(channel, self._instruments.sensors[channel].source, seen, start, end)
            for channel, seen in samples.items()
            if any(start < time_s <= end for time_s, _ in seen)
        )

    def _evidence(
        self,
        before: _Shown,
        after: _Shown,
        used: Mapping[str, Joules | SensorError],
        samples: Samples,
        start: float,
        duration_s: float,
    ) -> list[validity.Evidence]:
        """What is known of the devices that answered at both edges."""
        known = []
        for channel, joules in used.items():
            opened, closed = before.state[channel], after.state[channel]
            first, last = before.fields[channel], after.fields[channel]
            if isinstance(opened, SensorError) or isinstance(closed, SensorError):
                continue
            if isinstance(first, Fields) and isinstance(last, Fields):
                energy_j = joules.energy_j if isinstance(joules, Joules) else None
                sensor = self._instruments.sensors.get(channel)
                sampled_j = sampled_energy(sensor, samples.get(channel, ()), start, duration_s)
                known.append(
                    validity.Evidence(
                        channel,
                        self._opened[channel],
                        opened,
                        closed,
                        first,
                        last,
                        duration_s,
                        energy_j,
                        sampled_j,
                        sampled_whole=sensor is not None and not sensor.part_time,
                    )
                )
        return known

    def close(self) -> None:
        """End the helper and disconnect from the driver."""
        self._close.close()

    def _each(self, take: Callable[[Device], T]) -> dict[str, T | SensorError]:
        return {device.channel: _answer(take, device) for device in self._devices}

    def _length(self, duration_s: float) -> list[Reason]:
        if duration_s >= self.shortest_window_s:
            return []
        message = (
            f"the window of {duration_s:.4g} s is shorter than the sensor can resolve: it takes "
            f"{self.shortest_window_s:.4g} s; run {self.shortest_window_s / duration_s:.1f} × as "
            "many passes or more"
        )
        return [Reason(code=ReasonCode.WINDOW_TOO_SHORT, message=message)]


def _answer(take: Callable[[Device], T], device: Device) -> T | SensorError:
    try:
        return take(device)
    except SensorError as error:
        return error


def _failure_of(action: Callable[[], None]) -> SensorError | None:
    try:
        action()
    except SensorError as error:
        return error
    return None


def _failures(*stages: Mapping[str, object]) -> list[Reason]:
    """The first failure of each channel, and joules that cannot be."""
    failed: dict[str, Reason] = {}
    for stage in stages:
        for channel, answer in stage.items():
            if isinstance(answer, SensorError):
                message = f"{channel}: {answer.reason.message.removeprefix(f'{channel}: ')}"
                reason = answer.reason.model_copy(update={"message": message})
            elif isinstance(answer, Joules) and answer.energy_j < 0:
                message = f"{channel}: {answer.energy_j:.4g} J in the window, which cannot be"
                reason = Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message)
            else:
                continue
            failed.setdefault(channel, reason)
    return list(failed.values())


def _budget(read: Mapping[str, Joules]) -> dict[str, float]:
    """Standard uncertainties of the sum over channels, which err independently."""
    causes = {cause for joules in read.values() for cause in joules.budget}
    return {
        cause: sum(joules.budget.get(cause, 0.0) ** 2 for joules in read.values()) ** 0.5
        for cause in sorted(causes)
    }


def _edge_costs(read: Mapping[str, Joules], edges_s: float) -> dict[str, float]:
    """What finding both edges added around the window, at the power of the device at rest."""
    rest_w = sum(joules.rest_w for joules in read.values())
    return {"edges.duration_s": edges_s, "edges.energy_j": rest_w * edges_s} if read else {}


def _conditions(evidence: Sequence[validity.Evidence]) -> dict[str, float]:
    return {
        f"{known.channel}.{name}": value
        for known in evidence
        for name, value in validity.conditions(known).items()
    }
