"""Which verdicts fail a test."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_energy.model.measurement import Measurement
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Run, Verdict
from pytest_energy.settings import ESTIMATED, UNCOMPARED


def fails_test(verdict: Verdict, measured: Measurement, failing: Collection[str]) -> bool:
    """Whether the policy turns a verdict into a failed test.

    Args:
        verdict: The verdict on ``measured``.
        measured: The measurement.
        failing: Outcomes that fail a test. An estimate's rise says more about a model of the
            hardware than about the hardware, so it fails only if ``estimated`` is among them.
    """
    if verdict.outcome is not Outcome.REGRESSED:
        return verdict.outcome.value in failing
    return Outcome.REGRESSED.value in failing and any(
        metric.outcome is Outcome.REGRESSED
        and (ESTIMATED in failing or not _is_estimate(measured, metric.metric))
        for metric in verdict.gated
    )


def with_failures(run: Run, failing: Collection[str]) -> Run:
    """The finished run with the reasons why the policy fails it as a whole."""
    failures = [*run.run.failures, *_run_failures(run, failing)]
    if not failures:
        return run
    return run.model_copy(update={"run": run.run.model_copy(update={"failures": failures})})


def _run_failures(run: Run, failing: Collection[str]) -> Iterator[str]:
    if UNCOMPARED in failing and (count := len(run.run.uncompared)):
        yield f"{count} baseline{' was' if count == 1 else 's were'} not compared"


def _is_estimate(measured: Measurement, metric: str) -> bool:
    quantity = measured.metrics.get(metric)
    return measured.status == "estimated" and quantity is not None and not quantity.exact
