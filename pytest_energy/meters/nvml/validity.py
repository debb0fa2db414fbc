"""Whether a window is valid: the readings at its two edges, against limits that users can set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_energy.meters.nvml.devices.desktop import process_name
from pytest_energy.meters.nvml.devices.processes import others, ours_have_cuda
from pytest_energy.meters.nvml.devices.sensors import Fields, Snapshot
from pytest_energy.meters.nvml.driver import FieldValue
from pytest_energy.meters.nvml.sources.sample_energy import SampledEnergy
from pytest_energy.model.conditions import CLOCK, TEMPERATURE, THROTTLED
from pytest_energy.model.measurement import Quantity, Reason, ReasonCode
from pytest_energy.uncertainty.gum import combine, expand

DEFAULTS: Mapping[ReasonCode, float] = {
    ReasonCode.CONTENDED: 0,
    ReasonCode.THROTTLED: 0.01,
    ReasonCode.POWER_LIMIT_CHANGED: 0.001,
    ReasonCode.CLOCKS_CHANGED: 0.001,
    ReasonCode.SENSOR_DISAGREEMENT: 0.15,
    ReasonCode.IMPLAUSIBLE_POWER: 1.1,
}
"""The largest value that is still valid: a number of other processes, a share of the time, relative
changes, a relative difference, and a multiple of the power limit."""

NEAR_W = 5.0
"""Idle powers that differ by less are no evidence: so much the sensors are off near zero."""
DESKTOP_SHARE = 0.05
"""A desktop that uses more of the device is remarked on: its energy is in the window."""

REST_DRIFT = 0.02
"""By how much of itself the power of an idle device drifts with temperature, as a half-width."""


@dataclass(frozen=True)
class Evidence:
    """The readings of one device over one window."""

    channel: str
    reference: Snapshot
    """The state when the meter was opened; the identity in the results is taken from it."""
    before: Snapshot
    after: Snapshot
    fields_before: Fields
    fields_after: Fields
    duration_s: float
    energy_j: float | None
    uncertainty_j: float = 0.0
    """Standard uncertainty of ``energy_j`` if the device only rested."""
    idle_power_w: Quantity | None = None
    """Of the device before all windows, if it was idle then."""
    sampled: SampledEnergy | None = None
    """The window's joules from its power samples, if there were enough of them."""
    sampled_full_time: bool = False
    """Whether these samples cover the full time; otherwise a periodic load may deceive them."""


def limits(chosen: Mapping[str, float]) -> dict[ReasonCode, float]:
    """The limits in force: those that were chosen by reason code, and defaults for the others."""
    return {code: chosen.get(code.value, default) for code, default in DEFAULTS.items()}


def judge(evidence: Evidence, limit: Mapping[ReasonCode, float]) -> list[Reason]:
    """The reasons against the window, fatal ones and remarks."""
    return [
        Reason(code=code, message=f"{evidence.channel}: {message}", fatal=fatal)
        for code, message, fatal in _remarks(evidence, limit)
    ]


Remark = tuple[ReasonCode, str, bool]


def _remarks(evidence: Evidence, limit: Mapping[ReasonCode, float]) -> Iterator[Remark]:
    yield from _contention(evidence, limit[ReasonCode.CONTENDED])
    yield from _throttling(evidence, limit[ReasonCode.THROTTLED])
    yield from _changes(evidence, limit)
    yield from _implausibility(evidence, limit[ReasonCode.IMPLAUSIBLE_POWER])
    yield from _disagreement(evidence, limit[ReasonCode.SENSOR_DISAGREEMENT])


def _contention(evidence: Evidence, most: float) -> Iterator[Remark]:
    before, after = evidence.before.processes, evidence.after.processes
    if before is None or after is None:
        message = "the driver does not list the processes on the device: others go unnoticed"
        yield ReasonCode.PROCESSES_UNKNOWN, message, False
    foreign = sorted(others((before or frozenset()) | (after or frozenset())))
    if len(foreign) > most:
        message = f"{named(foreign)} also used the device; {accepting(len(foreign))}"
        yield ReasonCode.CONTENDED, message, True
    share = evidence.after.desktop_utilization
    if share is not None and share > DESKTOP_SHARE:
        names = ", ".join(sorted(set(evidence.after.desktop.values())))
        yield ReasonCode.CONTENDED, f"the desktop ({names}) used {share:.0%} of the device", False


