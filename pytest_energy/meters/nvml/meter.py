"""The meter of NVIDIA GPUs: reads devices and sources at both edges of a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.base import Edge, Reading
from pytest_energy.meters.nvml import validity
from pytest_energy.meters.nvml.capabilities import missing_readings
from pytest_energy.meters.nvml.devices.identity import describe
from pytest_energy.meters.nvml.devices.scopes import GPU_NAME
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.devices.sensors import (
    Fields,
    Snapshot,
    take_fields,
    take_snapshot,
)
from pytest_energy.meters.nvml.driver import SensorError, is_simulated
from pytest_energy.meters.nvml.phases import Phases
from pytest_energy.meters.nvml.sources.collector import Collector, RingWatch, Samples
from pytest_energy.meters.nvml.sources.counter_reads import CounterReads, with_reading
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.sources.joules import Joules, OpeningTick, with_term
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor
from pytest_energy.meters.nvml.sources.power_source import (
    LONGEST_GAP_PERIODS,
    PowerSource,
    largest_miss,
)
from pytest_energy.meters.nvml.sources.probing import OwnLoad, Tried
from pytest_energy.meters.nvml.sources.sample_energy import (
    longest_gap_s,
    make_trace,
    sampled_energy,
    sampled_load,
)
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.conditions import Condition
from pytest_energy.model.measurement import (
    UNSEEN,
    Environment,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Scalar,
    Shortness,
    TooShort,
    Trace,
)
from pytest_energy.uncertainty.gum import combine
from pytest_energy.uncertainty.rounds import BOARD_GAIN

T = TypeVar("T")

EDGES = "edges"
"""The channel of the conditions that say what the search for both edges cost."""
REST_BEFORE_PROBE_S = 2.0
"""The program has just worked: until its joules have come, five time constants of 0.3 s and more, a
late sensor would show them as power at rest, and the meter's own load as a smaller one."""
NO_OWN_LOAD = (
    "none: what follows a window may be its load's tail, or joules that the sensor shows late. "
    "Intervals contain both: ±26 % at 1 s and ±4 % at 5 s if joules come 100 ms late. Start CUDA "
    "through torch before the first window (torch.cuda.init()), or set longer windows"
)
AT_ONCE_S = 0.02
"""So soon after a window nothing has worked that a late sensor could still show."""


@dataclass(frozen=True)
class Instruments:
    """The sources of joules and of power samples; each channel has one source of joules."""

    counter: CounterSource | None
    power: PowerSource | None
    sensors: Mapping[str, PowerSensor]
    """The power sensors by channel, also beside a counter."""
    collector: Collector | None
    """Collects power samples; ``None`` if neither traces nor joules need them."""
    collected: tuple[str, ...] = ()
    """The channels whose samples are collected."""
    scopes: Mapping[str, str] = field(default_factory=dict)
    """What the counters of devices in modules count, by channel; see :mod:`.devices.scopes`."""
    readers: Mapping[str, CounterReads] = field(default_factory=dict)
    """The readers of the counters, which know what reading costs."""
    at_rest: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The idle power of devices by their counters and by their power samples of the same time, in
    watts by channel."""
    own_load: Callable[[], OwnLoad | None] = lambda: None
    """A load of the meter's own, or ``None`` as long as this process has none."""

    @property
    def sources(self) -> tuple[CounterSource | PowerSource, ...]:
        """The sources of joules that are in use."""
        return tuple(source for source in (self.counter, self.power) if source is not None)


@dataclass(frozen=True)
class _DeviceReadings:
    """State and fields of the devices at one edge, by channel."""

    state: Mapping[str, Snapshot | SensorError]
    fields: Mapping[str, Fields | SensorError]


@dataclass(frozen=True)
class _WindowStart:
    """What was read when a window began."""

    readings: _DeviceReadings
    ticks: Mapping[str, OpeningTick | SensorError]
    collecting: SensorError | None
    """Why no power samples are collected, if they should be."""
    waited_s: float
    """For how long the measured program had to wait."""


