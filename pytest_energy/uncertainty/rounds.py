"""From rounds to results: joules and seconds per pass and watts, each with its budget.

Source: JCGM 100:2008, *Guide to the expression of uncertainty in measurement* (GUM).

Each round has type B terms: the resolution and the edges that its meter states. The rounds together
have a type A term: their scatter. Resolution and edges also make rounds scatter. The scatter
therefore contains them already, and adding them would count them twice (GUM 4.3.10). Student's
interval of the scatter (GUM 4.2.3, G.3.2) is right in 95 % of measurements, whatever share of the
scatter comes from the meter. It is never narrower than one type B standard uncertainty of the mean:
rounds may agree by chance, or because they share an error, and then show nothing of their meter. If
the meter causes all of the scatter, this raises the coverage to 96 % for three rounds and 97 % for
two. The wider of Student's and the type B *interval* would hold the truth in 98.7 % of such cases:
safe, but not the stated 95 %.

The term for power that a sensor did not observe is used for a single round only. Several rounds
begin at different phases of the sensor, so that their scatter shows this error and replaces the
term. Terms that all rounds share are added in quadrature, and the sum is expanded by its effective
degrees of freedom (GUM G.4.1). By itself, this holds the truth in 90 % of measurements of two
rounds and 92.6 % of three, where shared terms are half as large as the scatter: these degrees of
freedom are taken for more than they are, so that an interval with shared terms may be narrower than
the scatter's own. It is never narrower than that here. So it holds the truth in 96 to 98 % of
measurements of two rounds, 95 to 96 % of three, and 94 to 95 % of five or ten. Were the scatter and
the shared terms expanded before they are added, it would be up to 99 %.

The sensor's gain is not a term here. It is the same in all windows of one board and cancels when a
board is compared with itself. :func:`with_gain` adds it when boards differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pytest_energy.model.conditions import TEMPERATURE, Condition
from pytest_energy.model.measurement import (
    END,
    SETTLING,
    UNSEEN,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.uncertainty.gum import (
    COVERAGE,
    combine,
    effective_degrees_of_freedom,
    expand,
    standard_error,
    t_quantile,
    variance,
)

BOARD_GAIN = 0.05
"""Boards of one model read within ±5 % of the truth. Source: arXiv 2312.02741, section 5."""
SCATTER = "scatter"
TEMPERATURE_LIMIT_C = 10.0
"""Largest difference between the end temperatures of rounds without a remark."""
SHARED = frozenset({"idle", "gain", SETTLING, END})
"""Terms that are the same in all rounds of a session, so that more rounds do not reduce them."""


def mean_of(values: Sequence[float], unit: str) -> Quantity:
    """The mean of repeated observations with Student's interval (GUM G.3).

    A single value has no interval.
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
        budget={SCATTER: scatter},
    )


def summarize(
    rounds: Sequence[Round],
    idle_power_w: Mapping[str, Quantity] | None = None,
    per: str = "pass",
    only: str | None = None,
) -> dict[str, Quantity]:
    """Summarize the rounds as metrics of one pass.

    Args:
        rounds: At least one round.
        idle_power_w: Idle power by channel, if it was measured.
        per: The name of a pass in the unit: ``pass``, ``epoch``, ``call``.
        only: The metric that is wanted; all of them by default.

    Returns:
        ``latency_s`` always; ``energy_j`` and ``power_w`` if every round has joules;
        ``net_energy_j`` if the idle power of every channel is also known.
    """
    metrics: dict[str, tuple[Observed, str]] = {"latency_s": (_latency, "s")}
    if all(round_.energy_j is not None for round_ in rounds):
        metrics |= {"energy_j": (_energy, f"J/{per}"), "power_w": (_power, "W")}
        if idle_power_w and all(set(r.channels) == set(idle_power_w) for r in rounds):
            metrics["net_energy_j"] = (_net(list(idle_power_w.values())), f"J/{per}")
    return {
        name: _mean(rounds, observe, unit)
        for name, (observe, unit) in metrics.items()
        if only in (None, name)
    }


def dominant(quantity: Quantity) -> str | None:
    """The name of the budget's largest term, to improve first; ``None`` without a budget."""
    return max(quantity.budget, key=quantity.budget.__getitem__, default=None)


def temperature_drift(
    rounds: Sequence[Round], limit_c: float = TEMPERATURE_LIMIT_C
) -> list[Reason]:
    """A remark for each channel whose rounds ended at temperatures too far apart.

    Leakage current grows with temperature, so the energy of such rounds drifts.

    Args:
        rounds: The rounds of one measurement.
        limit_c: The largest permitted difference.
    """
    ended_c: dict[str, list[float]] = {}
    for round_ in rounds:
        for key, value in round_.conditions.items():
            condition = Condition.parse(key)
            if condition.name == TEMPERATURE:
                ended_c.setdefault(condition.channel, []).append(value)
    return [
        Reason(
            code=ReasonCode.TEMPERATURE_DRIFT,
            message=f"{channel}: rounds ended between {min(ends_c):g} and {max(ends_c):g} °C "
            f"(limit {limit_c:g} °C apart); warm up longer",
            fatal=False,
        )
        for channel, ends_c in ended_c.items()
        if max(ends_c) - min(ends_c) > limit_c
    ]