def named(pids: Iterable[int]) -> str:
    """Processes with their names, as far as these are known."""
    names = {pid: process_name(pid) for pid in sorted(pids)}
    return ", ".join(f"PID {pid} ({name})" if name else f"PID {pid}" for pid, name in names.items())


def accepting(count: int) -> str:
    """How to measure beside so many other processes all the same."""
    return f"end them, or accept them with --energy-validity-limit=contended={count}"


def idle(devices: Iterable[Evidence]) -> Reason | None:
    """The reason against a window in which no device worked for this session.

    One device at work is enough: with several GPUs, some often wait for the others.
    """
    devices = tuple(devices)
    if not devices or not all(_at_rest(device) and not _used(device) for device in devices):
        return None
    powers = ", ".join(
        f"{device.channel}: {device.energy_j / device.duration_s:.3g} W"
        for device in devices
        if device.energy_j is not None
    )
    message = (
        f"the GPU did nothing for this test ({powers}, as at rest); move its work to the GPU:"
        ' .to(energy.device); or measure the CPU: @pytest.mark.energy(meter="rapl"), or'
        ' channels=["cpu"]'
    )
    return Reason(code=ReasonCode.DEVICE_IDLE, message=message)


def worked(devices: Iterable[Evidence]) -> bool:
    """Whether a device drew more than at rest, and this session has a context on it."""
    return any(_used(device) and not _at_rest(device) for device in devices)


def _at_rest(device: Evidence) -> bool:
    """Whether the mean power is that of rest, within the uncertainties of both."""
    rest = device.idle_power_w
    if rest is None or device.energy_j is None or device.duration_s <= 0:
        return False
    power_w, standard_w = (j / device.duration_s for j in (device.energy_j, device.uncertainty_j))
    doubts_w = (expand(standard_w), rest.uncertainty or 0.0, REST_DRIFT * rest.value)
    return power_w <= rest.value + combine(doubts_w)


def _used(device: Evidence) -> bool:
    """Whether this session has a context on the device, as far as the driver tells."""
    before, after = device.before.processes, device.after.processes
    if before is None or after is None:
        return ours_have_cuda()
    listed = before | after
    return len(others(listed)) < len(listed)


def throttled_shares(evidence: Evidence) -> dict[str, float]:
    """The share of the window in which the device was throttled, by cause."""
    earlier, later = evidence.fields_before, evidence.fields_after
    kinds = (
        (earlier.throttled_s, later.throttled_s),
        (earlier.violated_s, later.violated_s),
    )
    return {
        cause: (last[cause].value - first[cause].value) / span_s
        for first, last in kinds
        for cause in first.keys() & last.keys()
        if (span_s := _between_s(first[cause], last[cause], evidence.duration_s)) > 0
    }


def _between_s(first: FieldValue, last: FieldValue, duration_s: float) -> float:
    """The time between two fields, by the driver's stamps if they are there and plausible."""
    stamped_s = last.stamp_s - first.stamp_s
    return stamped_s if abs(stamped_s - duration_s) < duration_s / 2 else duration_s


def conditions(evidence: Evidence) -> dict[str, float]:
    """The conditions at the edges, by name, for the results.

    Besides the state these are ``opening_power_w``, which is high if the device was not idle, and
    ``counted_j`` and ``counted_s``: the counter's difference between the edges, and the driver's
    time between the two readings. The window's own joules are more exact, and close to these.
    """
    first, last = evidence.fields_before, evidence.fields_after
    values = {
        TEMPERATURE: evidence.after.temperature_c,
        CLOCK: evidence.after.clock_mhz,
        **{f"{THROTTLED}.{cause}": share for cause, share in throttled_shares(evidence).items()},
        "opening_power_w": first.power_w.value if first.power_w else None,
        "desktop_utilization": evidence.after.desktop_utilization,
    }
    if first.counted_j and last.counted_j:
        values["counted_j"] = last.counted_j.value - first.counted_j.value
        values["counted_s"] = last.counted_j.stamp_s - first.counted_j.stamp_s
    return {name: value for name, value in values.items() if value is not None}


def _throttling(evidence: Evidence, most: float) -> Iterator[Remark]:
    """Heat and power brakes are fatal; running at the power limit is normal for a GPU."""
    for cause, share in sorted(throttled_shares(evidence).items()):
        if share > most:
            message = f"throttled by {cause} for {share:.1%} of the window (limit {most:.1%})"
            yield ReasonCode.THROTTLED, message, cause != "power-cap"


