"""How an accepted result becomes a baseline, or extends one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from pytest_energy.gate.baseline import BASELINE_SCHEMA, AcceptedRun, Baseline, standard_within
from pytest_energy.gate.pooling import visits_of
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
from pytest_energy.model.result import Result
from pytest_energy.model.workload import facts_workload, workload_hash
from pytest_energy.uncertainty.gum import significant
from pytest_energy.uncertainty.rounds import summarize

KEPT_RUNS: Final = 10
"""How many accepted runs a file keeps; the oldest go."""


WITH_JOULES: Final = ("measured", "estimated")


def facts_of(result: Measurement) -> Baseline | None:
    """What a result says of any machine, if it counted anything."""
    exact = {name: quantity for name, quantity in result.metrics.items() if quantity.exact}
    workload = facts_workload(result.workload)
    known = {"workload": workload, "workload_hash": workload_hash(workload)}
    return _baseline(result, metrics=exact, **known) if exact else None


def has_something_to_keep(result: Measurement) -> bool:
    """Whether a baseline could be made of a result: it has joules, or counted anything."""
    return result.status in WITH_JOULES or facts_of(result) is not None


def extended(
    older: Baseline | None, result: Measurement, environment: Environment, commit: str | None
) -> Baseline:
    """The baseline of a machine as it is once ``result`` has been accepted."""
    measured = {
        name: found
        for name, found in result.metrics.items()
        if not found.exact and metric(name).in_baselines
    }
    machine = result.measured_in(environment)
    return _baseline(
        result,
        identity=machine.identity,
        context=machine.context,
        meter=result.meter and MeterInfo.model_validate(meter_facts(result.meter)),
        metrics={name: rounded(quantity) for name, quantity in measured.items()},
        accepted=_history(result, measured, commit, older),
    )


def meter_facts(meter: MeterInfo) -> Facts:
    """What of a meter makes two results comparable."""
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
    runs = [_accepted(commit, *visit) for visit in _by_visit(result, measured)]
    if _plain(before[-len(runs) :]) == runs:
        return before  # the same run, accepted twice, is no further evidence
    first = runs[0].model_copy(update={"step": step})
    return [*before, first, *runs[1:]][-KEPT_RUNS:]


def _plain(runs: Sequence[AcceptedRun]) -> list[AcceptedRun]:
    return [run.model_copy(update={"step": False}) for run in runs]


def _continues(older: Baseline, result: Measurement) -> bool:
    """Whether the older runs tell of the scatter of this workload by this kind of meter."""
    estimated = result.meter is not None and result.meter.estimated
    same_truth = older.meter is None or older.meter.estimated == estimated
    return same_truth and older.workload_hash == workload_hash(result.workload)


def _is_step(result: Measurement) -> bool:
    changed = (Outcome.REGRESSED, Outcome.IMPROVED, Outcome.INCOMPARABLE)
    return isinstance(result, Result) and result.verdict.outcome in changed


def _by_visit(
    result: Measurement, measured: Mapping[str, Quantity]
) -> list[tuple[Sequence[Round], Mapping[str, Quantity]]]:
    """Rounds and metrics of each visit; what rounds do not tell of is known of the last alone."""
    visits = visits_of(result)
    if len(visits) < 2:
        return [(result.rounds, measured)]
    told = [_told(rounds, measured) for rounds in visits]
    return list(zip(visits, [*told[:-1], {**measured, **told[-1]}], strict=True))


def _told(rounds: Sequence[Round], measured: Mapping[str, Quantity]) -> dict[str, Quantity]:
    return {name: found for name, found in summarize(rounds).items() if name in measured}


def _accepted(
    commit: str | None, rounds: Sequence[Round], measured: Mapping[str, Quantity]
) -> AcceptedRun:
    within = {name: standard_within(found) for name, found in measured.items()}
    return AcceptedRun(
        commit=commit,
        rounds=max(len(rounds), 1),
        spent_j=_spent_j(rounds),
        values={name: rounded(found).value for name, found in measured.items()},
        standard={name: significant(value, 2) for name, value in within.items() if value},
        conditions={name: significant(value, 4) for name, value in conditions(rounds).items()},
    )


def _spent_j(rounds: Sequence[Round]) -> float | None:
    spent = [measured.energy_j for measured in rounds if measured.energy_j is not None]
    return significant(math.fsum(spent), 3) if spent else None


def rounded(quantity: Quantity) -> Quantity:
    """The quantity with the digits that its uncertainty supports, and its gain alone as budget.

    The uncertainty keeps two significant digits (JCGM 100:2008, 7.2.6) and the value one digit
    more, lest rounding add to the scatter between runs; six digits where it is not known.
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
