"""What a log says, as results: a run of its own, or laid over a run that the plugin measured.

A window of which the log covers too little has no joules: it keeps what was covered, and the
reason. Small gaps are told, widen the uncertainty, and are not filled in.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pytest_energy.errors import UsageError
from pytest_energy.logs.energy import Channel, Energy, Gap
from pytest_energy.model.measurement import (
    Environment,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict
from pytest_energy.uncertainty.gum import combine, expand
from pytest_energy.uncertainty.rounds import mean_of

MIN_COVERAGE = 0.99
"""Below this share of a window's time that the log covers, it gives no joules."""
FEWEST_TO_RANK = 3
"""Benchmarks needed for a rank correlation."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, as all channels of a log together see it."""

    start_s: float
    energies: dict[str, Energy]
    """By channel."""
    reasons: tuple[Reason, ...]

    @property
    def valid(self) -> bool:
        """Whether its joules may be used."""
        return not any(reason.fatal for reason in self.reasons)

    @property
    def energy_j(self) -> float:
        """Of all channels, of the time covered."""
        return math.fsum(energy.energy_j for energy in self.energies.values())

    @property
    def duration_s(self) -> float:
        """Of the longest channel."""
        return max(energy.duration_s for energy in self.energies.values())

    @property
    def covered_share(self) -> float:
        """Of the channel that covers least."""
        return min(energy.covered_share for energy in self.energies.values())

    @property
    def budget(self) -> dict[str, float]:
        """Standard uncertainties of the sum, in joules."""
        energies = self.energies.values()
        terms = {
            "sampling": combine(energy.sampling_j for energy in energies),
            "gaps": combine(energy.missing_j for energy in energies),
        }
        return {cause: term for cause, term in terms.items() if term > 0}

    @property
    def uncertainty_j(self) -> float | None:
        """Expanded; ``None`` where nothing is known of it. The instrument's own is never in it."""
        return expand(combine(self.budget.values())) if self.budget else None


def left_out(name: str) -> Reason:
    """The remark on a device that the log names without a single reading."""
    message = (
        f"{name}: the log has no reading of it, only cells without a value: it is left out of the"
        " sum; where nvidia-smi does not tell its power, measure it with a wattmeter"
    )
    return Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False)


def whole_log(
    channels: Sequence[Channel], min_coverage: float = MIN_COVERAGE, silent: Iterable[Reason] = ()
) -> Stretch:
    """All that the log covers, with the remarks on devices that it says nothing of."""
    energies = {channel.name: channel.energy() for channel in channels}
    start_s = min(channel.start_s for channel in channels)
    return Stretch(start_s, energies, (*silent, *_reasons(energies, min_coverage)))


def window(
    channels: Sequence[Channel], start_s: float, duration_s: float, min_coverage: float
) -> Stretch:
    """One window of the log."""
    energies = {
        channel.name: channel.energy_between(start_s, start_s + duration_s) for channel in channels
    }
    twice = tuple(
        Reason(code=ReasonCode.DATA_GAP, message=f"{name}: {_told(gap)}, in this window")
        for name, energy in energies.items()
        for gap in energy.gaps
        if gap.cause == "clock"
    )
    return Stretch(start_s, energies, (*twice, *_reasons(energies, min_coverage)))


def run_of_log(stretch: Stretch, name: str, meter: MeterInfo) -> Run:
    """A results file with one benchmark, the log.

    Args:
        stretch: What the log says.
        name: What the benchmark is called.
        meter: The instrument.
    """
    measurement = Measurement(
        id=name,
        kind="window",
        workload={"log": name},
        status="measured" if stretch.valid else "invalid",
        reasons=list(stretch.reasons),
        meter=meter,
        metrics=_metrics(stretch),
        rounds=[_round(stretch)],
    )
    outcome = Outcome.NEW if stretch.valid else Outcome.INVALID
    result = Result.of(measurement, Verdict(outcome=outcome))
    identity = {"device": ", ".join(stretch.energies), "meter": meter.name, "meter_source": "log"}
    return Run(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        environment=Environment(identity=identity),
        run=RunInfo(
            energy_j=stretch.energy_j if stretch.valid else None,
            duration_s=stretch.duration_s,
            meter=meter,
        ),
        benchmarks=[result],
    )


