"""Whether a window may be believed: what its two edges showed, against limits that can be set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pytest_energy.meters.nvml.devices.processes import others
from pytest_energy.meters.nvml.devices.sensors import Fields, Snapshot
from pytest_energy.meters.nvml.driver import FieldValue
from pytest_energy.model.measurement import Reason, ReasonCode

DEFAULTS: Mapping[ReasonCode, float] = {
    ReasonCode.CONTENDED: 0,
    ReasonCode.THROTTLED: 0.01,
    ReasonCode.POWER_LIMIT_CHANGED: 0.001,
    ReasonCode.CLOCKS_CHANGED: 0.001,
    ReasonCode.SENSOR_DISAGREEMENT: 0.15,
    ReasonCode.IMPLAUSIBLE_POWER: 1.1,
}
"""Processes of others; share of time; relative changes; relative difference; multiple of the
power limit: the most that still counts as valid."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one device over one window."""

    channel: str
    opened: Snapshot
    """When the meter was opened: what the identity was taken from."""
    before: Snapshot
    after: Snapshot
    first: Fields
    """At the opening edge."""
    last: Fields
    """At the closing edge."""
    duration_s: float
    energy_j: float | None
    power_energy_j: float | None = None
    """The window's joules by its power samples, where there were enough of them."""
    sampled_whole: bool = False
    """Whether these samples see the whole time; else a pulsing load may deceive them."""


def limits(chosen: Mapping[str, float]) -> dict[ReasonCode, float]:
    """The limits in force: the defaults, but for those that were chosen by reason code."""
    return {code: chosen.get(code.value, default) for code, default in DEFAULTS.items()}


def judge(evidence: Evidence, limit: Mapping[ReasonCode, float]) -> list[Reason]:
    """Everything that is wrong with the window, or worth a remark."""
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
        message = "the driver does not tell which processes use the device: others go unnoticed"
        yield ReasonCode.PROCESSES_UNKNOWN, message, False
    foreign = sorted(others((before or frozenset()) | (after or frozenset())))
    if len(foreign) > most:
        listed = ", ".join(str(pid) for pid in foreign)
        yield ReasonCode.CONTENDED, f"processes of others on the device: {listed}", True


def throttled_shares(evidence: Evidence) -> dict[str, float]:
    """The share of the window in which the device was held back, by cause."""
    earlier, later = evidence.first, evidence.last
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
    """The time between two answers: by the driver, unless it gives none or its clock stepped."""
    stamped_s = last.stamp_s - first.stamp_s
    return stamped_s if abs(stamped_s - duration_s) < duration_s / 2 else duration_s


def conditions(evidence: Evidence) -> dict[str, float]:
    """What the edges showed, for the results.

    Besides the state, ``opening_power_w``, which is high where the device was not at rest, and what
    the counter says by itself at the edges, with the driver's time between both answers:
    ``counted_j`` and ``counted_s``. The window's joules are better, and not far from these.
    """
    first, last = evidence.first, evidence.last
    told = {
        "temperature_c": evidence.after.temperature_c,
        "clock_mhz": evidence.after.clock_mhz,
        **{f"throttled.{cause}": share for cause, share in throttled_shares(evidence).items()},
        "opening_power_w": first.power_w.value if first.power_w else None,
    }
    if first.counted_j and last.counted_j:
        told["counted_j"] = last.counted_j.value - first.counted_j.value
        told["counted_s"] = last.counted_j.stamp_s - first.counted_j.stamp_s
    return {name: value for name, value in told.items() if value is not None}


def _throttling(evidence: Evidence, most: float) -> Iterator[Remark]:
    """Heat and power brakes spoil a window; running at the power limit is what a GPU does."""
    for cause, share in sorted(throttled_shares(evidence).items()):
        if share > most:
            message = f"held back by {cause} for {share:.1%} of the window (limit {most:.1%})"
            yield ReasonCode.THROTTLED, message, cause != "power-cap"


def _changes(evidence: Evidence, limit: Mapping[ReasonCode, float]) -> Iterator[Remark]:
    """What differs from the identity and the context that the results are kept under."""
    seen = (evidence.opened, evidence.before, evidence.after)
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
            message = f"{what} changed since the meter was opened, at the edges: {listed} {unit}"
            yield code, message, True


def _implausibility(evidence: Evidence, most: float) -> Iterator[Remark]:
    limit_w = evidence.after.power_limit_w
    if evidence.energy_j is None or not limit_w or evidence.duration_s <= 0:
        return
    power_w = evidence.energy_j / evidence.duration_s
    if power_w > most * limit_w:
        message = f"mean power {power_w:.4g} W, more than {most:g} × the limit of {limit_w:g} W"
        yield ReasonCode.IMPLAUSIBLE_POWER, message, True


def _disagreement(evidence: Evidence, most: float) -> Iterator[Remark]:
    counted, sampled = evidence.energy_j, evidence.power_energy_j
    if counted is None or not sampled:
        return
    difference = counted / sampled - 1
    if abs(difference) > most:
        message = (
            f"counter says {counted:.4g} J, power samples {sampled:.4g} J: "
            f"{difference:+.1%} (limit ±{most:.0%})"
        )
        yield ReasonCode.SENSOR_DISAGREEMENT, message, evidence.sampled_whole
