"""What the gate says of one benchmark, in sentences that terminal, Markdown and CI share."""

from __future__ import annotations

import shlex

from pytest_energy.measurement import Difference, MetricVerdict, Outcome, Result
from pytest_energy.report import format
from pytest_energy.report.metrics import metric
from pytest_energy.report.summary import JOULELESS, deciding_metric


def severity(result: Result) -> tuple[bool, float]:
    """A key to sort by, worst last: what fails the test, then how far it is beyond tolerance."""
    decisive = deciding_metric(result)
    beyond = abs(decisive.change or 0.0) - (decisive.tolerance or 0.0) if decisive else 0.0
    return result.verdict.fails, beyond


def comparison(result: Result, verdict: MetricVerdict) -> str:
    """``Energy 0.900 → 0.980 ± 0.004 J/pass, +8.9 % [+7.0, +10.8] (95 %), tolerance 5 %``."""
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    text = f"{metric(verdict.metric).label} {format.before_after(verdict, uncertainty)}"
    if verdict.change is not None:
        sure = "" if verdict.low == verdict.high else " (95 %)"
        text += f", {format.change(verdict)}{sure}"
    if verdict.tolerance is not None:
        text += f", tolerance {format.tolerance(verdict.tolerance)}"
    return text


def sentence(result: Result) -> str:
    """What became of a benchmark: the deciding metric, or why there is none."""
    verdict = result.verdict
    decisive = deciding_metric(result)
    if verdict.outcome is Outcome.INCOMPARABLE and verdict.differences:
        return "; ".join(difference(one) for one in verdict.differences)
    spoilt = result.status == "invalid"  # a device that others used is inconclusive, too
    if verdict.outcome not in JOULELESS and decisive is not None and not spoilt:
        return comparison(result, decisive)
    told = [reason.message for reason in result.reasons if reason.fatal] or verdict.notes
    return "; ".join(dict.fromkeys(told)) or verdict.outcome.value


def difference(found: Difference) -> str:
    """``torch 2.9 → 2.10``."""
    name = found.name.removeprefix("context.").removeprefix("identity.").replace("_", " ")
    return f"{name} {format.fact(found.before)} → {format.fact(found.after)}"


def remarks(result: Result) -> list[str]:
    """Why it is likely so, and what else is different from the baseline's machine."""
    verdict = result.verdict
    cause = [f"likely cause: {verdict.cause}"] if verdict.cause else []
    changed = ", ".join(difference(one) for one in verdict.context)
    return cause + ([f"changed since the baseline: {changed}"] if changed else [])


def rerun_command(result: Result) -> str:
    """The command that measures this benchmark alone once more."""
    return f"pytest {shlex.quote(test_id(result))} --energy"


def test_id(result: Result) -> str:
    """The node id that pytest takes: without the name of a window within the test."""
    return result.id.rpartition("::")[0] if result.kind == "window" else result.id