def lay_over(
    run: Run,
    channels: Sequence[Channel],
    name: str,
    min_coverage: float = MIN_COVERAGE,
    silent: Sequence[Reason] = (),
) -> Run:
    """The run with what the log says of each of its rounds, beside what the plugin measured.

    Each round gets the conditions ``<name>.energy_j`` and ``<name>.covered_share``, each benchmark
    the metrics ``<name>_energy_j`` (in the unit of its ``energy_j``) and ``<name>_ratio`` (log to
    ours), and the run a note with the ratio and the rank correlation over all benchmarks. Remarks
    on devices that the log says nothing of (``silent``) go to each benchmark.

    Raises:
        UsageError: The log covers no part of any round: its clock, or its zone, is another.
    """
    results = [
        _laid_over(result, channels, name, min_coverage, silent) for result in run.benchmarks
    ]
    share = f"{name}.covered_share"
    if not any(one.conditions[share] > 0 for result in results for one in result.rounds):
        raise UsageError(_no_overlap(run, channels))
    kept = [note for note in run.run.notes if not note.startswith(f"{name}: ")]
    notes = [*kept, *compare_instruments(results, name)]
    info = run.run.model_copy(update={"notes": notes})
    return run.model_copy(update={"benchmarks": results, "run": info})


def compare_instruments(results: Iterable[Result], name: str) -> list[str]:
    """In words, how a log's joules stand to ours over all benchmarks that have both."""
    pairs = [
        (result.metrics["energy_j"].value, result.metrics[f"{name}_energy_j"].value)
        for result in results
        if {"energy_j", f"{name}_energy_j"} <= result.metrics.keys()
    ]
    ours, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if not pairs:
        return []
    ratio = statistics.median(their / our for our, their in pairs)
    told = f"{name}: {ratio:.3f} times our joules (median of {len(pairs)} benchmarks)"
    if len(pairs) < FEWEST_TO_RANK or len(set(ours)) == 1 or len(set(theirs)) == 1:
        return [told]
    return [f"{told}, Spearman's ρ = {rank_correlation(ours, theirs):.3f}"]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's ρ: Pearson's correlation of the ranks, ties sharing their mean rank.

    Raises:
        statistics.StatisticsError: Fewer than two pairs, or all values of one are the same.
    """
    return statistics.correlation(_ranks(first), _ranks(second))


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [(bisect_left(ordered, v) + bisect_right(ordered, v) + 1) / 2 for v in values]


def _laid_over(
    result: Result,
    channels: Sequence[Channel],
    name: str,
    min_coverage: float,
    silent: Sequence[Reason],
) -> Result:
    stretches = [window(channels, r.start, r.duration_s, min_coverage) for r in result.rounds]
    rounds = [_with_log(*pair, name) for pair in zip(result.rounds, stretches, strict=True)]
    other = {key: kept for key, kept in result.metrics.items() if key not in _names(name)}
    told = [*silent, *(reason for stretch in stretches for reason in stretch.reasons)]
    message = "; ".join(reason.message for reason in told)
    reasons = [kept for kept in result.reasons if not kept.message.startswith(f"{name} log: ")]
    if message:
        message = f"{name} log: {message}"
        reasons.append(Reason(code=ReasonCode.DATA_GAP, message=message, fatal=False))
    metrics = {**other, **_compared(result, stretches, name)}
    return result.model_copy(update={"rounds": rounds, "metrics": metrics, "reasons": reasons})


def _names(name: str) -> tuple[str, str]:
    return f"{name}_energy_j", f"{name}_ratio"


def _compared(result: Result, stretches: Sequence[Stretch], name: str) -> dict[str, Quantity]:
    """The log's joules a pass and their ratio to ours; nothing where a round lacks either."""
    ours = result.energy
    known = [measured.energy_j for measured in result.rounds if measured.energy_j is not None]
    if not ours or len(known) < len(stretches) or not all(one.valid for one in stretches):
        return {}
    per_round = zip(result.rounds, stretches, known, strict=True)
    values = [
        (stretch.energy_j / measured.passes, stretch.energy_j / our_j)
        for measured, stretch, our_j in per_round
        if our_j > 0
    ]
    if len(values) < len(stretches):
        return {}
    energies, ratios = zip(*values, strict=True)
    energy_name, ratio_name = _names(name)
    return {
        energy_name: mean_of(energies, ours.unit),
        ratio_name: mean_of(ratios, ""),
    }