def _changes(evidence: Evidence, limit: Mapping[ReasonCode, float]) -> Iterator[Remark]:
    """Changes of what the results' identity and context say of the device."""
    seen = (evidence.reference, evidence.before, evidence.after)
    pairs = (
        (ReasonCode.POWER_LIMIT_CHANGED, "power limit", "W", [s.power_limit_w for s in seen]),
        (
            ReasonCode.CLOCKS_CHANGED,
            "applications clock",
            "MHz",
            [s.applications_clock_mhz for s in seen],
        ),
    )
    for code, what, unit, values in pairs:
        known = [value for value in values if value is not None]
        if any(abs(value - known[0]) > limit[code] * known[0] for value in known):
            listed = " → ".join(f"{value:g}" for value in known)
            message = f"the {what} changed since the meter was opened: {listed} {unit}"
            yield code, message, True


def _implausibility(evidence: Evidence, most: float) -> Iterator[Remark]:
    limit_w = evidence.after.power_limit_w
    if evidence.energy_j is None or not limit_w or evidence.duration_s <= 0:
        return
    power_w = evidence.energy_j / evidence.duration_s
    if power_w > most * limit_w:
        message = f"mean power {power_w:.4g} W, above {most:g} × the limit of {limit_w:g} W"
        yield ReasonCode.IMPLAUSIBLE_POWER, message, True


def disagreement_at_rest(
    channel: str, counted_w: float, sampled_w: float, limit: Mapping[ReasonCode, float]
) -> Reason | None:
    """The reason against a counter whose idle power is not that of the power samples.

    Idle power is steady, so that a sensor which sees a part of the time is not deceived by it. Such
    a counter is wrong in all windows, also in those too short for a comparison of their own.
    """
    most, apart_w = limit[ReasonCode.SENSOR_DISAGREEMENT], abs(counted_w - sampled_w)
    if apart_w <= max(most * sampled_w, NEAR_W):
        return None
    message = (
        f"{channel}: at rest {counted_w:.4g} W by the counter, {sampled_w:.4g} W by the power "
        f"samples: {counted_w / sampled_w - 1:+.1%} (limit ±{most:.0%})"
    )
    return Reason(code=ReasonCode.SENSOR_DISAGREEMENT, message=message)


def disagreement_under_load(
    channel: str, counted_j: float, sampled: SampledEnergy, limit: Mapping[ReasonCode, float]
) -> Reason | None:
    """The reason against a counter that differs from the power samples of the meter's own load.

    That load is steady and its span begins and ends at rest, so that neither the edges nor a sensor
    that sees a part of the time explain more than ``sampled.edges_j``. As the device draws far more
    than at rest, a share is seen here that hides there in a few watts.
    """
    most = limit[ReasonCode.SENSOR_DISAGREEMENT]
    if abs(counted_j - sampled.energy_j) <= most * sampled.energy_j + sampled.edges_j:
        return None
    message = (
        f"{channel}: {counted_j:.4g} J by the counter, {sampled.energy_j:.4g} J by the power "
        "samples, of a steady load of the meter's own: "
        f"{counted_j / sampled.energy_j - 1:+.1%} (limit ±{most:.0%})"
    )
    return Reason(code=ReasonCode.SENSOR_DISAGREEMENT, message=message)


def _disagreement(evidence: Evidence, most: float) -> Iterator[Remark]:
    """A difference that the edges of few samples can explain is none; late samples are a remark.

    So is a difference above both the limit and what the edges can explain, but not above their sum.
    """
    counted, sampled = evidence.energy_j, evidence.sampled
    if counted is None or sampled is None or not sampled.energy_j:
        return
    difference = counted / sampled.energy_j - 1
    apart_j, allowed_j = abs(difference) * sampled.energy_j, most * sampled.energy_j
    beyond_j = apart_j - allowed_j
    doubtful = evidence.sampled_full_time and apart_j > max(allowed_j, sampled.edges_j)
    if doubtful or beyond_j > sampled.edges_j:
        message = (
            f"{counted:.4g} J by the counter, {sampled.energy_j:.4g} J by the power samples: "
            f"{difference:+.1%} (limit ±{most:.0%})"
        )
        beyond_all = beyond_j > max(sampled.edges_j, sampled.late_j)
        certain = evidence.sampled_full_time and beyond_all
        yield ReasonCode.SENSOR_DISAGREEMENT, message, certain
