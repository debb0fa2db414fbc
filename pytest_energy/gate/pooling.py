"""Several visits to one benchmark, combined into one measurement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from pytest_energy.gate.baseline import estimate_of, freedom_of, standard_within
from pytest_energy.model.measurement import Measurement, Quantity, Reason, ReasonCode, Round
from pytest_energy.model.metrics import ENERGY, PER_JOULE, PER_UNIT
from pytest_energy.uncertainty.change import Estimate, outlying_first
from pytest_energy.uncertainty.gum import combine, effective_degrees_of_freedom, expand
from pytest_energy.uncertainty.rounds import summarize
from pytest_energy.uncertainty.units import per_unit

FIRST: Final = "the first of"
"""How the remark on a first visit that was left out begins."""


def pool(visits: Sequence[Measurement]) -> Measurement:
    """Combine visits into one measurement. All visits have the same weight.

    Visits without joules are left out if others have joules; their remarks are kept. Where nothing
    measures joules, all visits count, with their seconds.

    Args:
        visits: In the order of measurement, at least one.
    """
    timed = [visit for visit in visits if visit.status == "unmeasured"]
    valid = [visit for visit in visits if visit.has_joules] or timed or [visits[-1]]
    last = valid[-1]
    names = [name for name in last.metrics if all(name in visit.metrics for visit in valid)]
    return last.model_copy(
        update={
            "metrics": {name: _mean([visit.metrics[name] for visit in valid]) for name in names},
            "rounds": [
                round_ if round_.visit == number else round_.model_copy(update={"visit": number})
                for number, visit in enumerate(valid, 1)
                for round_ in visit.rounds
            ],
            "trace": [trace for visit in valid for trace in visit.trace or ()] or None,
            "reasons": _reasons(visits, last),
        }
    )


def leave_out_outlying_first(visits: Sequence[Measurement]) -> Sequence[Measurement]:
    """The visits without the first, if it does not belong to the others; a remark says so."""
    energies_j = [visit.energy.value if visit.energy else 0.0 for visit in visits]
    if not all(energy_j > 0 for energy_j in energies_j):
        return visits
    distance = outlying_first(energies_j)
    if distance is None:
        return visits
    message = (
        f"{FIRST} {len(visits)} visits was left out: {100 * distance:+.1f} % away from the"
        " mean of the others"
    )
    remark = Reason(code=ReasonCode.NOTE, message=message.replace("-", "\u2212"), fatal=False)
    last = visits[-1].model_copy(update={"reasons": [*visits[-1].reasons, remark]})
    return [*visits[1:-1], last]


def _reasons(visits: Sequence[Measurement], last: Measurement) -> list[Reason]:
    """Each remark once. A visit that is left out spoils nothing: its remarks are not fatal."""
    reasons: dict[tuple[ReasonCode, str], Reason] = {}
    for visit in visits:
        counts = visit.has_joules or visit is last
        for remark in visit.reasons:
            reason = remark if counts else remark.model_copy(update={"fatal": False})
            if reason.fatal or (reason.code, reason.message) not in reasons:
                reasons[reason.code, reason.message] = reason
    return list(reasons.values())


def _mean(quantities: Sequence[Quantity]) -> Quantity:
    last = quantities[-1]
    if len(quantities) == 1 or last.exact:
        return last
    count = len(quantities)
    terms = [(standard_within(quantity) / count, freedom_of(quantity)) for quantity in quantities]
    standard, freedom = combine(term for term, _ in terms), effective_degrees_of_freedom(terms)
    # All visits share the sensor's gain, so averaging does not reduce it.
    gain = statistics.fmean(quantity.budget.get("gain", 0.0) for quantity in quantities)
    return Quantity(
        value=statistics.fmean(quantity.value for quantity in quantities),
        unit=last.unit,
        uncertainty=combine((expand(standard, freedom), expand(gain))) or None,
        degrees_of_freedom=None if math.isinf(freedom) else freedom,
        budget={
            cause: combine(quantity.budget.get(cause, 0.0) for quantity in quantities) / count
            for cause in last.budget
        }
        | ({"gain": gain} if gain else {}),
    )


def count_visits(measured: Measurement) -> int:
    """The number of visits that have a round."""
    return len({round_.visit for round_ in measured.rounds})


def split_visits(measured: Measurement) -> list[list[Round]]:
    """The rounds of a measurement, visit by visit."""
    numbers = sorted({round_.visit for round_ in measured.rounds})
    return [[round_ for round_ in measured.rounds if round_.visit == visit] for visit in numbers]


def metrics_of_rounds(
    rounds: Sequence[Round], measured: Measurement, only: str | None = None
) -> dict[str, Quantity]:
    """The metrics of some rounds of a measurement, those per unit of work included."""
    metrics = summarize(rounds, only=only)
    return metrics | per_unit(metrics.get(ENERGY), measured.units)


def visit_estimates(measured: Measurement, metric: str) -> list[Estimate]:
    """Each visit's estimate of a metric; empty for metrics that rounds do not have."""
    only = ENERGY if metric.startswith(PER_UNIT) or metric.endswith(PER_JOULE) else metric
    quantities = [
        metrics_of_rounds(rounds, measured, only).get(metric) for rounds in split_visits(measured)
    ]
    return [estimate_of(quantity) for quantity in quantities if quantity and quantity.value > 0]
