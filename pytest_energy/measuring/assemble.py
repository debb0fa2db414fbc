"""From finished rounds to a measurement: its status, its reasons, its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_energy.carbon import Intensity, co2_g
from pytest_energy.measuring.protocol import Finished
from pytest_energy.model.measurement import (
    Facts,
    Kind,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Status,
)
from pytest_energy.uncertainty.rounds import TEMPERATURE_LIMIT_C, summarize, temperature_drift

JOULES_PER_KWH = 3.6e6
SCORES = {"miou": "miou/kWh", "map": "map/kWh", "accuracy": "1/kWh"}
"""What a Score is of, and its unit: a task's own score before an accuracy beside it."""
PER = {"inference": "pass", "training": "epoch", "call": "call", "window": "window"}
"""What a round's passes are called in units, by kind."""


@dataclass(frozen=True)
class Place:
    """Where a benchmark is written."""

    id: str
    file: str | None = None
    line: int | None = None

    def window(self, name: str) -> Place:
        """The place of a named window in the same test."""
        return Place(f"{self.id}::{name}", self.file, self.line)


@dataclass(frozen=True)
class Source:
    """Where the joules of a session come from, or why none do."""

    meter: MeterInfo | None = None
    idle_power_w: Mapping[str, Quantity] | None = None
    unmeasured: Reason | None = None
    intensity: Intensity | None = None
    """Turns joules into CO₂, where the user said which electricity it is."""
    pue: float = 1.0
    """Of the data centre; in the CO₂ alone."""
    temperature_limit_c: float = TEMPERATURE_LIMIT_C
    """Rounds that end further apart are remarked on."""


def assemble(
    place: Place,
    kind: Kind,
    workload: Facts,
    finished: Finished,
    source: Source,
    extra: Mapping[str, Quantity],
    reasons: Iterable[Reason] = (),
) -> Measurement:
    """Put a measurement together.

    Args:
        place: Which benchmark.
        kind: What its rounds are made of.
        workload: What was run.
        finished: Its rounds.
        source: Where their joules come from.
        extra: Metrics that are not measured by rounds, such as parameters and FLOPs.
        reasons: Remarks beside those of the rounds.
    """
    remarks = [*_distinct(finished, source), *reasons]
    status = status_of(finished, source, remarks)
    metrics = summarize(finished.rounds, source.idle_power_w, PER[kind])
    if status in ("invalid", "unmeasured"):
        # Joules that must not be compared stay visible in the rounds alone.
        metrics = {"latency_s": metrics["latency_s"]}
    elif source.intensity is not None:
        grams_a_joule = co2_g(1.0, source.intensity, source.pue)
        metrics["co2_g"] = scaled(metrics["energy_j"], grams_a_joule, f"g/{PER[kind]}")
    return Measurement(
        id=place.id,
        kind=kind,
        workload=workload,
        status=status,
        reasons=remarks,
        meter=source.meter,
        metrics={**metrics, **extra},
        rounds=list(finished.rounds),
        trace=list(finished.traces) or None,
        file=place.file,
        line=place.line,
    )


def status_of(finished: Finished, source: Source, reasons: Iterable[Reason]) -> Status:
    """What the joules are worth: ``unmeasured`` without a meter, ``invalid`` for fatal reasons."""
    if source.meter is None:
        return "unmeasured"
    incomplete = any(measured.energy_j is None for measured in finished.rounds)
    if incomplete or any(reason.fatal for reason in reasons):
        return "invalid"
    return "estimated" if source.meter.estimated else "measured"


def _distinct(finished: Finished, source: Source) -> list[Reason]:
    """Each remark once, in the order of appearance; of one code and weight, the first message."""
    told = [*((source.unmeasured,) if source.unmeasured else ()), *finished.reasons]
    told += [reason for measured in finished.rounds for reason in measured.reasons]
    told += temperature_drift(finished.rounds, source.temperature_limit_c)
    if source.meter and not told and any(r.energy_j is None for r in finished.rounds):
        told.append(Reason(code=ReasonCode.METER_FAILED, message="the meter gave no reading"))
    first: dict[tuple[ReasonCode, bool, str], Reason] = {}
    for reason in told:
        text = reason.message if reason.code is ReasonCode.NOTE else ""
        first.setdefault((reason.code, reason.fatal, text), reason)
    return list(first.values())


def training_metrics(
    measured: Measurement, epochs_run: int, scale_to: int | None, evaluated: Mapping[str, float]
) -> dict[str, Quantity]:
    """What training has beside the joules of an epoch.

    Args:
        measured: With ``energy_j`` in joules an epoch, where it is known.
        epochs_run: Epochs behind the evaluation, the warm-up included.
        scale_to: Epochs of the full schedule.
        evaluated: What the evaluation gave.

    Returns:
        The evaluation; ``total_energy_j``, joules scaled to the full schedule; and
        ``score_per_kwh``, the first of ``SCORES`` / kWh of the epochs that led to it, the warm-up
        counted with the mean of the measured ones; its unit says which.
    """
    metrics = {name: Quantity(value=value, unit="1") for name, value in evaluated.items()}
    energy = measured.energy
    if energy is None:
        return metrics
    if scale_to is not None:
        metrics["total_energy_j"] = scaled(energy, scale_to, "J")
    score = next((name for name in SCORES if name in evaluated), None)
    if score is not None and energy.value > 0:
        spent_kwh = energy.value * epochs_run / JOULES_PER_KWH
        metrics["score_per_kwh"] = Quantity(value=evaluated[score] / spent_kwh, unit=SCORES[score])
    return metrics


def scaled(quantity: Quantity, factor: float, unit: str) -> Quantity:
    """``quantity`` times an exact factor, in another unit."""
    known = quantity.uncertainty
    return Quantity(
        value=quantity.value * factor,
        unit=unit,
        uncertainty=None if known is None else known * factor,
        degrees_of_freedom=quantity.degrees_of_freedom,
        budget={cause: term * factor for cause, term in quantity.budget.items()},
    )
