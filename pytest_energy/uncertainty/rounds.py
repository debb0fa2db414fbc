"""From rounds to results: joules, seconds and watts a pass, each with its budget.

Source: JCGM 100:2008, *Guide to the expression of uncertainty in measurement* (GUM).

A round brings type B terms: what its meter says of resolution and edges. The rounds together bring
a type A term: their scatter. Resolution and edges make rounds scatter, too: the scatter contains
them already, and to add them would count them twice (GUM 4.3.10). Student's interval on the scatter
(GUM 4.2.3, G.3.2) is right in 95 % of measurements, whatever share of it comes from the meter. It
is never narrower than one type B standard uncertainty of the mean, since rounds that are alike by
luck, or because they err alike, say nothing of their meter. Where the meter makes all of the
scatter, this raises the coverage to 96 % of three rounds and 97 % of two. The wider of Student's
and of the type B *interval* would hold the truth in 98.7 % there: safe, but not what is stated.

What a sensor missed while it looked away is estimated for a round alone only: rounds begin at
different phases of the sensor, so that their scatter shows it, and takes the place of that term.
Terms that all rounds share are added in quadrature, with the effective degrees of freedom of the
sum (GUM G.4.1).

The sensor's gain is no term here: it is the same in all windows of one board, cancels where a board
is compared with itself, and enters by :func:`with_gain` where boards differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from pytest_energy.model.conditions import TEMPERATURE, Condition
from pytest_energy.model.measurement import UNSEEN, Quantity, Reason, ReasonCode, Round
from pytest_energy.uncertainty.gum import (
    COVERAGE,
    combine,
    effective_degrees_of_freedom,
    expand,
    standard_error,
    t_quantile,
)

SCATTER = "scatter"
TEMPERATURE_LIMIT_C = 10.0
"""Rounds that end further apart are remarked on."""
SHARED = frozenset({"idle", "gain"})
"""Terms that are the same in all rounds of a session: more rounds do not make them smaller."""


def mean_of(values: Sequence[float], unit: str) -> Quantity:
    """The mean of repeated observations with the interval of their scatter (Student t, GUM G.3).

    One value alone has no interval.
    """
    value = statistics.fmean(values)
    if len(values) < 2:
        return Quantity(value=value, unit=unit)
    scatter, freedom = standard_error(values), len(values) - 1
    return Quantity(
        value=value,
        unit=unit,
        uncertainty=expand(scatter, freedom),
        degrees_of_freedom=freedom,
        budget={"scatter": scatter},
    )


def summarize(
    rounds: Sequence[Round],
    idle_power_w: Mapping[str, Quantity] | None = None,
    per: str = "pass",
) -> dict[str, Quantity]:
    """What the rounds say of one pass.

    Args:
        rounds: At least one round.
        idle_power_w: Idle power by channel, where it was measured.
        per: What a pass is called in the unit: ``pass``, ``epoch``, ``call``.

    Returns:
        ``latency_s`` always; ``energy_j`` and ``power_w`` where every round has its joules;
        ``net_energy_j`` where the idle power of every channel is known, too.
    """
    metrics = {"latency_s": _mean(rounds, lambda r: (r.duration_s / r.passes, {}), "s")}
    if any(measured.energy_j is None for measured in rounds):
        return metrics
    metrics["energy_j"] = _mean(rounds, _energy, f"J/{per}")
    metrics["power_w"] = _mean(rounds, _power, "W")
    if idle_power_w and all(set(r.channels) == set(idle_power_w) for r in rounds):
        net = _net(list(idle_power_w.values()))
        metrics["net_energy_j"] = _mean(rounds, net, f"J/{per}")
    return metrics


def dominant(quantity: Quantity) -> str | None:
    """The name of the largest term of the budget: what to improve first; ``None`` for no budget."""
    return max(quantity.budget, key=quantity.budget.__getitem__, default=None)


def temperature_drift(
    rounds: Sequence[Round], limit_c: float = TEMPERATURE_LIMIT_C
) -> list[Reason]:
    """A remark for each channel whose rounds ended at temperatures too far apart.

    Leakage grows with temperature: such rounds do not scatter, they drift.

    Args:
        rounds: The rounds of one measurement.
        limit_c: The most by which they may differ.
    """
    ended_c: dict[str, list[float]] = {}
    for measured in rounds:
        for key, value in measured.conditions.items():
            condition = Condition.parse(key)
            if condition.name == TEMPERATURE:
                ended_c.setdefault(condition.channel, []).append(value)
    return [
        Reason(
            code=ReasonCode.TEMPERATURE_DRIFT,
            message=f"{channel}: rounds ended between {min(seen):g} and {max(seen):g} °C "
            f"(limit {limit_c:g} °C apart); warm up longer",
            fatal=False,
        )
        for channel, seen in ended_c.items()
        if max(seen) - min(seen) > limit_c
    ]


def with_gain(quantity: Quantity, relative_limit: float) -> Quantity:
    """``quantity`` as another board would have to see it: with the sensor's gain in its budget.

    Args:
        quantity: Measured on one board.
        relative_limit: Boards of a model lie within plus or minus this share, evenly.
    """
    gain = abs(quantity.value) * relative_limit / math.sqrt(3)
    known = quantity.uncertainty or 0.0
    terms = {**quantity.budget, "gain": gain}
    return quantity.model_copy(
        update={"budget": terms, "uncertainty": combine((known, COVERAGE * math.sqrt(3) * gain))}
    )


Observed = Callable[[Round], tuple[float, Mapping[str, float]]]
"""A round's value of a metric and its type B standard uncertainties by cause."""