@dataclass(frozen=True)
class _Consumption:
    """Joules and power samples of a window, by channel."""

    joules: Mapping[str, Joules | SensorError]
    samples: Samples
    remarks: tuple[Reason, ...]
    """What was wrong with the power samples."""


class NvmlMeter:
    """Joules of one or several NVIDIA GPUs."""

    def __init__(
        self,
        devices: Sequence[Device],
        instruments: Instruments,
        thresholds: Mapping[str, float],
        close: ExitStack,
    ) -> None:
        """Build the meter from devices and instruments that are already open.

        Args:
            devices: The devices to measure.
            instruments: Their sources of joules and samples.
            thresholds: Limits of the validity checks by reason code, if not the defaults.
            close: Closes everything that is open.
        """
        self._devices = devices
        self._instruments = instruments
        self._limits = validity.limits(thresholds)
        self._phases = Phases()
        sources = instruments.sources
        self._period_s = max(source.period_s for source in sources)
        self._reference = {device.channel: take_snapshot(device) for device in devices}
        self.environment: Environment = describe(
            devices, list(self._reference.values()), instruments.scopes
        )
        self.channels = tuple(device.channel for device in devices)
        self.idle_power_w: Mapping[str, Quantity] = {
            channel: power for source in sources for channel, power in source.idle_power_w.items()
        }
        self._unavailable = self._missing()
        checks = (
            validity.disagreement_at_rest(channel, counted_w, sampled_w, self._limits)
            for channel, (counted_w, sampled_w) in instruments.at_rest.items()
        )
        self._wrong_counters = tuple(reason for reason in checks if reason is not None)
        self._probed = False
        self._own_load = NO_OWN_LOAD
        self._returned_s = -math.inf
        """When the last window was read, by ``time.perf_counter``."""
        self._close = close.pop_all()

    @property
    def shortest_window_s(self) -> float:
        """That of the slowest source, which a load of the meter's own may make longer."""
        return max(source.shortest_window_s for source in self._instruments.sources)

    @property
    def info(self) -> MeterInfo:
        """Name, sources and tick, and what is known of the sensors by now."""
        sources, readers = self._instruments.sources, self._instruments.readers.values()
        return MeterInfo(
            name="nvml",
            source="+".join(source.name for source in sources),
            tick_s=self._period_s,
            details={
                "gain_limit": BOARD_GAIN,
                "missing": list(self._unavailable),
                "own_load": self._own_load,
                "counter_step_j": [reader.step_j for reader in readers],
                "loss_per_read_j": [reader.loss_j for reader in readers],
                **{name: fact for s in sources for name, fact in s.details().items()},
            },
        )

    def _missing(self) -> list[Scalar]:
        counter, sensors = self._instruments.counter, self._instruments.sensors
        counted = counter.channels if counter else ()
        fields = {device.channel: take_fields(device) for device in self._devices}
        return [
            f"{channel}: {reading}"
            for channel, state in self._reference.items()
            for reading in missing_readings(
                state,
                fields[channel],
                counted=channel in counted,
                sensor=sensors.get(channel),
                scope=self._instruments.scopes.get(channel, GPU_NAME),
            )
        ]

    def accept_settings(self) -> None:
        """Check windows against the present power limits and clocks: the test has set them."""
        self._reference = {device.channel: take_snapshot(device) for device in self._devices}

    def next_program(self, name: str) -> None:
        """Take the next windows for those of a program: how its loads end is learnt from these."""
        for source in (self._instruments.counter, self._instruments.power):
            if source is not None:
                source.next_program(name)

    def spent_j(self) -> float | None:
        """The counters' joules; ``None`` if a device has no counter or no longer answers."""
        counter = self._instruments.counter
        if counter is None or counter.channels != self.channels:
            return None
        try:
            return counter.spent_j()
        except SensorError:
            return None

    def begin(self) -> Edge:
        """Read the devices' state, wait for a tick and a part of the next, and read their fields.

        Each round starts at another phase of the tick. Otherwise a part-time sensor could sample
        the same part of a periodic load in all rounds. Equal rounds would also end at the same
        phase: their scatter would not show the errors of the gaps.
        """
        self._probe()
        called_s, instruments = CLOCK.perf_counter(), self._instruments
        at_once = called_s - self._returned_s <= AT_ONCE_S
        # The slow calls come first: between the tick and the window there is one batch only.
        state = self._each(take_snapshot)
        collecting = _failure_of(instruments.collector.begin) if instruments.collector else None
        if instruments.power is not None:
            instruments.power.await_rest(at_once)
        counter = instruments.counter
        ticks = counter.begin(at_once) if counter is not None else {}
        CLOCK.sleep(self._phases.next() * self._period_s)
        readings, began_s = _DeviceReadings(state, self._take_fields()), CLOCK.perf_counter()
        start = _WindowStart(readings, ticks, collecting, began_s - called_s)
        return Edge(start=CLOCK.time(), time_s=began_s, state=start)

    def _probe(self) -> None:
        """Learn from a load of the meter's own how the sensors see it.

        This is done before the first window of a process that uses CUDA, not at opening: then the
        program has started CUDA itself, and a session without windows pays nothing.
        """
        if self._probed:
            return
        counter, power = self._instruments.counter, self._instruments.power
        try:
            load = self._instruments.own_load()
            if load is None:
                return
            CLOCK.sleep(REST_BEFORE_PROBE_S)
            if counter is not None:
                watch = RingWatch(self._instruments.sensors)
                self._compare(counter.probe(load, watch), watch.samples)
            if power is not None and self._instruments.collector is not None:
                power.probe(self._instruments.collector, load)
            self._own_load = "run"
        except (SensorError, RuntimeError) as error:
            self._unavailable.append(f"load of the meter's own: {error}")
            self._own_load = f"failed: {error}"
        self._probed = True

    def _compare(self, tried: Mapping[str, Tried], samples: Samples) -> None:
        """Hold what the counters have shown of the meter's own load against the power samples.

        A counter that counts a part of the joules does so in all windows, also in those with too
        few samples to show it.
        """
        for channel, seen in samples.items():
            if channel not in tried:
                continue
            span, load_s = tried[channel].span, tried[channel].step.ended_s
            sensor = self._instruments.sensors[channel]
            sampled = sampled_load(sensor, seen, span.since_epoch(), load_s)
            counted_j = tried[channel].counted_j
            if sampled is None or sampled.energy_j <= 0:
                continue
            reason = validity.disagreement_under_load(channel, counted_j, sampled, self._limits)
            self._wrong_counters += (reason,) if reason else ()

    def end(self, edge: Edge) -> Reading:
        """Read fields and state at once, wait for the closing tick, and judge the window."""
        ended_s = CLOCK.perf_counter()
        start = edge.state
        assert isinstance(start, _WindowStart)
        fields = self._take_fields()
        before, after = start.readings, _DeviceReadings(self._each(take_snapshot), fields)
        window = Span(edge.start, ended_s - edge.time_s)
        used = self._consumption(start, Span(edge.time_s, window.duration_s), window)
        evidence = list(self._evidence(before, after, used, window))
        stages = (before.state, before.fields, after.fields, after.state, used.joules)
        reasons = [*_failures(*stages), *self._length(window.duration_s), *used.remarks]
        reasons += self._wrong_counters
        reasons += [r for device in evidence for r in validity.judge(device, self._limits)]
        reasons += [reason] if (reason := self._idle(evidence)) else []
        joules = {channel: j for channel, j in used.joules.items() if isinstance(j, Joules)}
        traces = self._traces(used.samples, window)
        self._returned_s = CLOCK.perf_counter()
        edges_s = start.waited_s + self._returned_s - ended_s
        reading = Reading(
            duration_s=window.duration_s,
            channels={channel: j.energy_j for channel, j in joules.items() if j.energy_j >= 0},
            budget=_budget(joules),
            conditions={**_conditions(evidence), **_edge_costs(joules, edges_s)},
            reasons=tuple(reasons),
            traces=traces,
            # A simulated device has no queue.
            device_worked=not is_simulated() and validity.worked(evidence),
        )
        revisable = any(j.revised for j in joules.values())
        return replace(reading, revised=lambda: _revised(reading, joules)) if revisable else reading

    def _consumption(self, start: _WindowStart, counted: Span, window: Span) -> _Consumption:
        """The joules by channel, and the power samples.

        Args:
            start: What was read when the window began.
            counted: The window by ``time.perf_counter``, as the counters are timed.
            window: The window in seconds since the epoch, as samples are stamped.
        """
        counter, power = self._instruments.counter, self._instruments.power
        # The counter goes first: it must find the tick that follows the window.
        joules = counter.end(start.ticks, counted) if counter is not None else {}
        samples, failure = self._collected(start.collecting, window.duration_s)
        joules = {channel: self._with_doubts(channel, j) for channel, j in joules.items()}
        if power is not None:
            joules |= power.joules(samples, window)
        if failure is None:
            return _Consumption(joules, samples, tuple(self._gaps(samples, window)))
        message = f"no power samples: {failure}"
        fatal = power is not None
        remark = Reason(code=ReasonCode.DATA_GAP, message=message, fatal=fatal)
        return _Consumption(joules, samples, (remark,))

    def _with_doubts(self, channel: str, joules: Joules | SensorError) -> Joules | SensorError:
        """Counted joules with what their counter adds to the budget."""
        reader = self._instruments.readers.get(channel)

        def complete(used: Joules) -> Joules:
            return self._with_unseen(channel, with_reading(used, reader) if reader else used)

        return joules if isinstance(joules, SensorError) else joules.changed(complete)

    def _gaps(self, samples: Samples, window: Span) -> Iterator[Reason]:
        """Remarks on gaps in the samples; never fatal, since the power source judges its own.

        The helper process continues when the driver refuses samples: a trace is not worth ending
        the session.
        """
        for channel in self._instruments.collected:
            gap_s = longest_gap_s(samples.get(channel, ()), window)
            if gap_s > LONGEST_GAP_PERIODS * self._instruments.sensors[channel].period_s:
                message = f"{channel}: no power samples for {gap_s:.3g} s of the window"
                yield Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False)

    def _with_unseen(self, channel: str, joules: Joules) -> Joules:
        """Counted joules, with an uncertainty ``unseen`` if the power sensor is part-time.

        Whether the counter is part-time as well is not published for any card. Until loads have
        shown it (:mod:`.sources.coverage`), it may have missed as much as any such sensor.
        """
        sensor, counter = self._instruments.sensors.get(channel), self._instruments.counter
        if sensor is None or not sensor.part_time:
            return joules
        assert counter is not None
        if counter.full_time(channel):
            return joules
        return with_term(joules, UNSEEN, largest_miss(joules.energy_j))

    def _collected(
        self, failure: SensorError | None, duration_s: float
    ) -> tuple[Samples, SensorError | None]:
        collector, power = self._instruments.collector, self._instruments.power
        if collector is None or failure is not None:
            return {}, failure
        if power is not None:
            CLOCK.sleep(power.after_s(duration_s))
        try:
            return collector.end(), None
        except SensorError as error:
            return {}, error

    def _traces(self, samples: Samples, window: Span) -> tuple[Trace, ...]:
        return tuple(
            make_trace(channel, self._instruments.sensors[channel].source, seen, window)
            for channel, seen in samples.items()
            if any(window.start_s < time_s <= window.end_s for time_s, _ in seen)
        )

    def _evidence(
        self, before: _DeviceReadings, after: _DeviceReadings, used: _Consumption, window: Span
    ) -> Iterator[validity.Evidence]:
        """The evidence on each device that answered at both edges.

        Power samples are evidence on a counter. Joules that come from the samples themselves are
        not compared with them.
        """
        counter = self._instruments.counter
        counted = counter.channels if counter is not None else ()
        for channel, joules in used.joules.items():
            opened, closed = before.state[channel], after.state[channel]
            first, last = before.fields[channel], after.fields[channel]
            if isinstance(opened, SensorError) or isinstance(closed, SensorError):
                continue
            if isinstance(first, SensorError) or isinstance(last, SensorError):
                continue
            sensor = self._instruments.sensors.get(channel) if channel in counted else None
            yield validity.Evidence(
                channel=channel,
                reference=self._reference[channel],
                before=opened,
                after=closed,
                fields_before=first,
                fields_after=last,
                duration_s=window.duration_s,
                energy_j=joules.energy_j if isinstance(joules, Joules) else None,
                uncertainty_j=_uncertainty_of_rest(joules) if isinstance(joules, Joules) else 0,
                idle_power_w=self.idle_power_w.get(channel),
                sampled=sampled_energy(sensor, used.samples.get(channel, ()), window),
                sampled_full_time=sensor is not None and not sensor.part_time,
            )

    def _idle(self, evidence: Sequence[validity.Evidence]) -> Reason | None:
        """The reason against a window without work; a device without readings may have worked."""
        return validity.idle(evidence) if len(evidence) == len(self._devices) else None

    def close(self) -> None:
        """End the helper process and disconnect from the driver."""
        self._close.close()

    def _take_fields(self) -> dict[str, Fields | SensorError]:
        """The fields of each device: a batch also reads the counter, which may lose by it."""
        fields = self._each(take_fields)
        for channel, reader in self._instruments.readers.items():
            taken = fields[channel]
            reader.reads += taken.counter_reads if isinstance(taken, Fields) else 0
        return fields

    def _each(self, take: Callable[[Device], T]) -> dict[str, T | SensorError]:
        return {device.channel: _answer(take, device) for device in self._devices}

    def _length(self, duration_s: float) -> list[Reason]:
        if duration_s >= self.shortest_window_s:
            return []
        length = f"{duration_s:.2g} s" if duration_s >= 0.001 else "less than 1 ms"
        # Rounded up, so that a window of this length is long enough.
        shortness = Shortness(
            length,
            "is shorter than the sensor can resolve: at least "
            f"{math.ceil(100 * self.shortest_window_s) / 100:g} s are needed",
            self.shortest_window_s / duration_s,
        )
        return [TooShort.of(shortness)]


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
    """The first failure of each channel; negative joules count as one."""
    failed: dict[str, Reason] = {}
    for stage in stages:
        for channel, answer in stage.items():
            if isinstance(answer, SensorError):
                message = f"{channel}: {answer.reason.message.removeprefix(f'{channel}: ')}"
                reason = answer.reason.model_copy(update={"message": message})
            elif isinstance(answer, Joules) and answer.energy_j < 0:
                message = f"{channel}: negative energy in the window, {answer.energy_j:.4g} J"
                reason = Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message)
            else:
                continue
            failed.setdefault(channel, reason)
    return list(failed.values())


