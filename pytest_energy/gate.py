"""The recipe after measuring: look up, judge, accept where asked to, keep."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_energy.measurement import Measurement, Outcome, Result, Verdict
from pytest_energy.session import EnergySession
from pytest_energy.settings import MarkerSettings, Settings
from pytest_energy.verdict import judge

STRICT = frozenset(Outcome) - {Outcome.IMPROVED, Outcome.UNCHANGED}
"""Outcomes that fail a test in strict mode."""

ACCEPTED = {
    "none": frozenset[Outcome](),
    "new": frozenset({Outcome.NEW}),
    "improved": frozenset({Outcome.IMPROVED}),
    "all": frozenset(Outcome) - {Outcome.INVALID},
}
"""Outcomes that become the baseline, by the value of ``--energy-update``."""


def conclude(measured: Measurement, session: EnergySession, marker: MarkerSettings) -> Result:
    """Compare a measurement with its baselines, accept it where asked to, and save the result."""
    verdict = judge(
        measured,
        session.store.find(measured.id, session.slug),
        session.store.load_facts(measured.id),
        session.environment,
        tolerances(session.settings, marker),
    )
    accepted = verdict.outcome in ACCEPTED[session.settings.update]
    fails = not accepted and fails_test(verdict, measured, strict=session.settings.strict)
    result = Result.of(measured, verdict.model_copy(update={"fails": fails}))
    if accepted:
        session.accept(result)
    session.keep(result)
    return result


def tolerances(settings: Settings, marker: MarkerSettings) -> Mapping[str, float]:
    """The tolerance of each metric that has one; the marker wins over the option."""
    energy = settings.tolerance if marker.tolerance is None else marker.tolerance
    return {"energy_j": energy, **marker.tolerances}


def fails_test(verdict: Verdict, measured: Measurement, *, strict: bool) -> bool:
    """Whether the policy turns a verdict into a failed test.

    A regression fails it; but the rise of an estimate, which says more about a model of the
    hardware than about the hardware, fails it in strict mode only, as do the other outcomes of
    :data:`STRICT`.
    """
    if strict:
        return verdict.outcome in STRICT
    return any(
        metric.outcome is Outcome.REGRESSED and not _estimate(measured, metric.metric)
        for metric in verdict.metrics
        if metric.tolerance is not None  # the others are told, and gate nothing
    )


def _estimate(measured: Measurement, metric: str) -> bool:
    quantity = measured.metrics.get(metric)
    return measured.status == "estimated" and quantity is not None and quantity.unit.startswith("J")
