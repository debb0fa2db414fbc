"""Sentences on one benchmark's verdict, for the terminal, Markdown and CI."""

from __future__ import annotations

import shlex

from pytest_energy.model.metrics import metric
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Result
from pytest_energy.report import numbers
from pytest_energy.report.summary import deciding_metric


def severity(result: Result) -> tuple[bool, float]:
    """A sort key, worst last: failures, then the distance beyond the tolerance."""
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
    """The verdict: the deciding metric, or the reason why there is none."""
    verdict = result.verdict
    decisive = deciding_metric(result)
    if verdict.outcome is Outcome.INCOMPARABLE and verdict.differences:
        return "; ".join(map(difference, verdict.differences))
    # Where others used the device, the outcome is inconclusive and the status invalid.
    valid = verdict.outcome.traits.has_joules and result.status != "invalid"
    if valid and decisive is not None:
        return comparison(result, decisive)
    reasons = [reason.message for reason in result.reasons if reason.fatal] or verdict.notes
    return "; ".join(dict.fromkeys(reasons)) or verdict.outcome.value


UNITS = {"w": "W", "mhz": "MHz", "c": "°C", "bytes": "B"}
"""The units at the end of facts' names."""


def difference(change: Difference) -> str:
    """``torch 2.9 → 2.10``; ``power limit 400 → 700 W``."""
    words = change.name.removeprefix("context.").removeprefix("identity.").split("_")
    unit = f" {UNITS[words.pop()]}" if len(words) > 1 and words[-1] in UNITS else ""
    before, after = numbers.fact(change.before), numbers.fact(change.after)
    return f"{' '.join(words)} {before} → {after}{unit}"


def remarks(result: Result) -> list[str]:
    """The likely cause, and what changed since the baseline."""
    return [remark for remark in (likely_cause(result), changed(result)) if remark]


def reference(result: Result) -> str:
    """What a result was compared with: ``the baseline``, or ``main (1a2b3c4d5)``."""
    return result.comparison.label if result.comparison else "the baseline"


def likely_cause(result: Result) -> str | None:
    """``likely cause: power +8.0 % × time +0.9 %``."""
    return f"likely cause: {result.verdict.cause}" if result.verdict.cause else None


def changed(result: Result) -> str | None:
    """``changed since the baseline: torch 2.9 → 2.10``."""
    differences = ", ".join(map(difference, result.verdict.context))
    return f"changed since {reference(result)}: {differences}" if differences else None


def rerun_command(*results: Result) -> str:
    """The command that measures only these benchmarks."""
    ids = dict.fromkeys(shlex.quote(test_id(result)) for result in results)
    command = f"pytest {' '.join(ids)} --energy"
    if against := results[0].comparison:
        command += f" --energy-against={shlex.quote(against.reference)}"
    return command


def test_id(result: Result) -> str:
    """The test's node id, without the name of a window in it."""
    return result.id.rpartition("::")[0] if result.kind == "window" else result.id