def _revised(reading: Reading, joules: Mapping[str, Joules]) -> Reading:
    """A reading with the joules of its channels by what later windows have shown, too."""
    by_now = {channel: j.by_now() for channel, j in joules.items()}
    channels = {channel: by_now[channel].energy_j for channel in reading.channels}
    return replace(reading, channels=channels, budget=_budget(by_now))


def _budget(joules: Mapping[str, Joules]) -> dict[str, float]:
    """Standard uncertainties of the sum over channels, whose errors are independent (GUM 5.1.2)."""
    causes = {cause for used in joules.values() for cause in used.budget}
    return {
        cause: combine(used.budget.get(cause, 0.0) for used in joules.values())
        for cause in sorted(causes)
    }


def _edge_costs(joules: Mapping[str, Joules], edges_s: float) -> dict[str, float]:
    """What the search for both edges added around the window, at the power of the idle device."""
    if not joules:
        return {}
    rest_w = sum(used.rest_w for used in joules.values())
    costs = {"duration_s": edges_s, "energy_j": rest_w * edges_s}
    return {str(Condition(EDGES, name)): value for name, value in costs.items()}


def _conditions(evidence: Sequence[validity.Evidence]) -> dict[str, float]:
    return {
        str(Condition(device.channel, name)): value
        for device in evidence
        for name, value in validity.conditions(device).items()
    }


def _uncertainty_of_rest(joules: Joules) -> float:
    """Standard uncertainty of the joules if the device only rested.

    Power that is constant is seen rightly at any moment, so a part-time sensor misses nothing.
    """
    return combine(value for cause, value in joules.budget.items() if cause != UNSEEN)
