"""The text of a failed test: what got worse, by how much, how sure, likely why, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pytest_energy.model.conditions import conditions
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result
from pytest_energy.report import numbers
from pytest_energy.report.sentences import change, difference, rerun_command, test_id


def explain(result: Result) -> str:
    """What a person needs to know of a benchmark that fails its test, and what to type next."""
    return "\n".join([_headline(result), *(f"  {line}" for line in _lines(result))])


def _headline(result: Result) -> str:
    outcome = result.verdict.outcome
    if not outcome.traits.has_joules:
        return f"could not measure {result.id}: {outcome}"
    if outcome is Outcome.NEW:
        return f"{result.id}: no baseline"
    return f"{result.id}: {_what(result)} {outcome}"


def _what(result: Result) -> str:
    """The gated metrics that the outcome comes from."""
    names = [
        found.metric
        for found in result.verdict.metrics
        if found.tolerance is not None and found.outcome is result.verdict.outcome
    ]
    labels = [metric(name).label for name in names]
    return ", ".join(label.lower() if label.istitle() else label for label in labels) or "energy"


def _lines(result: Result) -> Iterator[str]:
    verdict = result.verdict
    for found in verdict.metrics:
        if found.tolerance is not None and found.outcome is not Outcome.UNCHANGED:
            yield _metric(found, result)
    for reason in result.reasons:
        yield f"{reason.code}: {reason.message}"
    for one in verdict.differences:
        yield f"not as in the baseline: {difference(one)}"
    if verdict.cause:
        yield f"likely cause: {verdict.cause}"
    if verdict.context:
        changed = ", ".join(difference(one) for one in verdict.context)
        yield f"changed since the baseline: {changed}"
    if told := _conditions(result):
        yield f"while measuring: {told}"
    yield from verdict.notes
    yield f"measure again:  {rerun_command(result)}"
    if verdict.outcome.traits.has_joules:
        yield f"accept it:      pytest {shlex.quote(test_id(result))} --energy --energy-update"


def _metric(found: MetricVerdict, result: Result) -> str:
    label = metric(found.metric).label
    if found.change is None or found.baseline is None or found.value is None:
        return f"{label}: {found.outcome}"
    quantity = result.metrics.get(found.metric)
    before = numbers.measured(found.baseline, found.baseline_uncertainty, found.unit)
    after = numbers.measured(found.value, quantity.uncertainty if quantity else None, found.unit)
    allowed = numbers.tolerance(found.tolerance)
    return f"{label}: {before} → {after}: {change(found)}, tolerance {allowed}"


def _conditions(result: Result) -> str:
    """Medians over the rounds, the baseline's before: ``gpu0 temperature_c 61 → 64``."""
    before = result.verdict.history[-1].conditions if result.verdict.history else {}
    told = []
    for name, value in conditions(result.rounds).items():
        now, then = f"{value:.4g}", f"{before.get(name, value):.4g}"
        values = now if now == then else f"{then} → {now}"
        told.append(f"{name.replace('.', ' ')} {values}")
    return ", ".join(told)
