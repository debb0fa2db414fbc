"""The decision on one benchmark: its verdict is settled, or it must be measured again.

:func:`decide` is a pure function: it reads no file, saves nothing and changes nothing. Whoever
calls it reads the baselines once and acts on the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_energy.gate.acceptance import is_accepted
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.classify import worst
from pytest_energy.gate.make_baseline import KEPT_RUNS, extended
from pytest_energy.gate.policy import fails_test, gated
from pytest_energy.gate.pooling import VALID, pool
from pytest_energy.gate.schedule import ADAPTIVE, Schedule
from pytest_energy.gate.verdict import contended, judge, unconfirmed
from pytest_energy.model.measurement import Environment, Measurement
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Verdict
from pytest_energy.settings import ENOUGH_RUNS, ESTIMATED, Update

RevisitReason = Literal["suspect", "recording"]
"""Why a benchmark is measured again: its verdict is open, or its baseline needs more runs."""


@dataclass(frozen=True)
class KnownBaselines:
    """The baselines that concern one benchmark, as the session read them."""

    own: Baseline | None = None
    """Of the machine that measures."""
    elsewhere: Baseline | None = None
    """Of another machine, where this one has none: the verdict then names the differences."""
    facts: Baseline | None = None
    """The exact metrics, which hold on any machine."""

    @property
    def compared(self) -> Baseline | None:
        """The baseline to compare joules with."""
        return self.own or self.elsewhere


@dataclass(frozen=True)
class Policy:
    """What governs the decision on one benchmark, beside what was measured."""

    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Accepted relative change by metric; a metric that has one gates."""
    failing: frozenset[str] = frozenset({Outcome.REGRESSED.value})
    """Outcomes that fail a test; ``estimated`` among them lets the rise of an estimate fail."""
    update: Update = "none"
    """Which results become baselines: the value of ``--energy-update``."""
    schedule: Schedule = ADAPTIVE
    family: int = 1
    """Number of comparisons in the session: they share the chance of a false alarm."""
    baseline_runs: int = ENOUGH_RUNS
    """Runs that a recorded baseline is made of."""
    budget_left: bool = True
    """Whether the session has time and joules left for visits that decide."""
    commit: str | None = None
    """Commit of the measured tree; an accepted run is filed under it."""


@dataclass(frozen=True)
class Again:
    """A further visit is needed before anything can be said."""

    reason: RevisitReason
    result: Result
    """What is known so far; a change that was seen once counts as inconclusive."""


@dataclass(frozen=True)
class Settled:
    """The verdict stands."""

    result: Result
    accept: bool
    """Whether the result becomes the baseline."""


def decide(
    visits: Sequence[Measurement],
    baselines: KnownBaselines,
    environment: Environment,
    policy: Policy,
) -> Again | Settled:
    """Judge a benchmark by all its visits.

    Args:
        visits: In the order in which they were measured, at least one.
        baselines: What was accepted before.
        environment: The machine of the session.
        policy: Tolerances, and what the user asked for.
    """
    measured = pool(visits)
    rule = policy.schedule.rule(len(visits), policy.family)
    verdict = judge(
        measured, baselines.compared, baselines.facts, environment, policy.tolerances, rule
    )
    has_own = baselines.own is not None
    last = visits[-1]
    if contended(last):
        again = _retries_contended(visits, policy)
    elif not _can_be_decided(last, policy):
        again = None
    elif is_accepted(policy.update, verdict, last, has_own=has_own):
        too_few = _too_few_runs(Result.of(measured, verdict), baselines, environment, policy)
        again = "recording" if too_few else None
    else:
        again = _reopens(verdict, visits, policy)
    if again:
        open_verdict = unconfirmed(verdict, "seen once; to be measured again after the others")
        return Again(again, Result.of(measured, open_verdict))

    verdict = _with_visit_notes(verdict, visits)
    accept = is_accepted(policy.update, verdict, measured, has_own=has_own)
    fails = not accept and fails_test(verdict, measured, policy.failing)
    return Settled(Result.of(measured, verdict.model_copy(update={"fails": fails})), accept)


def _retries_contended(visits: Sequence[Measurement], policy: Policy) -> RevisitReason | None:
    """One retry: whoever used the device may have left by the end of the session."""
    return "suspect" if len(visits) == 1 and policy.schedule.visits > 1 else None


def _can_be_decided(last: Measurement, policy: Policy) -> bool:
    """Whether a further visit could change a verdict; an estimate's only where it can fail."""
    if last.status == "estimated":
        return ESTIMATED in policy.failing
    return last.status == "measured"


def _too_few_runs(
    result: Result, baselines: KnownBaselines, environment: Environment, policy: Policy
) -> bool:
    """Whether a baseline with this result would know the scatter between its runs too badly.

    Training is recorded in one visit, since each further one would train from the beginning.
    """
    if result.kind == "training" or policy.schedule.visits == 1:
        return False
    baseline = extended(baselines.own, result, environment, policy.commit)
    return len(baseline.level(ENERGY)) < min(policy.baseline_runs, KEPT_RUNS)


def _reopens(
    verdict: Verdict, visits: Sequence[Measurement], policy: Policy
) -> RevisitReason | None:
    """Whether a further visit could settle what is open, and may be paid for."""
    if verdict.outcome is Outcome.INCOMPARABLE:
        return None
    outcome = worst(_measured_metrics(verdict, visits[-1]))
    if outcome is Outcome.REGRESSED and _valid(visits) == 1:
        # A rise must be seen twice. The retry needs no budget: it is what keeps a first visit
        # that went wrong from failing the test.
        return "suspect" if len(visits) <= 2 and policy.schedule.visits > 1 else None
    goes_on = policy.schedule.goes_on(outcome, len(visits)) and policy.budget_left
    return "suspect" if goes_on else None


def _measured_metrics(verdict: Verdict, measured: Measurement) -> Iterable[MetricVerdict]:
    exact = {name for name, quantity in measured.metrics.items() if quantity.exact}
    return (metric for metric in gated(verdict) if metric.metric not in exact)


def _valid(visits: Sequence[Measurement]) -> int:
    return sum(visit.status in VALID for visit in visits)


def _with_visit_notes(verdict: Verdict, visits: Sequence[Measurement]) -> Verdict:
    """The final verdict; a rise that no second valid visit confirmed is inconclusive."""
    if len(visits) == 1:
        return verdict
    if _valid(visits) == 1:
        spoilt = [visit for visit in visits if visit.status not in VALID]
        causes = dict.fromkeys(reason.message for visit in spoilt for reason in visit.reasons)
        verdict = unconfirmed(
            verdict, f"seen once; measured again without success: {'; '.join(causes)}"
        )
    rounds = sum(len(visit.rounds) for visit in visits)
    note = f"measured again: {len(visits)} visits, {rounds} rounds together"
    return verdict.model_copy(update={"notes": [note, *verdict.notes]})
