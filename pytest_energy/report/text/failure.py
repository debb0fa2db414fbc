"""The text of a failed test: what got worse, by how much, the likely cause, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_energy.gate.acceptance import OF_ANOTHER_MACHINE
from pytest_energy.model.conditions import conditions
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result
from pytest_energy.report import numbers
from pytest_energy.report.candidates import pair_sentence
from pytest_energy.report.labels import in_a_sentence, name_and_unit
from pytest_energy.report.sentences import (
    accept_command,
    allowed,
    budget_sentence,
    change,
    difference,
    is_disturbed,
    reference,
    remarks,
    rerun_command,
)


def explain(result: Result) -> str:
    """The facts about a benchmark that fails its test, and the commands to go on with."""
    return "\n".join([_headline(result), *(f"  {line}" for line in _lines(result))])


def _headline(result: Result) -> str:
    """Return the first line: what happened, then where.

    pytest's short summary cuts it off, and names the test itself.
    """
    outcome = result.verdict.outcome
    if not outcome.traits.has_joules:
        fatal = [reason.code.value for reason in result.reasons if reason.fatal]
        return f"could not measure {result.id}: {', '.join(dict.fromkeys(fatal)) or outcome}"
    if outcome is Outcome.INCONCLUSIVE and is_disturbed(result):
        return f"not decided, others used the device: {result.id}"
    if outcome is Outcome.NEW:
        return f"{'new' if result.comparison else 'no baseline'}: {result.id}"
    # Only metrics with a tolerance gate: only they are the reason for the outcome.
    names = ", ".join(
        in_a_sentence(verdict.metric)
        for verdict in result.verdict.metrics
        if verdict.tolerance is not None and verdict.outcome is outcome
    )
    return f"{names or 'energy'} {outcome}: {result.id}"


def _lines(result: Result) -> Iterator[str]:
    verdict, about_facts = result.verdict, _fails_by_facts(result)
    for judged in verdict.metrics:
        left_out = {Outcome.UNCHANGED, *([Outcome.UNMEASURED] if about_facts else [])}
        left_out |= {Outcome.NEW} if verdict.budgets else set()
        # Without figures a metric has nothing to say but the outcome, which the first line has.
        left_out |= set() if _has_figures(judged) else {verdict.outcome}
        if judged.tolerance is not None and judged.outcome not in left_out:
            yield _metric(judged, result)
    for budget in verdict.budgets:
        if budget.outcome is not Outcome.UNCHANGED:
            yield budget_sentence(budget)
    if result.pair and result.pair.change is not None:
        yield f"in this run: {pair_sentence(result.pair)}"
    for reason in result.reasons:
        if not (about_facts and reason.code is ReasonCode.NO_METER):
            yield f"{reason.code}: {reason.message}"
    for fact in verdict.differences:
        if not (about_facts and fact.name.startswith(OF_ANOTHER_MACHINE)):
            yield f"not as in {reference(result)}: {difference(fact)}"
    yield from remarks(result)
    if measured := _conditions(result):
        yield f"while measuring: {measured}"
    yield from verdict.notes
    if not about_facts:
        yield f"measure again:  {rerun_command(result)}"
    if command := accept_command(result):
        yield f"{'record it:' if verdict.outcome is Outcome.NEW else 'accept it:'}      {command}"


def _fails_by_facts(result: Result) -> bool:
    """Whether only exact metrics have regressed, which no machine changes."""
    regressed = [each for each in result.verdict.gated if each.outcome is Outcome.REGRESSED]
    return bool(regressed) and all(each.exact for each in regressed)


def _has_figures(verdict: MetricVerdict) -> bool:
    return verdict.baseline is not None and verdict.value is not None


def _metric(verdict: MetricVerdict, result: Result) -> str:
    label = metric(verdict.metric).label
    if verdict.baseline is None or verdict.value is None:
        return f"{label}: {verdict.outcome}"
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    before = numbers.measured(verdict.baseline, verdict.baseline_uncertainty, verdict.unit)
    after = numbers.measured(verdict.value, uncertainty, verdict.unit)
    both = numbers.before_after(verdict) if quantity and quantity.exact else f"{before} → {after}"
    changed = "" if verdict.change is None else f": {change(verdict)}"
    return f"{label}: {both}{changed}, {allowed(verdict)}"


def _conditions(result: Result) -> str:
    """Medians over the rounds, with the baseline's first: ``gpu0 temperature 61 → 64 °C``."""
    before = result.verdict.history[-1].conditions if result.verdict.history else {}
    texts = []
    for name, value in conditions(result.rounds).items():
        now, then = f"{value:.4g}", f"{before.get(name, value):.4g}"
        words, unit = name_and_unit(name)
        texts.append(f"{words} {now if now == then else f'{then} → {now}'}{unit}")
    return ", ".join(texts)