def _with_log(measured: Round, stretch: Stretch, name: str) -> Round:
    seen = {f"{name}.covered_share": stretch.covered_share}
    if stretch.valid:
        seen[f"{name}.energy_j"] = stretch.energy_j
    other = {
        key: value for key, value in measured.conditions.items() if not key.startswith(f"{name}.")
    }
    return measured.model_copy(update={"conditions": {**other, **seen}})


def _metrics(stretch: Stretch) -> dict[str, Quantity]:
    share = Quantity(value=stretch.covered_share, unit="")
    if not stretch.valid:
        covered = Quantity(value=stretch.energy_j, unit="J")
        return {"covered_energy_j": covered, "covered_share": share}
    energy = Quantity(
        value=stretch.energy_j,
        unit="J/window",
        uncertainty=stretch.uncertainty_j,
        budget=stretch.budget,
    )
    power_w = sum(one.energy_j / one.covered_s for one in stretch.energies.values())
    return {
        "energy_j": energy,
        "power_w": Quantity(value=power_w, unit="W"),
        "covered_share": share,
    }


def _round(stretch: Stretch) -> Round:
    channels = {name: energy.energy_j for name, energy in stretch.energies.items()}
    return Round(
        start=stretch.start_s,
        duration_s=stretch.duration_s,
        passes=1,
        energy_j=stretch.energy_j if stretch.valid else None,
        uncertainty_j=stretch.uncertainty_j if stretch.valid else None,
        budget=stretch.budget,
        channels=channels if stretch.valid else {},
        conditions={
            f"{name}.covered_share": energy.covered_share
            for name, energy in stretch.energies.items()
        },
        reasons=list(stretch.reasons),
    )


def _reasons(energies: dict[str, Energy], min_coverage: float) -> tuple[Reason, ...]:
    return tuple(
        reason
        for name, energy in energies.items()
        for reason in _judged(name, energy, min_coverage)
    )


def _judged(name: str, energy: Energy, min_coverage: float) -> Iterable[Reason]:
    if energy.energy_j < 0:
        message = f"{name}: the log's energy is negative ({energy.energy_j:.6g} J)"
        yield Reason(code=ReasonCode.NEGATIVE_ENERGY, message=message)
    if energy.covered_share == 1:
        return
    told = "; ".join(_told(gap) for gap in energy.gaps[:3])
    more = f" and {len(energy.gaps) - 3} more" if len(energy.gaps) > 3 else ""
    yield Reason(
        code=ReasonCode.DATA_GAP,
        message=f"{name}: the log covers {energy.covered_share:.1%} of the time"
        f"{': ' if told else ''}{told}{more}",
        fatal=energy.covered_share < min_coverage,
    )


def _told(gap: Gap) -> str:
    at = _clock(gap.start_s)
    if gap.cause == "clock":
        return f"the clock stepped back {gap.start_s - gap.end_s:.3f} s at {at}"
    if gap.cause == "reset":
        return f"the counter fell within {gap.missing_s:g} s from {at}"
    return f"no reading for {gap.missing_s:g} s from {at}"


def _no_overlap(run: Run, channels: Sequence[Channel]) -> str:
    rounds = [one for result in run.benchmarks for one in result.rounds]
    if not rounds:
        return "the results hold no rounds to lay a log over"
    pieces = [piece for channel in channels for piece in channel.pieces]
    log_s = [time_s for piece in pieces for time_s in (piece.start_s, piece.end_s)]
    ours_s = [time_s for one in rounds for time_s in (one.start, one.start + one.duration_s)]
    return (
        f"the log ({_clock(min(log_s))} to {_clock(max(log_s))}) covers none of the rounds"
        f" ({_clock(min(ours_s))} to {_clock(max(ours_s))}); name the zone of its clock with"
        " --timezone, or shift it with --offset"
    )


def _clock(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
