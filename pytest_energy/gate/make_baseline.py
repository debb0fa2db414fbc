"""How an accepted result becomes a baseline, or extends one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pytest_energy.gate.baseline import (
    BASELINE_SCHEMA,
    MOST_RUNS,
    AcceptedRun,
    Baseline,
    standard_within,
)
from pytest_energy.gate.pooling import metrics_of_rounds, split_visits
from pytest_energy.model.conditions import conditions
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    Measurement,
    MeterInfo,
    Quantity,
    Round,
)
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result
from pytest_energy.model.workload import facts_workload, workload_hash
from pytest_energy.uncertainty.gum import significant


def facts_baseline(result: Measurement) -> Baseline | None:
    """The baseline of a result's exact metrics, which hold on any machine; ``None`` without any."""
    exact = {name: quantity for name, quantity in result.metrics.items() if quantity.exact}
    workload = facts_workload(result.workload)
    identified = {"workload": workload, "workload_hash": workload_hash(workload)}
    return _baseline(result, metrics=exact, **identified) if exact else None


def has_something_to_keep(result: Measurement) -> bool:
    """Whether a baseline can hold anything of a result: joules, or exact metrics."""
    return result.has_joules or facts_baseline(result) is not None


def extend_baseline(
    older: Baseline | None, result: Measurement, environment: Environment, commit: str | None
) -> Baseline:
    """The machine's baseline after accepting ``result``."""
    measured = {
        name: quantity
        for name, quantity in result.metrics.items()
        if not quantity.exact and metric(name).in_baselines
    }
    machine = result.measured_in(environment)
    return _baseline(
        result,
        identity=machine.identity,
        context=machine.context,
        meter=result.meter and MeterInfo.model_validate(meter_facts(result.meter)),
        metrics={name: round_to_uncertainty(quantity) for name, quantity in measured.items()},
        accepted=_history(result, measured, commit, older),
    )


def meter_facts(meter: MeterInfo) -> Facts:
    """The facts of a meter that must agree for a comparison."""
    return {"name": meter.name, "source": meter.source, "estimated": meter.estimated}


def _baseline(result: Measurement, **fields: object) -> Baseline:
    common = {
        "schema": BASELINE_SCHEMA,
        "id": result.id,
        "kind": result.kind,
        "workload": result.workload,
        "workload_hash": workload_hash(result.workload),
    }
    return Baseline.model_validate({**common, **fields})


def _history(
    result: Measurement,
    measured: dict[str, Quantity],
    commit: str | None,
    older: Baseline | None,
) -> list[AcceptedRun]:
    before = list(older.accepted) if older and _continues(older, result) else []
    step = bool(before) and _is_step(result)
    runs = [_accepted_run(commit, *visit) for visit in _by_visit(result, measured)]
    newest = [run.model_copy(update={"step": False}) for run in before[-len(runs) :]]
    if newest == runs:
        return before  # the same run, accepted twice, is no further evidence
    first = runs[0].model_copy(update={"step": step})
    return [*before, first, *runs[1:]][-MOST_RUNS:]


def _continues(older: Baseline, result: Measurement) -> bool:
    """Whether the older runs show how runs of this workload vary with this kind of meter."""
    estimated = result.meter is not None and result.meter.estimated
    same_kind = older.meter is None or older.meter.estimated == estimated
    return same_kind and older.workload_hash == workload_hash(result.workload)


def _is_step(result: Measurement) -> bool:
    """Whether an accepted result begins a new level, with which later runs are compared.

    A value that moved does so whatever the verdict: averaged with the old level, it would make the
    next run of the same code fail.
    """
    if not isinstance(result, Result):
        return False
    changed = (Outcome.REGRESSED, Outcome.IMPROVED, Outcome.INCOMPARABLE)
    return result.verdict.outcome in changed or any(map(_moved, result.verdict.gated))


def _moved(metric: MetricVerdict) -> bool:
    """Whether a value is beyond its tolerance, or surely differs and is halfway there."""
    if metric.change is None or metric.tolerance is None:
        return False
    certain = (metric.low or 0.0) > 0 or (metric.high or 0.0) < 0
    return abs(metric.change) > metric.tolerance / (2 if certain else 1)


def _by_visit(
    result: Measurement, measured: Mapping[str, Quantity]
) -> list[tuple[Sequence[Round], Mapping[str, Quantity]]]:
    """Rounds and metrics of each visit. Metrics that rounds do not have go to the last visit."""
    visits = split_visits(result)
    if len(visits) < 2:
        return [(result.rounds, measured)]
    metrics = [
        {
            name: quantity
            for name, quantity in metrics_of_rounds(rounds, result).items()
            if name in measured
        }
        for rounds in visits
    ]
    return list(zip(visits, [*metrics[:-1], {**measured, **metrics[-1]}], strict=True))


def _accepted_run(
    commit: str | None, rounds: Sequence[Round], measured: Mapping[str, Quantity]
) -> AcceptedRun:
    within = {name: standard_within(quantity) for name, quantity in measured.items()}
    spent = [round_.energy_j for round_ in rounds if round_.energy_j is not None]
    return AcceptedRun(
        commit=commit,
        rounds=max(len(rounds), 1),
        spent_j=significant(math.fsum(spent), 3) if spent else None,
        values={name: round_to_uncertainty(quantity).value for name, quantity in measured.items()},
        standard={name: significant(value, 2) for name, value in within.items() if value},
        conditions={name: significant(value, 4) for name, value in conditions(rounds).items()},
    )


def round_to_uncertainty(quantity: Quantity) -> Quantity:
    """Keep the digits that the uncertainty supports, and of the budget only the gain.

    The uncertainty keeps two significant digits (JCGM 100:2008, 7.2.6). The value keeps one digit
    more, so that rounding does not add to the variation between runs. Without an uncertainty it
    keeps six significant digits.
    """
    if quantity.exact:
        return quantity
    gain = quantity.budget.get("gain")
    freedom = quantity.degrees_of_freedom
    return Quantity(
        value=_round_value(quantity.value, quantity.uncertainty),
        unit=quantity.unit,
        uncertainty=quantity.uncertainty and significant(quantity.uncertainty, 2),
        degrees_of_freedom=freedom and significant(freedom, 3),
        budget={"gain": significant(gain, 2)} if gain else {},
    )


def _round_value(value: float, uncertainty: float | None) -> float:
    if not uncertainty:
        return significant(value, 6)
    return float(round(value, 2 - math.floor(math.log10(uncertainty))))
