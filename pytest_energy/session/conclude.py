"""The steps after a measurement: decide, then keep, measure again or accept."""

from __future__ import annotations

from dataclasses import replace

from pytest_energy.gate.decision import Again, Policy, decide
from pytest_energy.gate.tolerances import tolerances_of
from pytest_energy.model.measurement import Measurement, is_control
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.result import Result
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.settings import MarkerSettings


def conclude(measured: Measurement, session: EnergySession, marker: MarkerSettings) -> Result:
    """Judge a benchmark by all its visits, save the result and accept it if requested.

    Afterwards ``session.record.revisits`` holds the benchmark's id if it must be measured again.

    Raises:
        EnergyError: The baseline cannot be written. The result is saved nevertheless.
    """
    visits = session.record.add_visit(measured)
    baselines = session.known_baselines(measured.id)
    decision = decide(visits, baselines, session.environment, policy_of(measured, session, marker))
    if isinstance(decision, Again):
        session.record.ask_for_revisit(measured.id, decision.reason)
    result = session.keep(decision.result)
    if isinstance(decision, Again) or not decision.accept:
        return result
    tolerances = tolerances_of(measured.id, session.settings.tolerance, session.tolerances, marker)
    if refusal := session.drift_refusal(result, tolerances[ENERGY]):
        session.record.note_refused(refusal)
        return result
    session.accept(result)
    accepted = result.verdict.model_copy(update={"accepted": True})
    return session.keep(result.model_copy(update={"verdict": accepted}))


def policy_of(measured: Measurement, session: EnergySession, marker: MarkerSettings) -> Policy:
    """The settings for the decision on one benchmark."""
    settings = session.settings
    suite, spent = session.suite, session.spent_limit()
    allowed = {"time": settings.retry_time, "energy": settings.retry_energy}
    if is_control(measured.id):
        # Its change is asked for as it is, to say whether the suite's shift is the machine's.
        suite = replace(suite, shifts={})
    return Policy(
        tolerances=tolerances_of(measured.id, settings.tolerance, session.tolerances, marker),
        budgets=marker.max_joules,
        failing=settings.failing,
        update=settings.update,
        schedule=session.schedule,
        suite=suite,
        baseline_runs=settings.baseline_runs,
        spent=spent,
        allowed=allowed[spent] if spent else None,
        commit=session.revision.commit,
    )
