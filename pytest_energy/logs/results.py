"""Results from a log: a run of its own, or the log's joules beside those of an earlier run.

A window that the log covers too little gets no joules: it keeps the energy of the covered part, and
the reason. Smaller gaps are reported and widen the uncertainty. No gap is filled in.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pytest_energy.errors import UsageError
from pytest_energy.logs.energy import Channel, Energy, Gap
from pytest_energy.logs.wording import agree, counted
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
    Status,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict
from pytest_energy.uncertainty.gum import combine, expand
from pytest_energy.uncertainty.rounds import mean_of

MIN_COVERAGE: Final = 0.99
"""The default share of a window's time that the log must cover to give joules."""
FEWEST_TO_RANK: Final = 3
"""Benchmarks needed for a rank correlation."""
MOST_GAPS: Final = 3
"""More gaps of a window are only counted."""


@dataclass(frozen=True)
class LogWindow:
    """A time span of a log, over all its channels."""

    start_s: float
    energies: Mapping[str, Energy]
    """By channel."""
    reasons: tuple[Reason, ...]

    @property
    def valid(self) -> bool:
        """Whether its joules may be used."""
        return not any(reason.fatal for reason in self.reasons)

    @property
    def energy_j(self) -> float:
        """The sum of all channels, for the time covered."""
        return math.fsum(energy.energy_j for energy in self.energies.values())

    @property
    def duration_s(self) -> float:
        """The duration of the longest channel."""
        return max(energy.duration_s for energy in self.energies.values())

    @property
    def covered_share(self) -> float:
        """The share of the channel that covers least."""
        return min(energy.covered_share for energy in self.energies.values())

    @property
    def budget(self) -> dict[str, float]:
        """Standard uncertainties of the sum, in joules."""
        energies = self.energies.values()
        terms = {
            "sampling": combine(energy.sampling_j for energy in energies),
            "gaps": combine(energy.missing_j for energy in energies),
            "resolution": combine(energy.resolution_j for energy in energies),
        }
        return {cause: term for cause, term in terms.items() if term > 0}

    @property
    def uncertainty_j(self) -> float | None:
        """Expanded; ``None`` without any term. The instrument's own accuracy is unknown here."""
        return expand(combine(self.budget.values())) if self.budget else None


def no_readings(name: str) -> Reason:
    """The remark on a device that the log names, but has no reading of."""
    message = (
        f"{name}: the log has no reading of this device, so the sum leaves it out. If its power"
        " cannot be read, use a wattmeter"
    )
    return Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False)


def missing_readings(channels: Sequence[Channel]) -> list[Reason]:
    """Remarks on regular logs that lack readings."""
    return [
        Reason(
            code=ReasonCode.DATA_GAP,
            message=f"{channel.name}: {counted(channel.missing, 'reading')}"
            f" {agree(channel.missing, 'is', 'are')} missing, by the usual {channel.period_s:.4g} s"
            " between them",
            fatal=False,
        )
        for channel in channels
        if channel.missing
    ]


def uneven_ends(channels: Sequence[Channel], told: Sequence[str] = ()) -> list[Reason]:
    """Remarks on channels that begin later or end earlier than the log: a device that fell out.

    Args:
        channels: Of the whole log.
        told: Remarks that there are already.
    """
    first_s = min(channel.start_s for channel in channels)
    last_s = max(channel.end_s for channel in channels)
    messages = [
        f"{channel.name}: its {edge}; its joules of that time are not counted"
        for channel in channels
        for distance_s, edge in (
            (channel.start_s - first_s, "first reading is {:.6g} s after the log begins"),
            (last_s - channel.end_s, "last reading is {:.6g} s before the log ends"),
        )
        if distance_s > channel.limit_s > 0
        for edge in [edge.format(distance_s)]
        if not any(m.startswith(f"{channel.name}: ") and edge in m for m in told)
    ]
    return [Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False) for message in messages]


def whole_log(
    channels: Sequence[Channel], min_coverage: float = MIN_COVERAGE, remarks: Iterable[Reason] = ()
) -> LogWindow:
    """The whole log, with the remarks on devices without readings."""
    energies = {channel.name: channel.energy() for channel in channels}
    start_s = min(channel.start_s for channel in channels)
    return LogWindow(start_s, energies, (*remarks, *_faults(energies, min_coverage)))


def window_of_log(
    channels: Sequence[Channel], start_s: float, duration_s: float, min_coverage: float
) -> LogWindow:
    """One window of the log."""
    energies = {
        channel.name: channel.energy_between(start_s, start_s + duration_s) for channel in channels
    }
    # A window over times that came twice would count both, so it has no joules.
    clock_steps = tuple(
        Reason(code=ReasonCode.DATA_GAP, message=f"{name}: {_describe(gap)}, in this window")
        for name, energy in energies.items()
        for gap in energy.gaps
        if gap.cause == "clock"
    )
    return LogWindow(start_s, energies, (*clock_steps, *_faults(energies, min_coverage)))


