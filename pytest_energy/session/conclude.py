"""The steps after a measurement: decide, then keep, measure again or accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pytest_energy.gate.decision import Again, Policy, RevisitReason, decide
from pytest_energy.gate.tolerances import tolerances_of
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.json_files import encodable_facts
from pytest_energy.model.measurement import Measurement, Reason, ReasonCode, is_control
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result
from pytest_energy.session.energy_session import EnergySession

TEST_FAILED: Final = Reason(
    code=ReasonCode.TEST_FAILED, message="the test failed after this measurement", fatal=False
)


@dataclass(frozen=True)
class Conclusion:
    """The judgement on one benchmark of a test whose outcome is not yet known."""

    result: Result
    session: EnergySession
    """The session of its meter."""
    marker: MarkerSettings
    again: RevisitReason | None = None
    """Why it must be measured again first."""
    accept: bool = False
    """Whether it becomes the baseline if the test passes."""
    is_visit: bool = False
    """Whether a visit was added; otherwise the test had failed, or the result is settled."""


def conclude(measured: Measurement, session: EnergySession, marker: MarkerSettings) -> Conclusion:
    """Judge a benchmark by all its visits, and save the result so far."""
    measured = encodable_facts(measured)
    visits = session.record.add_visit(measured)
    return replace(_judge(measured, visits, session, marker), is_visit=True)


def conclude_failed(
    measured: Measurement, session: EnergySession, marker: MarkerSettings
) -> Conclusion:
    """Judge a benchmark of a test that failed: it is no visit, and nothing follows from it."""
    measured = encodable_facts(measured)
    failed = measured.model_copy(update={"reasons": [*measured.reasons, TEST_FAILED]})
    visits = (*session.record.visits(measured.id), failed)
    judged = _judge(failed, visits, session, marker)
    result = session.keep(_of_failed_test(judged.result))
    return replace(judged, result=result, again=None, accept=False)


def settle(conclusion: Conclusion) -> Result:
    """Ask for another visit, or accept the result if that was requested: the test has not failed.

    Raises:
        EnergyError: The baseline cannot be written. The result is saved nevertheless.
    """
    result, session, marker = conclusion.result, conclusion.session, conclusion.marker
    if not conclusion.is_visit:
        return result
    session.record.set_revisit(result.id, conclusion.again)
    if conclusion.again or not conclusion.accept:
        return result
    tolerances = tolerances_of(result.id, session.settings.tolerance, session.tolerances, marker)
    if refusal := session.drift_refusal(result, tolerances[ENERGY]):
        session.refuse(refusal)
        return result
    session.accept(result)
    session.record.begin_anew(result.id)
    accepted = result.verdict.model_copy(update={"accepted": True})
    return session.keep(result.model_copy(update={"verdict": accepted}))


def withdraw(conclusion: Conclusion) -> Result:
    """Take a visit back: the test has failed after its body, and so nothing follows from it."""
    result, session = conclusion.result, conclusion.session
    if not conclusion.is_visit:
        return result
    session.record.drop_visit(result.id)
    failed = result.model_copy(update={"reasons": [*result.reasons, TEST_FAILED]})
    return session.keep(_of_failed_test(failed))


def _of_failed_test(result: Result) -> Result:
    """The result with the outcome of its test, unless its own verdict fails the test as well."""
    if result.verdict.fails:
        return result
    verdict = result.verdict.model_copy(update={"outcome": Outcome.TEST_FAILED})
    return result.model_copy(update={"verdict": verdict})


def _judge(
    measured: Measurement,
    visits: Sequence[Measurement],
    session: EnergySession,
    marker: MarkerSettings,
) -> Conclusion:
    baselines = session.known_baselines(measured.id)
    decision = decide(visits, baselines, session.environment, policy_of(measured, session, marker))
    result = session.keep(decision.result)
    if isinstance(decision, Again):
        return Conclusion(result, session, marker, again=decision.reason)
    return Conclusion(result, session, marker, accept=decision.accept)


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
