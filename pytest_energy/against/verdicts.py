"""From blocks to a verdict: pure functions of measurements."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pytest_energy.gate.classify import mirrored, worst
from pytest_energy.gate.make_baseline import facts_baseline
from pytest_energy.gate.verdict import compare_facts, judge, likely_cause, rises_are_better
from pytest_energy.model.measurement import Environment, Measurement, Round
from pytest_energy.model.metrics import ENERGY, LATENCY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Result, Verdict
from pytest_energy.uncertainty.pairs import PairLook
from pytest_energy.uncertainty.rounds import of_rounds

COMPARABLE: Final = ("measured", "estimated", "unmeasured")
"""Statuses of measurements whose rounds count; an unmeasured one has seconds without joules."""

MERGED: Final = 3
"""Rounds that are kept of a side and a block by time alone."""


def differences(base: Measurement, head: Measurement) -> dict[str, float]:
    """By metric: the logarithm of head over base, of the medians of their rounds.

    A median withstands one outlier among three rounds. Metrics that rounds do not tell of, such as
    an accuracy, are compared by their values. A value that is not above zero has no logarithm.
    Without joules rounds are short and many, and the median of :func:`neighbours` is the estimate.
    """
    names = [
        name
        for name, quantity in head.metrics.items()
        if name in base.metrics and not quantity.exact
    ]
    values = {name: (_value(base, name), _value(head, name)) for name in names}
    found = {
        name: math.log(after / before)
        for name, (before, after) in values.items()
        if before > 0 and after > 0
    }
    if LATENCY in found and _is_by_time_alone(base) and _is_by_time_alone(head):
        found[LATENCY] = statistics.median(neighbours(base.rounds, head.rounds))
    return found


def neighbours(base: Sequence[Round], head: Sequence[Round]) -> list[float]:
    """The logarithm of head over base for each pair of rounds that ran one after the other.

    A busy processor changes its speed by tens of per cent, within tenths of a second. Two short
    rounds beside each other share it; the medians of both sides do not.
    """
    pairs = zip(of_rounds(base, LATENCY), of_rounds(head, LATENCY), strict=False)
    return [math.log(after / before) for before, after in pairs]


def _is_by_time_alone(measured: Measurement) -> bool:
    rounds = measured.rounds
    return bool(rounds) and all(done.energy_j is None and done.duration_s > 0 for done in rounds)


def merged(measured: Measurement) -> Measurement:
    """The measurement with its many short rounds by time alone joined to :data:`MERGED` long ones.

    Their number would make the results unreadable.
    """
    rounds = measured.rounds
    if len(rounds) <= MERGED or not _is_by_time_alone(measured):
        return measured
    length = -(-len(rounds) // MERGED)
    parts = [rounds[begin : begin + length] for begin in range(0, len(rounds), length)]
    return measured.model_copy(update={"rounds": [_join(part) for part in parts]})


def _join(rounds: Sequence[Round]) -> Round:
    return rounds[0].model_copy(
        update={
            "duration_s": sum(done.duration_s for done in rounds),
            "passes": sum(done.passes for done in rounds),
            "reasons": [reason for done in rounds for reason in done.reasons],
        }
    )


def _value(measured: Measurement, metric: str) -> float:
    known = of_rounds(measured.rounds, metric)
    return statistics.median(known) if known else measured.metrics[metric].value


def outcome_of(metric: str, look: PairLook | None, head: Measurement) -> Outcome | None:
    """What a look says of a metric of ``head``; ``None`` if it says nothing yet."""
    if look is None or look.outcome is None:
        return None
    return mirrored(look.outcome) if rises_are_better(metric, head) else look.outcome


def compare(
    base: Measurement,
    head: Measurement,
    looks: Mapping[str, PairLook],
    tolerances: Mapping[str, float],
    environments: tuple[Environment, Environment],
) -> Verdict:
    """Judge a benchmark that will not be measured any further.

    Args:
        base: All blocks of the base as one measurement.
        head: Likewise.
        looks: The last look, by metric.
        tolerances: Accepted relative changes, by metric; these metrics gate. Without one for the
            energy, missing joules decide nothing.
        environments: Of the base and of the head.
    """
    changed = compare_facts(base.workload, head.workload, "workload")
    facts = facts_baseline(base)
    judged = judge(head, None, facts, environments[1], tolerances)
    metrics = [
        _metric(found, (base, head), looks.get(found.metric), changed)
        for found in judged.metrics
        if found.metric != ENERGY or ENERGY in tolerances or ENERGY in head.metrics
    ]
    before, after = (environment.context for environment in environments)
    outcome = worst(metrics)
    return Verdict(
        outcome=outcome,
        metrics=metrics,
        differences=[*changed, *judged.differences],
        context=compare_facts(before, after, "context"),
        cause=likely_cause(_causes(metrics), outcome),
    )


def _causes(metrics: Iterable[MetricVerdict]) -> list[MetricVerdict]:
    """What may explain a change of the energy: without power and time if these are too uncertain.

    A part of a change is known only if its interval is narrower than the change.
    """
    found = {entry.metric: entry for entry in metrics}
    energy = found.get(ENERGY)
    if energy is None or energy.change is None:
        return list(found.values())
    parts = [found[name] for name in ("power_w", LATENCY) if name in found]
    if all(_width(part) <= abs(energy.change) for part in parts):
        return list(found.values())
    return [entry for entry in found.values() if entry not in parts]


def _width(entry: MetricVerdict) -> float:
    return math.inf if entry.low is None or entry.high is None else entry.high - entry.low


def _metric(
    found: MetricVerdict,
    sides: tuple[Measurement, Measurement],
    look: PairLook | None,
    changed: list[Difference],
) -> MetricVerdict:
    """The verdict on one metric: ``new`` means that no baseline was asked, so the look decides."""
    base, head = sides
    before = base.metrics.get(found.metric)
    if found.outcome is not Outcome.NEW or before is None or before.exact:
        return found
    values: dict[str, object] = {
        "baseline": before.value,
        "baseline_uncertainty": before.uncertainty,
    }
    if changed:
        return found.model_copy(update={"outcome": Outcome.INCOMPARABLE})
    if look is None:
        return found.model_copy(update={**values, "outcome": Outcome.INCONCLUSIVE})
    outcome = outcome_of(found.metric, look, head) or Outcome.INCONCLUSIVE
    values |= {"change": look.change, "low": look.low, "high": look.high}
    return found.model_copy(update={**values, "outcome": outcome})


def withdrawn(result: Result, why: str) -> Verdict:
    """The verdict of a session whose controls moved; only exact metrics keep theirs."""
    metrics = [
        metric.model_copy(update={"outcome": Outcome.INCONCLUSIVE})
        if metric.change is not None and not metric.exact
        else metric
        for metric in result.verdict.metrics
    ]
    update = {
        "metrics": metrics,
        "outcome": worst(metrics),
        "notes": [why, *result.verdict.notes],
        "undecided": None,  # further blocks would prove nothing either
    }
    return result.verdict.model_copy(update=update)
