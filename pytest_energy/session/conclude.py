"""The recipe after measuring: look up, judge, measure again or accept, keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pytest_energy.gate.acceptance import is_accepted
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.classify import worst
from pytest_energy.gate.detectability import sight
from pytest_energy.gate.make_baseline import KEPT_RUNS
from pytest_energy.gate.policy import fails_test, gated
from pytest_energy.gate.pooling import VALID, Again, pool
from pytest_energy.gate.tolerances import tolerances_of
from pytest_energy.gate.verdict import contended, judge, unconfirmed
from pytest_energy.model.measurement import Measurement
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Verdict
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.settings import ESTIMATED, MarkerSettings

NAMED: Final = 5
"""How many tests a warning names."""


def conclude(measured: Measurement, session: EnergySession, marker: MarkerSettings) -> Result:
    """Judge a benchmark by all its visits; accept it where asked to; save the result.

    Afterwards ``session.visits.again`` holds the benchmark's id where a further visit is needed
    before anything can be said.

    Raises:
        EnergyError: The baseline cannot be written; the result is saved all the same.
    """
    visits = session.visits.add(measured)
    pooled = pool(visits)
    verdict = judge(
        pooled,
        session.store.find(measured.id, session.slug),
        session.store.load_facts(measured.id),
        session.environment,
        tolerances(measured.id, session, marker),
        session.schedule.rule(len(visits), session.family),
    )
    if why := _goes_on(verdict, visits, session):
        session.visits.again[measured.id] = why
        awaited = unconfirmed(verdict, "seen once; to be measured again after the others")
        return _kept(Result.of(pooled, awaited), session)
    settled = _settled(verdict, visits, session)
    accepted = _is_accepted(settled, pooled, session)
    fails = not accepted and fails_test(settled, pooled, session.settings.failing)
    result = _kept(Result.of(pooled, settled.model_copy(update={"fails": fails})), session)
    if not accepted:
        return result
    session.accept(result)
    settled = settled.model_copy(update={"fails": fails, "accepted": True})
    return _kept(Result.of(pooled, settled), session)


def _is_accepted(verdict: Verdict, measured: Measurement, session: EnergySession) -> bool:
    has_own = session.store.load(measured.id, session.slug) is not None
    return is_accepted(session.settings.update, verdict, measured, has_own=has_own)


def _kept(result: Result, session: EnergySession) -> Result:
    session.keep(result)
    return result


def tolerances(test_id: str, session: EnergySession, marker: MarkerSettings) -> dict[str, float]:
    """The tolerance of each metric that has one: the marker's, the table's, the option's."""
    found = tolerances_of(test_id, session.settings.tolerance, session.tolerances)
    if marker.tolerance is not None:
        found[ENERGY] = marker.tolerance
    return {**found, **marker.tolerances}


def _goes_on(verdict: Verdict, visits: list[Measurement], session: EnergySession) -> Again | None:
    """Why a further visit is needed, where it is."""
    last = visits[-1]
    if contended(last):
        return "suspect" if len(visits) == 1 and session.schedule.visits > 1 else None
    if last.status != "measured" and not _counts(last, session):
        return None
    if _is_accepted(verdict, last, session):
        too_few = _too_few_runs(Result.of(pool(visits), verdict), session)
        return "recording" if too_few else None
    return "suspect" if _undecided(verdict, visits, session) else None


def _undecided(verdict: Verdict, visits: list[Measurement], session: EnergySession) -> bool:
    """Whether a further visit could settle what this one left open, and may be paid for."""
    count = len(visits)
    if verdict.outcome is Outcome.INCOMPARABLE:
        return False
    outcome = worst(_noisy(verdict, visits[-1]))
    if outcome is Outcome.REGRESSED and _valid(visits) == 1:
        return count <= 2 and session.schedule.visits > 1
    return session.schedule.goes_on(outcome, count) and session.may_measure_again()


def _too_few_runs(result: Result, session: EnergySession) -> bool:
    """Whether a baseline with this result would know its scatter between runs too badly.

    Training is recorded in one visit: a further one would train from the beginning.
    """
    if result.kind == "training" or session.schedule.visits == 1:
        return False
    wanted = min(session.settings.baseline_runs, KEPT_RUNS)
    return len(session.baseline_with(result).level(ENERGY)) < wanted


def _valid(visits: list[Measurement]) -> int:
    return sum(visit.status in VALID for visit in visits)


def _counts(measured: Measurement, session: EnergySession) -> bool:
    return measured.status == "estimated" and ESTIMATED in session.settings.failing


def _noisy(verdict: Verdict, measured: Measurement) -> Iterable[MetricVerdict]:
    exact = {name for name, quantity in measured.metrics.items() if quantity.exact}
    return (metric for metric in gated(verdict) if metric.metric not in exact)


def _settled(verdict: Verdict, visits: list[Measurement], session: EnergySession) -> Verdict:
    """The final verdict: a rise that no second visit confirmed is none yet."""
    if _valid(visits) == 1 and len(visits) > 1:
        spoilt = [visit for visit in visits if visit.status not in VALID]
        reasons = dict.fromkeys(one.message for visit in spoilt for one in visit.reasons)
        told = "; ".join(reasons)
        verdict = unconfirmed(verdict, f"seen once; measured again without success: {told}")
    if len(visits) == 1:
        return verdict
    rounds = sum(len(visit.rounds) for visit in visits)
    note = f"measured again: {len(visits)} visits, {rounds} rounds together"
    return verdict.model_copy(update={"notes": [note, *verdict.notes]})


def comparisons(markers: Mapping[str, MarkerSettings], session: EnergySession) -> int:
    """How many figures the session holds against baselines, at least one.

    Args:
        markers: The tests that will run, by id.
        session: With the baselines and tolerances in force.
    """
    compared = (
        tolerances(kept.id, session, marker).keys() & kept.metrics.keys()
        for kept, marker in _selected(markers, session)
    )
    return max(sum(map(len, compared)), 1)


def _selected(
    markers: Mapping[str, MarkerSettings], session: EnergySession
) -> Iterator[tuple[Baseline, MarkerSettings]]:
    """The baselines of the tests that will run and of their windows, each with its marker."""
    for kept in session.store.load_all(session.slug):
        test_id = kept.id if kept.id in markers else kept.id.rpartition("::")[0]
        if test_id in markers:
            yield kept, markers[test_id]


def too_coarse(markers: Mapping[str, MarkerSettings], session: EnergySession) -> list[str]:
    """Lines on tests whose tolerance is smaller than what their accepted runs let them see.

    Args:
        markers: The tests that will run, by id.
        session: With the baselines and tolerances in force.
    """
    found = []
    for kept, marker in _selected(markers, session):
        allowed = tolerances(kept.id, session, marker)[ENERGY]
        seen = sight(kept, allowed, session.schedule, session.family)
        if seen and seen.last > allowed:
            found.append(
                f"energy: {kept.id}: a tolerance of {allowed:.2%} asks for more than can be seen"
                f" there: {seen.last:.2%} by {len(kept.accepted)} accepted runs"
            )
    more = f"energy: and {len(found) - NAMED} more; see pytest-energy sensitivity"
    return [*found[:NAMED], more] if len(found) > NAMED else found
