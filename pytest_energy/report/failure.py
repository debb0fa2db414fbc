"""The text of a failed test: what got worse, by how much, how sure, likely why, what to do."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pytest_energy.measurement import MetricVerdict, Outcome, Result
from pytest_energy.report import format
from pytest_energy.report.metrics import metric
from pytest_energy.report.sentences import difference, rerun_command, test_id

SHOWN = ("temperature_c", "clock_mhz", "throttled")
"""Conditions of the rounds that may explain a change."""
COULD_NOT = (Outcome.INVALID, Outcome.UNMEASURED)


def explain(result: Result) -> str:
    """What a person needs to know of a benchmark that fails its test, and what to type next."""
    return "\n".join([_headline(result), *(f"  {line}" for line in _lines(result))])


def _headline(result: Result) -> str:
    outcome = result.verdict.outcome
    if outcome in COULD_NOT:
        return f"could not measure {result.id}: {outcome}"
    return f"{result.id}: energy {outcome}" if outcome != "new" else f"{result.id}: no baseline"


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
    if conditions := _conditions(result):
        yield f"while measuring: {conditions}"
    yield from verdict.notes
    yield f"measure again:  {rerun_command(result)}"
    if verdict.outcome not in COULD_NOT:
        yield f"accept it:      pytest {shlex.quote(test_id(result))} --energy --energy-update"


def _metric(found: MetricVerdict, result: Result) -> str:
    label = metric(found.metric).label
    if found.change is None or found.baseline is None or found.value is None:
        return f"{label}: {found.outcome}"
    quantity = result.metrics.get(found.metric)
    before = format.measured(found.baseline, found.baseline_uncertainty, found.unit)
    after = format.measured(found.value, quantity.uncertainty if quantity else None, found.unit)
    sure = "" if found.low == found.high else " (at least 95 % sure)"
    allowed = format.tolerance(found.tolerance)
    return f"{label}: {before} → {after}: {format.change(found)}{sure}, tolerance {allowed}"


def _conditions(result: Result) -> str:
    """The range of each telling condition over the rounds: ``gpu0 temperature_c 61 to 64``."""
    names = sorted({name for one in result.rounds for name in one.conditions})
    told = []
    for name in names:
        channel, _, kind = name.rpartition(".")
        if kind in SHOWN:
            seen = [one.conditions[name] for one in result.rounds if name in one.conditions]
            low, high = f"{min(seen):.4g}", f"{max(seen):.4g}"
            told.append(f"{channel} {kind} {low if low == high else f'{low} to {high}'}".strip())
    return ", ".join(told)
