"""The meter of NVIDIA GPUs: devices, sources and checks put together."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_energy.measurement import Environment, MeterInfo, Quantity, Reason, ReasonCode
from pytest_energy.meters.base import Edge, MeterRequest, MeterUnavailableError, Reading
from pytest_energy.meters.nvml import library, validity
from pytest_energy.meters.nvml.counter import CounterSource, Joules
from pytest_energy.meters.nvml.identity import describe
from pytest_energy.meters.nvml.library import SensorError
from pytest_energy.meters.nvml.processes import wait_until_alone
from pytest_energy.meters.nvml.selection import Device, select_devices
from pytest_energy.meters.nvml.sensors import Snapshot, counter_of, processes_on, take_snapshot
from pytest_energy.meters.nvml.ticks import Tick

GAIN_LIMIT = 0.05
"""Boards of one model read within ±5 % of the truth. Source: arXiv 2312.02741, section 5."""


def open_nvml(request: MeterRequest) -> NvmlMeter:
    """Open the meter on the devices that the request names, or that CUDA shows.

    Raises:
        MeterUnavailableError: It cannot measure here; with the reason and the remedy.
    """
    library.start()
    try:
        devices = select_devices(request.devices)
        _wait_for(devices, request.wait_idle_s)
        return NvmlMeter(devices, _counters(devices), describe(devices), request.thresholds)
    except SensorError as error:
        library.stop()
        raise MeterUnavailableError(error.reason.code, error.reason.message) from None
    except BaseException:
        library.stop()
        raise


def _wait_for(devices: Sequence[Device], limit_s: float) -> None:
    def listed() -> frozenset[int]:
        return frozenset().union(*(processes_on(device) or () for device in devices))

    if foreign := wait_until_alone(listed, limit_s):
        raise MeterUnavailableError(
            ReasonCode.CONTENDED,
            f"NVML: after waiting {limit_s:g} s, processes of others are still on the GPU: "
            f"{', '.join(str(pid) for pid in sorted(foreign))}; end them, or measure other devices",
        )


def _counters(devices: Sequence[Device]) -> CounterSource:
    readers = {device.channel: counter_of(device) for device in devices}
    present = {channel: read for channel, read in readers.items() if read is not None}
    if missing := sorted(readers.keys() - present.keys()):
        raise MeterUnavailableError(
            ReasonCode.UNSUPPORTED,
            f"NVML: no energy counter on {', '.join(missing)}: measure a Volta or newer GPU that "
            "is not split by MIG or virtualised",
        )
    return CounterSource(present)


@dataclass(frozen=True)
class _Opened:
    """What a window began with."""

    before: Mapping[str, Snapshot | SensorError]
    ticks: Mapping[str, Tick | SensorError]


class NvmlMeter:
    """Joules of one or several NVIDIA GPUs."""

    def __init__(
        self,
        devices: Sequence[Device],
        source: CounterSource,
        environment: Environment,
        thresholds: Mapping[str, float],
    ) -> None:
        self._devices = devices
        self._source = source
        self._limits = validity.limits(thresholds)
        self._phases = random.Random()
        self._open = True
        self.environment: Environment = environment
        self.channels = tuple(device.channel for device in devices)
        self.idle_power_w: Mapping[str, Quantity] = source.idle_power_w
        self.shortest_window_s = source.shortest_window_s
        self.info = MeterInfo(
            name="nvml",
            source=source.name,
            tick_s=source.period_s,
            details={"gain_limit": GAIN_LIMIT},
        )

    def begin(self) -> Edge:
        """Read the devices' state, wait for a tick, and return at a random moment after it.

        Starting at another phase of the tick in each round keeps a sensor that looks only part of
        the time from seeing the same part of the load again and again.
        """
        before = self._snapshots()
        ticks = self._source.begin()
        time.sleep(self._phases.uniform(0.0, self._source.period_s))
        state = _Opened(before, ticks)
        return Edge(start=time.time(), time_s=time.perf_counter(), state=state)

    def end(self, edge: Edge) -> Reading:
        """Read the state at once, wait for the closing tick, and judge what was seen."""
        ended_s = time.perf_counter()
        assert isinstance(edge.state, _Opened)
        after = self._snapshots()
        used = self._source.end(edge.state.ticks, edge.time_s, ended_s)
        duration_s = ended_s - edge.time_s
        evidence = _evidence(edge.state.before, after, used, duration_s)
        reasons = [*_failures(edge.state.before, after, used), *self._length(duration_s)]
        reasons += [r for known in evidence for r in validity.judge(known, self._limits)]
        read = {channel: j for channel, j in used.items() if isinstance(j, Joules)}
        valid = {channel: j.energy_j for channel, j in read.items() if j.energy_j >= 0}
        return Reading(
            duration_s=duration_s,
            channels=valid,
            budget=_budget(read),
            conditions={**_conditions(evidence), **_edge_costs(read)},
            reasons=tuple(reasons),
        )

    def close(self) -> None:
        """Disconnect from the driver."""
        if self._open:
            self._open = False
            library.stop()

    def _snapshots(self) -> dict[str, Snapshot | SensorError]:
        return {device.channel: _snapshot(device) for device in self._devices}

    def _length(self, duration_s: float) -> list[Reason]:
        if duration_s >= self.shortest_window_s:
            return []
        message = (
            f"the window of {duration_s:.4g} s is shorter than the sensor can resolve: it takes "
            f"{self.shortest_window_s:.4g} s; run {self.shortest_window_s / duration_s:.1f} × as "
            "many passes or more"
        )
        return [Reason(code=ReasonCode.WINDOW_TOO_SHORT, message=message)]


def _snapshot(device: Device) -> Snapshot | SensorError:
    try:
        return take_snapshot(device)
    except SensorError as error:
        return error


def _evidence(
    before: Mapping[str, Snapshot | SensorError],
    after: Mapping[str, Snapshot | SensorError],
    used: Mapping[str, Joules | SensorError],
    duration_s: float,
) -> list[validity.Evidence]:
    """What is known of the devices whose state could be read at both edges."""
    known = []
    for channel, first in before.items():
        second, joules = after[channel], used[channel]
        if isinstance(first, Snapshot) and isinstance(second, Snapshot):
            energy_j = joules.energy_j if isinstance(joules, Joules) else None
            known.append(validity.Evidence(channel, first, second, duration_s, energy_j))
    return known


def _failures(*stages: Mapping[str, object]) -> list[Reason]:
    """The first failure of each channel, and joules that cannot be."""
    failed: dict[str, Reason] = {}
    for stage in stages:
        for channel, answer in stage.items():
            if isinstance(answer, SensorError):
                reason = answer.reason
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


def _edge_costs(read: Mapping[str, Joules]) -> dict[str, float]:
    if not read:
        return {}
    return {
        "edges.duration_s": max(joules.edge_s for joules in read.values()),
        "edges.energy_j": sum(joules.edge_j for joules in read.values()),
    }


def _conditions(evidence: Sequence[validity.Evidence]) -> dict[str, float]:
    told: dict[str, float | None] = {}
    for known in evidence:
        told[f"{known.channel}.temperature_c"] = known.after.temperature_c
        told[f"{known.channel}.clock_mhz"] = known.after.clock_mhz
        for cause, share in validity.throttled_shares(known).items():
            told[f"{known.channel}.throttled.{cause}"] = share
    return {name: value for name, value in told.items() if value is not None}
