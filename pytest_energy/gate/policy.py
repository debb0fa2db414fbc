"""Which verdicts fail a test, and the limits of joules that a test sets itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pytest_energy.model.measurement import Measurement, Quantity
from pytest_energy.model.outcomes import SEVERITY, Outcome
from pytest_energy.model.result import Budget, Run, Verdict
from pytest_energy.settings import ESTIMATED, UNCOMPARED, Settings


def fails_test(verdict: Verdict, measured: Measurement, failing: Collection[str]) -> bool:
    """Whether the policy turns a verdict into a failed test.

    Args:
        verdict: The verdict on ``measured``.
        measured: The measurement.
        failing: Outcomes that fail a test. An estimate's rise says more about a model of the
            hardware than about the hardware, so it fails only if ``estimated`` is among them.
    """
    if any(
        budget.outcome is Outcome.OVER_BUDGET and Outcome.OVER_BUDGET.value in failing
        for budget in verdict.budgets
    ):
        return True
    if verdict.outcome is not Outcome.REGRESSED:
        return verdict.outcome.value in failing
    return Outcome.REGRESSED.value in failing and any(
        metric.outcome is Outcome.REGRESSED
        and (ESTIMATED in failing or not _is_estimate(measured, metric.metric))
        for metric in verdict.gated
    )


def with_budgets(verdict: Verdict, measured: Measurement, limits: Mapping[str, float]) -> Verdict:
    """The verdict with the budgets of the test (``max_joules``); the more severe outcome counts.

    Only measured joules are compared: a note says where they are estimated. Where they are missing,
    the verdict is invalid or unmeasured anyway.

    Args:
        verdict: The verdict by the baseline.
        measured: The measurement.
        limits: Most joules, by metric.
    """
    if not limits or not measured.has_joules:
        return verdict
    if measured.status == "estimated":
        note = "The budget (max_joules) was not checked: the joules are estimated."
        return verdict.model_copy(update={"notes": [note, *verdict.notes]})
    budgets = [
        _budget(metric, measured.metrics[metric], limit)
        for metric, limit in limits.items()
        if metric in measured.metrics
    ]
    outcomes = {verdict.outcome, *(budget.outcome for budget in budgets)}
    worst = next(outcome for outcome in SEVERITY if outcome in outcomes)
    return verdict.model_copy(update={"budgets": budgets, "outcome": worst})


def _budget(metric: str, quantity: Quantity, limit: float) -> Budget:
    """By the interval: wholly above the limit, wholly within it, or undecided."""
    half = quantity.uncertainty or 0.0
    outcome = Outcome.INCONCLUSIVE
    if quantity.value - half > limit:
        outcome = Outcome.OVER_BUDGET
    elif quantity.value + half <= limit:
        outcome = Outcome.UNCHANGED
    return Budget(
        metric=metric,
        outcome=outcome,
        limit=limit,
        value=quantity.value,
        uncertainty=quantity.uncertainty,
        unit=quantity.unit,
    )


def with_failures(run: Run, settings: Settings) -> Run:
    """The finished run with the reasons why the policy fails it as a whole."""
    failures = [*run.run.failures, *_run_failures(run, settings)]
    if not failures:
        return run
    return run.model_copy(update={"run": run.run.model_copy(update={"failures": failures})})


def _run_failures(run: Run, settings: Settings) -> Iterator[str]:
    shift = run.run.suite_shift
    if shift and shift.outcome.value in settings.failing and _is_measured(run):
        yield (
            f"The whole suite {'regressed' if shift.outcome is Outcome.REGRESSED else 'shifted'}:"
            f" {_percent(shift.change)} (median of {shift.benchmarks}), tolerance"
            f" {100 * shift.tolerance:g} %"
        )
    if UNCOMPARED in settings.failing and (count := len(run.run.uncompared)):
        yield f"{count} baseline{' was' if count == 1 else 's were'} not compared"
    if (limit := settings.inconclusive_limit) is not None:
        yield from _too_many_inconclusive(run, limit)


def _is_measured(run: Run) -> bool:
    return run.run.meter is None or not run.run.meter.estimated


def _too_many_inconclusive(run: Run, limit: float) -> Iterator[str]:
    """A gate that decides too little is blind: the share among the benchmarks with a baseline."""
    outcomes = [result.verdict.outcome for result in run.benchmarks]
    compared = [outcome for outcome in outcomes if outcome.traits.has_baseline]
    inconclusive = compared.count(Outcome.INCONCLUSIVE)
    if inconclusive > limit * len(compared):
        yield (
            f"{inconclusive} of {len(compared)} benchmarks"
            f" {'is' if inconclusive == 1 else 'are'} inconclusive, more than"
            f" {100 * limit:g} %"
        )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "\u2212")


def _is_estimate(measured: Measurement, metric: str) -> bool:
    quantity = measured.metrics.get(metric)
    return measured.status == "estimated" and quantity is not None and not quantity.exact
