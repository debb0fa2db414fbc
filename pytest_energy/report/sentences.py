"""What the gate says of one benchmark, in sentences that terminal, Markdown and CI share."""

from __future__ import annotations

import shlex

from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Result
from pytest_energy.report import numbers
from pytest_energy.report.summary import deciding_metric


def severity(result: Result) -> tuple[bool, float]:
    """A key to sort by, worst last: what fails the test, then how far it is beyond tolerance."""
    decisive = deciding_metric(result)
    beyond = abs(decisive.change or 0.0) - (decisive.tolerance or 0.0) if decisive else 0.0
    return result.verdict.fails, beyond


def comparison(result: Result, verdict: MetricVerdict) -> str:
    """``Energy 0.900 → 0.980 ± 0.004 J/pass, +8.9 % [+7.0, +10.8] (95 % sure), tolerance 5 %``."""
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    text = f"{metric(verdict.metric).label} {numbers.before_after(verdict, uncertainty)}"
    if verdict.change is not None:
        text += f", {change(verdict)}"
    if verdict.tolerance is not None:
        text += f", tolerance {numbers.tolerance(verdict.tolerance)}"
    return text


def change(verdict: MetricVerdict) -> str:
    """``+8.9 % [+7.0, +10.8] (95 % sure)``; exact metrics have no interval."""
    text = numbers.change(verdict)
    return text if verdict.low == verdict.high else f"{text} (95 % sure)"


def sentence(result: Result) -> str:
    """What became of a benchmark: the deciding metric, or why there is none."""
    verdict = result.verdict
    decisive = deciding_metric(result)
    if verdict.outcome is Outcome.INCOMPARABLE and verdict.differences:
        return "; ".join(difference(one) for one in verdict.differences)
    spoilt = result.status == "invalid"  # a device that others used is inconclusive, too
    if verdict.outcome.traits.has_joules and decisive is not None and not spoilt:
        return comparison(result, decisive)
    told = [reason.message for reason in result.reasons if reason.fatal] or verdict.notes
    return "; ".join(dict.fromkeys(told)) or verdict.outcome.value


UNITS = {"w": "W", "mhz": "MHz", "c": "°C", "bytes": "B"}
"""How the last words of facts' names are written as units."""


def difference(found: Difference) -> str:
    """``torch 2.9 → 2.10``; ``power limit 400 → 700 W``."""
    words = found.name.removeprefix("context.").removeprefix("identity.").split("_")
    unit = f" {UNITS[words.pop()]}" if len(words) > 1 and words[-1] in UNITS else ""
    before, after = numbers.fact(found.before), numbers.fact(found.after)
    return f"{' '.join(words)} {before} → {after}{unit}"


def remarks(result: Result) -> list[str]:
    """Why it is likely so, and what else is different from the baseline's machine."""
    return [told for told in (likely_cause(result), changed(result)) if told]


def likely_cause(result: Result) -> str | None:
    """``likely cause: power +8.0 % × time +0.9 %``."""
    return f"likely cause: {result.verdict.cause}" if result.verdict.cause else None


def changed(result: Result) -> str | None:
    """``changed since the baseline: torch 2.9 → 2.10``."""
    told = ", ".join(difference(one) for one in result.verdict.context)
    return f"changed since the baseline: {told}" if told else None


def rerun_command(*results: Result) -> str:
    """The command that measures these benchmarks alone once more."""
    ids = dict.fromkeys(shlex.quote(test_id(result)) for result in results)
    return f"pytest {' '.join(ids)} --energy"


def test_id(result: Result) -> str:
    """The node id that pytest takes: without the name of a window within the test."""
    return result.id.rpartition("::")[0] if result.kind == "window" else result.id