def with_gain(quantity: Quantity, relative_limit: float) -> Quantity:
    """``quantity`` for a comparison between boards: with the sensor's gain in its budget.

    Args:
        quantity: Measured on one board.
        relative_limit: Boards of a model read within plus or minus this share, evenly distributed.
    """
    gain = abs(quantity.value) * relative_limit / math.sqrt(3)
    within = quantity.uncertainty or 0.0
    terms = {**quantity.budget, "gain": gain}
    # 95 % of an even distribution over ±a lie within ±0.95 a, and a is √3 times its standard
    # uncertainty.
    return quantity.model_copy(
        update={"budget": terms, "uncertainty": combine((within, COVERAGE * math.sqrt(3) * gain))}
    )


ROUND_METRICS: Final = {"energy_j": "J", "latency_s": "s", "power_w": "W"}
"""The metrics that each round tells of by itself, with the unit of one pass."""


def of_round(measured: Round, name: str) -> float | None:
    """The value of one of :data:`ROUND_METRICS` in one round; ``None`` if it is unknown."""
    if name != "latency_s" and measured.energy_j is None:
        return None
    observe = {"energy_j": _energy, "latency_s": _latency, "power_w": _power}[name]
    return observe(measured)[0]


def of_rounds(rounds: Iterable[Round], name: str) -> list[float]:
    """The known values of several rounds; none if single rounds do not tell of the metric."""
    if name not in ROUND_METRICS:
        return []
    values = (of_round(measured, name) for measured in rounds)
    return [value for value in values if value is not None]


Observed = Callable[[Round], tuple[float, Mapping[str, float]]]
"""A round's value of a metric and its type B standard uncertainties by cause."""


def _latency(round_: Round) -> tuple[float, Mapping[str, float]]:
    return round_.duration_s / round_.passes, {}


def _energy(round_: Round) -> tuple[float, Mapping[str, float]]:
    return _joules(round_) / round_.passes, _scaled(round_.budget, 1 / round_.passes)


def _power(round_: Round) -> tuple[float, Mapping[str, float]]:
    share = 1 / round_.duration_s
    return _joules(round_) * share, _scaled(round_.budget, share)


def _net(idle: Sequence[Quantity]) -> Observed:
    idle_w = sum(quantity.value for quantity in idle)
    idle_u = combine(combine(quantity.budget.values()) for quantity in idle)

    def observe(round_: Round) -> tuple[float, Mapping[str, float]]:
        gross, budget = _energy(round_)
        latency_s = round_.duration_s / round_.passes
        return gross - idle_w * latency_s, {**budget, "idle": idle_u * latency_s}

    return observe


def _joules(round_: Round) -> float:
    if round_.energy_j is None:
        raise ValueError("a round without joules has no energy")
    return round_.energy_j


def _scaled(budget: Mapping[str, float], factor: float) -> dict[str, float]:
    return {cause: term * factor for cause, term in budget.items()}


def _mean(rounds: Sequence[Round], observe: Observed, unit: str) -> Quantity:
    values, budgets = zip(*(observe(round_) for round_ in rounds), strict=True)
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
    """A term of the mean of all rounds; independent terms average out, shared ones do not.

    An error that all rounds share may be larger in some of them. By what it differs the rounds
    scatter, so that the scatter contains that part already (GUM 4.3.10). With the sizes u of n
    rounds and their variance s²(u), the square of the mean error is that part, s²(u)/n, and
    the rest.
    """
    terms = [budget.get(cause, 0.0) for budget in budgets]
    if cause not in SHARED:
        return combine(terms) / len(terms)
    mean = statistics.fmean(terms)
    if len(terms) < 2:
        return mean
    return math.sqrt(max(0.0, mean**2 - variance(terms) / len(terms)))


def _standard(terms: Mapping[str, float], freedom: int) -> tuple[float, float]:
    """Combined standard uncertainty and its degrees of freedom, which may be infinite.

    Expanded by these, it is the interval.
    """
    shared = combine(terms[cause] for cause in terms.keys() & SHARED)
    resolved = combine(terms[cause] for cause in terms.keys() - SHARED - {SCATTER})
    known = combine((resolved, shared))
    if SCATTER not in terms:
        return known, math.inf
    effective = effective_degrees_of_freedom([(terms[SCATTER], freedom), (shared, math.inf)])
    both = expand(combine((terms[SCATTER], shared)), effective)
    expanded = max(both, expand(terms[SCATTER], freedom), known)
    return expanded / t_quantile(effective), effective
