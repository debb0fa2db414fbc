"""Several visits to one benchmark, taken together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pytest_energy.gate.baseline import estimate_of, freedom_of, standard_within
from pytest_energy.model.measurement import Measurement, Quantity, Reason, ReasonCode, Round
from pytest_energy.uncertainty.change import Estimate
from pytest_energy.uncertainty.gum import combine, effective_degrees_of_freedom, expand
from pytest_energy.uncertainty.rounds import summarize

VALID = ("measured", "estimated")


def pool(visits: Sequence[Measurement]) -> Measurement:
    """One measurement of several visits: each counts alike, whatever its rounds.

    Visits that gave no joules are left out where others did; their remarks are kept.

    Args:
        visits: In the order in which they were measured, at least one.
    """
    valid = [visit for visit in visits if visit.status in VALID] or [visits[-1]]
    last = valid[-1]
    names = [name for name in last.metrics if all(name in visit.metrics for visit in valid)]
    return last.model_copy(
        update={
            "metrics": {name: _mean([visit.metrics[name] for visit in valid]) for name in names},
            "rounds": [
                measured.model_copy(update={"visit": number})
                for number, visit in enumerate(valid, 1)
                for measured in visit.rounds
            ],
            "trace": [trace for visit in valid for trace in visit.trace or ()] or None,
            "reasons": _reasons(visits, last),
        }
    )


def _reasons(visits: Sequence[Measurement], last: Measurement) -> list[Reason]:
    """Each remark once; those of visits that were left out are fatal no more."""
    told: dict[tuple[ReasonCode, str], Reason] = {}
    for visit in visits:
        counts = visit.status in VALID or visit is last
        for reason in visit.reasons:
            known = reason if counts else reason.model_copy(update={"fatal": False})
            before = told.setdefault((reason.code, reason.message), known)
            if known.fatal and not before.fatal:
                told[reason.code, reason.message] = known
    return list(told.values())


def _mean(quantities: Sequence[Quantity]) -> Quantity:
    last = quantities[-1]
    if len(quantities) == 1 or last.exact:
        return last
    count = len(quantities)
    terms = [(standard_within(quantity) / count, freedom_of(quantity)) for quantity in quantities]
    gain = statistics.fmean(quantity.budget.get("gain", 0.0) for quantity in quantities)
    standard, freedom = combine(term for term, _ in terms), effective_degrees_of_freedom(terms)
    return Quantity(
        value=statistics.fmean(quantity.value for quantity in quantities),
        unit=last.unit,
        uncertainty=combine((expand(standard, freedom), expand(gain))) or None,
        degrees_of_freedom=None if freedom == float("inf") else freedom,
        budget={
            cause: combine(quantity.budget.get(cause, 0.0) for quantity in quantities) / count
            for cause in last.budget
            if cause != "gain"
        }
        | ({"gain": gain} if gain else {}),
    )


def visits_of(measured: Measurement) -> list[list[Round]]:
    """The rounds of a measurement, visit by visit."""
    numbers = sorted({one.visit for one in measured.rounds})
    return [[one for one in measured.rounds if one.visit == number] for number in numbers]


def visit_level(measured: Measurement, metric: str) -> list[Estimate]:
    """What each visit found of a metric that rounds tell of; nothing for any other."""
    found = [summarize(rounds).get(metric) for rounds in visits_of(measured)]
    return [estimate_of(quantity) for quantity in found if quantity and quantity.value > 0]