def run_of_log(window: LogWindow, name: str, meter: MeterInfo) -> Run:
    """Results with one benchmark, the log.

    Args:
        window: The whole log.
        name: The name of the benchmark.
        meter: The instrument.
    """
    measurement = Measurement(
        id=name,
        kind="window",
        workload={"log": name},
        status=_status(window, meter),
        reasons=list(window.reasons),
        meter=meter,
        metrics=_metrics(window),
        rounds=[_round(window)],
    )
    outcome = Outcome.NEW if window.valid else Outcome.INVALID
    identity: Facts = {
        "device": ", ".join(window.energies),
        "meter": meter.name,
        "meter_source": "log",
    }
    if meter.estimated:
        identity["estimated"] = True
    return Run(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        environment=Environment(identity=identity),
        run=RunInfo(
            energy_j=window.energy_j if window.valid else None,
            duration_s=window.duration_s,
            meter=meter,
        ),
        benchmarks=[Result.of(measurement, Verdict(outcome=outcome))],
    )


def _status(window: LogWindow, meter: MeterInfo) -> Status:
    if not window.valid:
        return "invalid"
    return "estimated" if meter.estimated else "measured"


def compare_with_log(
    run: Run,
    channels: Sequence[Channel],
    name: str,
    min_coverage: float = MIN_COVERAGE,
    remarks: Sequence[Reason] = (),
) -> Run:
    """The run, with the log's joules of each round beside its own.

    Each round gets the conditions ``<name>.energy_j`` and ``<name>.covered_share``. Each benchmark
    gets the metrics ``<name>_energy_j`` (in the unit of its ``energy_j``) and ``<name>_ratio`` (log
    to ``energy_j``), and the remarks on devices without readings. The run gets a note with the
    median ratio and the rank correlation over all benchmarks.

    Raises:
        UsageError: The log covers no part of any round, because its clock or its zone differs.
    """
    results = [
        _with_log(result, channels, name, min_coverage, remarks) for result in run.benchmarks
    ]
    share = f"{name}.covered_share"
    if not any(round_.conditions[share] > 0 for result in results for round_ in result.rounds):
        raise UsageError(_no_overlap(run, channels))
    other_notes = [note for note in run.run.notes if not note.startswith(f"{name}: ")]
    notes = [*other_notes, *compare_instruments(results, name)]
    info = run.run.model_copy(update={"notes": notes})
    return run.model_copy(update={"benchmarks": results, "run": info})


def compare_instruments(results: Iterable[Result], name: str) -> list[str]:
    """A note on the log's joules against ``energy_j``, over all benchmarks that have both."""
    pairs = [
        (result.metrics["energy_j"].value, result.metrics[f"{name}_energy_j"].value)
        for result in results
        if {"energy_j", f"{name}_energy_j"} <= result.metrics.keys()
    ]
    if not pairs:
        return []
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(their_j / our_j for our_j, their_j in pairs)
    benchmarks = counted(len(pairs), "benchmark")
    note = f"{name}: {ratio:.3f} times pytest-energy's joules (median of {benchmarks})"
    # Ranks of equal values have no correlation.
    if len(pairs) < FEWEST_TO_RANK or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return [note]
    return [f"{note}, Spearman's ρ = {rank_correlation(ours, theirs):.3f}"]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's ρ: the correlation of the ranks, where ties share their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


def _with_log(
    result: Result,
    channels: Sequence[Channel],
    name: str,
    min_coverage: float,
    remarks: Sequence[Reason],
) -> Result:
    """The result with the log's conditions, metrics and remarks.

    What an earlier import under the same name added is replaced, so that a second one changes
    nothing.
    """
    windows = [
        window_of_log(channels, round_.start, round_.duration_s, min_coverage)
        for round_ in result.rounds
    ]
    usable = not any(remark.fatal for remark in remarks)
    compared = _compared(result, windows, name) if usable else {}
    names = (f"{name}_energy_j", f"{name}_ratio")
    others = {metric: value for metric, value in result.metrics.items() if metric not in names}
    reasons = [
        reason for reason in result.reasons if not reason.message.startswith(f"{name} log: ")
    ]
    faults = [*remarks, *(reason for window in windows for reason in window.reasons)]
    if faults:
        messages = dict.fromkeys(reason.message for reason in faults)
        message = f"{name} log: {'; '.join(messages)}"
        reasons.append(Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False))
    return result.model_copy(
        update={
            "rounds": [
                _with_conditions(round_, window, name)
                for round_, window in zip(result.rounds, windows, strict=True)
            ],
            "metrics": {**others, **compared},
            "reasons": reasons,
        }
    )


