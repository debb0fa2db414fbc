"""Which verdicts fail a test."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_energy.model.measurement import Measurement
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Verdict
from pytest_energy.settings import ESTIMATED


def fails_test(verdict: Verdict, measured: Measurement, failing: Collection[str]) -> bool:
    """Whether the policy turns a verdict into a failed test.

    Args:
        verdict: The gate's.
        measured: What it is about.
        failing: Outcomes that fail; with ``estimated`` among them the rise of an estimate, which
            says more about a model of the hardware than about the hardware, fails like any other.
    """
    if verdict.outcome is not Outcome.REGRESSED:
        return verdict.outcome.value in failing
    return Outcome.REGRESSED.value in failing and any(
        metric.outcome is Outcome.REGRESSED
        and (ESTIMATED in failing or not _estimate(measured, metric.metric))
        for metric in gated(verdict)
    )


def gated(verdict: Verdict) -> Iterator[MetricVerdict]:
    """The metrics that have a tolerance."""
    return (metric for metric in verdict.metrics if metric.tolerance is not None)


def _estimate(measured: Measurement, metric: str) -> bool:
    quantity = measured.metrics.get(metric)
    return measured.status == "estimated" and quantity is not None and not quantity.exact
