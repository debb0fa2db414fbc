"""What the gate says of one benchmark, in sentences that terminal, Markdown and CI share."""

from __future__ import annotations

import shlex

from pytest_energy.measurement import Difference, MetricVerdict, Outcome, Result
from pytest_energy.report import format

_NAMES = {
    "energy_j": "energy",
    "net_energy_j": "net energy",
    "total_energy_j": "energy of the full schedule",
    "latency_s": "latency",
    "throughput_hz": "throughput",
    "power_w": "mean power",
    "flops": "FLOPs",
    "macs": "MACs",
    "params": "parameters",
    "trainable_params": "trainable parameters",
    "peak_memory_bytes": "peak memory",
    "co2_g": "CO₂",
    "score_per_kwh": "score",
}
COULD_NOT_MEASURE = frozenset({Outcome.INVALID, Outcome.UNMEASURED})


def metric_name(metric: str) -> str:
    """A metric as people say it: ``energy`` for ``energy_j``."""
    return _NAMES.get(metric, metric)


def worst_metric(result: Result) -> MetricVerdict | None:
    """The metric that decided the outcome: of those with it, the one furthest beyond tolerance."""
    deciding = [one for one in result.verdict.metrics if one.outcome is result.verdict.outcome]
    return max(deciding, key=_excess, default=None)


def _excess(verdict: MetricVerdict) -> float:
    return abs(verdict.change or 0.0) - (verdict.tolerance or 0.0)


def severity(result: Result) -> tuple[bool, float]:
    """A key to sort by, worst last: what fails the test, then how far it is beyond tolerance."""
    worst = worst_metric(result)
    return result.verdict.fails, _excess(worst) if worst else 0.0


def comparison(result: Result, verdict: MetricVerdict) -> str:
    """``energy 0.900 → 0.980 ± 0.004 J/pass, +8.9 % [+7.0, +10.8] (95 %), tolerance 5 %``."""
    quantity = result.metrics.get(verdict.metric)
    uncertainty = quantity.uncertainty if quantity else None
    text = f"{metric_name(verdict.metric)} {format.before_after(verdict, uncertainty)}"
    if verdict.change is not None:
        sure = "" if verdict.low == verdict.high else " (95 %)"
        text += f", {format.change(verdict)}{sure}"
    if verdict.tolerance is not None:
        text += f", tolerance {format.tolerance(verdict.tolerance)}"
    return text


def sentence(result: Result) -> str:
    """What became of a benchmark: the deciding metric, or why there is none."""
    verdict = result.verdict
    worst = worst_metric(result)
    if verdict.outcome is Outcome.INCOMPARABLE and verdict.differences:
        return "; ".join(difference(one) for one in verdict.differences)
    if verdict.outcome not in COULD_NOT_MEASURE and worst is not None:
        return comparison(result, worst)
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
