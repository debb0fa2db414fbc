"""Turn finished rounds into a measurement with a status, reasons and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pytest_energy.carbon import JOULES_PER_KWH, Intensity, co2_g
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
    TooShort,
)
from pytest_energy.uncertainty.rounds import TEMPERATURE_LIMIT_C, summarize, temperature_drift
from pytest_energy.uncertainty.units import per_unit

SCORES = {"miou": "miou/kWh", "map": "map/kWh", "accuracy": "1/kWh"}
"""The metrics that a Score can be made of, and its unit; the most specific metric first."""
PER = {
    "inference": "pass",
    "training": "epoch",
    "call": "call",
    "window": "window",
    "candidate": "call",
}
"""What the unit of a metric calls one pass, by the kind of the benchmark."""


@dataclass(frozen=True)
class Place:
    """Where the source of a benchmark is."""

    id: str
    file: str | None = None
    line: int | None = None

    def window(self, name: str) -> Place:
        """Return the place of a named window or candidate in the same test."""
        return Place(f"{self.id}::{name}", self.file, self.line)


@dataclass(frozen=True)
class Source:
    """Where the joules of a session come from, or why there are none."""

    meter: MeterInfo | None = None
    idle_power_w: Mapping[str, Quantity] | None = None
    unmeasured: Reason | None = None
    intensity: Intensity | None = None
    """Converts joules to CO₂; ``None`` if the user named neither a country nor an intensity."""
    pue: float = 1.0
    """Power usage effectiveness of the data centre; multiplies the CO₂ only."""
    temperature_limit_c: float = TEMPERATURE_LIMIT_C
    """A larger difference between the rounds' final temperatures is noted."""


def assemble(
    place: Place,
    kind: Kind,
    workload: Facts,
    finished: Finished,
    source: Source,
    extra: Mapping[str, Quantity],
    reasons: Iterable[Reason] = (),
    units: Mapping[str, float] | None = None,
) -> Measurement:
    """Assemble a measurement.

    Args:
        place: The place of the benchmark.
        kind: What its passes are.
        workload: What it ran.
        finished: Its rounds.
        source: Where their joules come from.
        extra: Metrics that the rounds do not contain, such as parameters and FLOPs.
        reasons: Remarks that the rounds do not contain.
        units: Units of work in one pass, by name.
    """
    remarks = [*_distinct(finished, source), *reasons]
    remarks = [_advised(reason, kind, workload) for reason in remarks]
    status = status_of(finished, source, remarks)
    metrics = summarize(finished.rounds, source.idle_power_w, PER[kind])
    if status in ("invalid", "unmeasured"):
        # Joules that must not be compared stay visible, but only in the rounds.
        metrics = {"latency_s": metrics["latency_s"]}
    elif source.intensity is not None:
        grams_a_joule = co2_g(1.0, source.intensity, source.pue)
        metrics["co2_g"] = scaled(metrics["energy_j"], grams_a_joule, f"g/{PER[kind]}")
    metrics |= per_unit(metrics.get("energy_j"), units or {})
    return Measurement(
        id=place.id,
        kind=kind,
        workload=workload,
        units=dict(units or {}),
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
    """Return ``unmeasured`` without a meter, ``invalid`` with a fatal reason, or what was done."""
    if source.meter is None:
        return "unmeasured"
    incomplete = any(measured.energy_j is None for measured in finished.rounds)
    if incomplete or any(reason.fatal for reason in reasons):
        return "invalid"
    return "estimated" if source.meter.estimated else "measured"


def _advised(reason: Reason, kind: Kind, workload: Facts) -> Reason:
    """A reason with the advice that fits what has no passes to add: a window or an epoch."""
    if not isinstance(reason, TooShort) or kind not in ("window", "training"):
        return reason
    advice = (
        f"repeat the body: for w in energy.repeat({workload.get('window')!r}): …"
        if kind == "window"
        else "train on more data in an epoch, or let train_one_epoch run several"
    )
    return TooShort.of(replace(reason.shortness, advice=advice))


def _distinct(finished: Finished, source: Source) -> list[Reason]:
    """Return each remark once, in order.

    Remarks with the same code and weight count as one, and the first message stays. Notes differ
    by their message.
    """
    remarks = [*((source.unmeasured,) if source.unmeasured else ()), *finished.reasons]
    remarks += [reason for measured in finished.rounds for reason in measured.reasons]
    remarks += temperature_drift(finished.rounds, source.temperature_limit_c)
    if source.meter and not remarks and any(r.energy_j is None for r in finished.rounds):
        remarks.append(Reason(code=ReasonCode.METER_FAILED, message="the meter gave no reading"))
    first: dict[tuple[ReasonCode, bool, str], Reason] = {}
    for reason in remarks:
        text = reason.message if reason.code is ReasonCode.NOTE else ""
        first.setdefault((reason.code, reason.fatal, text), reason)
    return list(first.values())


def training_metrics(
    measured: Measurement, epochs_run: int, scale_to: int | None, evaluated: Mapping[str, float]
) -> dict[str, Quantity]:
    """Return the metrics of training that its rounds do not contain.

    Args:
        measured: The measurement; its ``energy_j``, if known, is in joules per epoch.
        epochs_run: Epochs before the evaluation, the warm-up included.
        scale_to: Epochs of the full schedule.
        evaluated: The metrics of the evaluation.

    Returns:
        The evaluation; ``total_energy_j``, the joules of the full schedule; and
        ``score_per_kwh``, the first metric of ``SCORES`` per kWh of all epochs before the
        evaluation. The warm-up epoch counts with the mean of the measured epochs.
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
    """Multiply ``quantity`` by an exact factor, and give it another unit."""
    uncertainty = quantity.uncertainty
    return Quantity(
        value=quantity.value * factor,
        unit=unit,
        uncertainty=None if uncertainty is None else uncertainty * factor,
        degrees_of_freedom=quantity.degrees_of_freedom,
        budget={cause: term * factor for cause, term in quantity.budget.items()},
    )