def _compared(result: Result, windows: Sequence[LogWindow], name: str) -> dict[str, Quantity]:
    """The log's joules a pass and their ratio to ours; empty if a round lacks either."""
    if result.energy is None or not windows or not all(window.valid for window in windows):
        return {}
    energies: list[float] = []
    ratios: list[float] = []
    for round_, window in zip(result.rounds, windows, strict=True):
        if round_.energy_j is None or round_.energy_j <= 0:
            return {}
        energies.append(window.energy_j / round_.passes)
        ratios.append(window.energy_j / round_.energy_j)
    return {
        f"{name}_energy_j": mean_of(energies, result.energy.unit),
        f"{name}_ratio": mean_of(ratios, ""),
    }


def _with_conditions(round_: Round, window: LogWindow, name: str) -> Round:
    conditions = {
        condition: value
        for condition, value in round_.conditions.items()
        if not condition.startswith(f"{name}.")
    }
    conditions[f"{name}.covered_share"] = window.covered_share
    if window.valid:
        conditions[f"{name}.energy_j"] = window.energy_j
    return round_.model_copy(update={"conditions": conditions})


def _metrics(window: LogWindow) -> dict[str, Quantity]:
    share = Quantity(value=window.covered_share, unit="")
    if not window.valid:
        covered = Quantity(value=window.energy_j, unit="J")
        return {"covered_energy_j": covered, "covered_share": share}
    energy = Quantity(
        value=window.energy_j,
        unit="J/window",
        uncertainty=window.uncertainty_j,
        budget=window.budget,
    )
    # The sum of the channels' powers, because channels may cover different times.
    power_w = sum(energy.energy_j / energy.covered_s for energy in window.energies.values())
    return {
        "energy_j": energy,
        "power_w": Quantity(value=power_w, unit="W"),
        "covered_share": share,
    }


def _round(window: LogWindow) -> Round:
    channels = {name: energy.energy_j for name, energy in window.energies.items()}
    return Round(
        start=window.start_s,
        duration_s=window.duration_s,
        passes=1,
        energy_j=window.energy_j if window.valid else None,
        uncertainty_j=window.uncertainty_j if window.valid else None,
        budget=window.budget,
        channels=channels if window.valid else {},
        conditions={
            f"{name}.covered_share": energy.covered_share
            for name, energy in window.energies.items()
        },
        reasons=list(window.reasons),
    )


def _faults(energies: Mapping[str, Energy], min_coverage: float) -> tuple[Reason, ...]:
    return tuple(
        reason
        for name, energy in energies.items()
        for reason in _faults_of_channel(name, energy, min_coverage)
    )


def _faults_of_channel(name: str, energy: Energy, min_coverage: float) -> Iterable[Reason]:
    if energy.energy_j < 0:
        message = f"{name}: the log's energy is negative ({energy.energy_j:.6g} J)"
        yield Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message)
    if energy.covered_share == 1:
        return
    gaps = "; ".join(_describe(gap) for gap in energy.gaps[:MOST_GAPS])
    more = len(energy.gaps) - MOST_GAPS
    yield Reason(
        code=ReasonCode.DATA_GAP,
        message=f"{name}: the log covers {energy.covered_share:.1%} of the time"
        f"{': ' if gaps else ''}{gaps}{f' and {more} more' if more > 0 else ''}",
        fatal=energy.covered_share < min_coverage,
    )


def _describe(gap: Gap) -> str:
    time = _utc(gap.start_s)
    if gap.cause == "clock":
        return f"the clock stepped back {gap.start_s - gap.end_s:.3f} s at {time}"
    if gap.cause == "reset":
        return f"the counter fell within {gap.missing_s:g} s from {time}"
    if gap.cause == "row":
        return (
            f"no row for {gap.missing_s:g} s from {time} (--duration-column names the time that"
            " each row took)"
        )
    return f"no reading for {gap.missing_s:g} s from {time}"


def _no_overlap(run: Run, channels: Sequence[Channel]) -> str:
    rounds = [round_ for result in run.benchmarks for round_ in result.rounds]
    if not rounds:
        return "the results have no rounds to compare a log with"
    pieces = [piece for channel in channels for piece in channel.pieces]
    log_s = [time_s for piece in pieces for time_s in (piece.start_s, piece.end_s)]
    run_s = [
        time_s for round_ in rounds for time_s in (round_.start, round_.start + round_.duration_s)
    ]
    return (
        f"the log ({_utc(min(log_s))} to {_utc(max(log_s))}) covers none of the rounds"
        f" ({_utc(min(run_s))} to {_utc(max(run_s))}); name the zone of its clock with"
        " --timezone, or shift it with --offset"
    )


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