def _energy(measured: Round) -> tuple[float, Mapping[str, float]]:
    return _joules(measured) / measured.passes, _scaled(measured.budget, 1 / measured.passes)


def _power(measured: Round) -> tuple[float, Mapping[str, float]]:
    share = 1 / measured.duration_s
    return _joules(measured) * share, _scaled(measured.budget, share)


def _net(idle: Sequence[Quantity]) -> Observed:
    idle_w = sum(quantity.value for quantity in idle)
    idle_u = combine(combine(quantity.budget.values()) for quantity in idle)

    def observe(measured: Round) -> tuple[float, Mapping[str, float]]:
        gross, budget = _energy(measured)
        latency_s = measured.duration_s / measured.passes
        return gross - idle_w * latency_s, {**budget, "idle": idle_u * latency_s}

    return observe


def _joules(measured: Round) -> float:
    if measured.energy_j is None:
        raise ValueError("a round without joules has no energy")
    return measured.energy_j


def _scaled(budget: Mapping[str, float], factor: float) -> dict[str, float]:
    return {cause: term * factor for cause, term in budget.items()}


def _mean(rounds: Sequence[Round], observe: Observed, unit: str) -> Quantity:
    values, budgets = zip(*(observe(measured) for measured in rounds), strict=True)
    terms = {cause: _pooled(cause, budgets) for budget in budgets for cause in budget}
    if len(values) > 1:
        terms[SCATTER] = standard_error(values)
        terms.pop(UNSEEN, None)
    value = statistics.fmean(values)
    if not terms:
        return Quantity(value=value, unit=unit)
    standard, freedom = _standard(terms, len(values) - 1)
    return Quantity(
        value=value,
        unit=unit,
        uncertainty=expand(standard, freedom),
        degrees_of_freedom=None if math.isinf(freedom) else freedom,
        budget=terms,
    )


def _pooled(cause: str, budgets: Sequence[Mapping[str, float]]) -> float:
    """A term of the mean of all rounds: independent between them, or shared by all."""
    terms = [budget.get(cause, 0.0) for budget in budgets]
    if cause in SHARED:
        return statistics.fmean(terms)
    return combine(terms) / len(terms)


def _standard(terms: Mapping[str, float], freedom: int) -> tuple[float, float]:
    """Combined standard uncertainty and its degrees of freedom, which may be infinite."""
    shared = combine(terms[cause] for cause in terms.keys() & SHARED)
    resolved = combine(terms[cause] for cause in terms.keys() - SHARED - {SCATTER})
    known = combine((resolved, shared))
    if SCATTER not in terms:
        return known, math.inf
    effective = effective_degrees_of_freedom([(terms[SCATTER], freedom), (shared, math.inf)])
    return max(combine((terms[SCATTER], shared)), known / t_quantile(effective)), effective
