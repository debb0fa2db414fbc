"""The decision on one benchmark: its verdict is settled, or it must be measured again.

:func:`decide` is a pure function: it reads no file, saves nothing and changes nothing. The caller
reads the baselines and acts on the decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_energy.gate.acceptance import is_accepted
from pytest_energy.gate.baseline import MOST_RUNS, Baseline
from pytest_energy.gate.classify import worst
from pytest_energy.gate.detectability import further_visits
from pytest_energy.gate.make_baseline import extend_baseline
from pytest_energy.gate.policy import fails_test, with_budgets
from pytest_energy.gate.pooling import leave_out_outlying_first, pool, split_visits
from pytest_energy.gate.schedule import ADAPTIVE, ALONE, Schedule, Suite
from pytest_energy.gate.verdict import contended, judge, unconfirmed
from pytest_energy.model.measurement import Environment, Measurement
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Undecided, Verdict
from pytest_energy.options import ENOUGH_RUNS
from pytest_energy.settings import ESTIMATED, Update

RevisitReason = Literal["suspect", "recording"]
"""Why a benchmark is measured again: its verdict is open, or its baseline needs more runs."""


@dataclass(frozen=True)
class KnownBaselines:
    """The baselines of one benchmark, as the session read them."""

    own: Baseline | None = None
    """The baseline of the machine that measures."""
    elsewhere: Baseline | None = None
    """Another machine's, if this one has none: the verdict then names the differences."""
    facts: Baseline | None = None
    """The baseline of the exact metrics, which hold on any machine."""

    @property
    def compared(self) -> Baseline | None:
        """The baseline to compare joules with."""
        return self.own or self.elsewhere


@dataclass(frozen=True)
class Policy:
    """The settings that the decision on one benchmark depends on."""

    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Accepted relative change by metric; a metric that has one gates."""
    budgets: Mapping[str, float] = field(default_factory=dict)
    """Most joules that the test allows, by metric."""
    failing: frozenset[str] = frozenset({Outcome.REGRESSED.value})
    """Outcomes that fail a test. With ``estimated``, the rise of an estimate fails as well."""
    update: Update = "none"
    """Which results become baselines: the value of ``--energy-update``."""
    schedule: Schedule = ADAPTIVE
    suite: Suite = ALONE
    """What the verdict takes from the other benchmarks."""
    baseline_runs: int = ENOUGH_RUNS
    """Number of runs in a new baseline."""
    spent: Literal["time", "energy"] | None = None
    """The limit of the session's retries that is reached; ``None`` if there is budget left."""
    allowed: float | None = None
    """The seconds or joules of that limit."""
    commit: str | None = None
    """Commit of the measured tree; an accepted run is stored with it."""


@dataclass(frozen=True)
class Again:
    """Another visit is needed first."""

    reason: RevisitReason
    result: Result
    """The result so far. A change that was seen once is inconclusive."""


@dataclass(frozen=True)
class Settled:
    """The verdict is final."""

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
        visits: In the order of measurement, at least one.
        baselines: The accepted baselines.
        environment: The machine of the session.
        policy: Tolerances and the user's settings.
    """
    measured = pool(leave_out_outlying_first(visits))
    rule = policy.schedule.rule(len(visits), policy.suite.family)
    verdict = judge(
        measured,
        baselines.compared,
        baselines.facts,
        environment,
        policy.tolerances,
        rule,
        policy.suite,
    )
    has_own = baselines.own is not None
    last = visits[-1]
    reason: RevisitReason | None
    if contended(last):
        # One retry: the others may have left the device by the end of the session.
        reason = "suspect" if len(visits) == 1 and policy.schedule.visits > 1 else None
    elif not _can_change_verdict(last, policy):
        reason = None
    elif verdict.outcome is Outcome.IMPROVED and _is_suspect(verdict, visits, policy):
        reason = "suspect"
    elif is_accepted(policy.update, verdict, last, has_own=has_own):
        too_few = _too_few_runs(Result.of(measured, verdict), baselines, environment, policy)
        reason = "recording" if too_few else None
    else:
        reason = "suspect" if _is_suspect(verdict, visits, policy) else None
    if reason:
        note = "Seen once; to be measured again after the other benchmarks."
        return Again(reason, Result.of(measured, unconfirmed(verdict, note)))

    verdict = with_budgets(_finalize(verdict, visits), measured, policy.budgets)
    accept = is_accepted(policy.update, verdict, measured, has_own=has_own)
    # What becomes the baseline leaves nothing to decide.
    if baselines.own is not None and not accept:
        update = {"undecided": _undecided(verdict, measured, baselines.own, len(visits), policy)}
        verdict = verdict.model_copy(update=update)
    fails = not accept and fails_test(verdict, measured, policy.failing)
    return Settled(Result.of(measured, verdict.model_copy(update={"fails": fails})), accept)


def _undecided(
    verdict: Verdict, measured: Measurement, baseline: Baseline, looks: int, policy: Policy
) -> Undecided | None:
    """What would decide an energy that is inconclusive; ``None`` if nothing is open."""
    energy = next((metric for metric in verdict.gated if metric.metric == ENERGY), None)
    if energy is None or energy.outcome is not Outcome.INCONCLUSIVE or energy.change is None:
        return None
    limit: Literal["time", "energy", "visits", "protocol"] = policy.spent or "protocol"
    if looks >= policy.schedule.visits > 1:
        limit = "visits"
    allowed = policy.allowed if limit == policy.spent else None
    further = further_visits(
        measured, baseline, energy.tolerance or 0.0, policy.schedule, policy.suite
    )
    if further is None:
        return Undecided(limit=limit, allowed=allowed)
    share = further / max(len(split_visits(measured)), 1)
    joules = [round_.energy_j or 0.0 for round_ in measured.rounds]
    return Undecided(
        limit=limit,
        allowed=allowed,
        visits=further,
        duration_s=share * sum(round_.duration_s for round_ in measured.rounds),
        energy_j=share * sum(joules),
    )


def _can_change_verdict(last: Measurement, policy: Policy) -> bool:
    """Whether another visit could change the verdict. An estimate counts only if it can fail."""
    if last.status == "estimated":
        return ESTIMATED in policy.failing
    return last.status == "measured"


def _too_few_runs(
    result: Result, baselines: KnownBaselines, environment: Environment, policy: Policy
) -> bool:
    """Whether a baseline with this result has too few runs to show how much runs vary.

    Training is recorded in one visit, since another visit would train from the beginning.
    """
    if result.kind == "training" or policy.schedule.visits == 1:
        return False
    baseline = extend_baseline(baselines.own, result, environment, policy.commit)
    return len(baseline.level(ENERGY)) < min(policy.baseline_runs, MOST_RUNS)


def _is_suspect(verdict: Verdict, visits: Sequence[Measurement], policy: Policy) -> bool:
    """Whether another visit could settle the verdict, and the budget allows it."""
    if verdict.outcome is Outcome.INCOMPARABLE:
        return False
    # A second visit would count the same parameters and FLOPs: only noisy metrics can change.
    exact = {name for name, quantity in visits[-1].metrics.items() if quantity.exact}
    outcome = worst(metric for metric in verdict.metrics if metric.metric not in exact)
    if outcome in (Outcome.REGRESSED, Outcome.IMPROVED) and _count_valid(visits) == 1:
        # A change must be seen twice. This retry needs no budget: without it, one disturbed visit
        # would fail the test, or become a baseline that every later run exceeds.
        return len(visits) <= 2 and policy.schedule.visits > 1
    return policy.schedule.goes_on(outcome, len(visits)) and policy.spent is None


def _count_valid(visits: Sequence[Measurement]) -> int:
    return sum(visit.has_joules for visit in visits)


def _finalize(verdict: Verdict, visits: Sequence[Measurement]) -> Verdict:
    """The final verdict. A change that no second valid visit confirmed is inconclusive."""
    if len(visits) == 1:
        return verdict
    if _count_valid(visits) == 1:
        spoilt = [visit for visit in visits if not visit.has_joules]
        causes = dict.fromkeys(reason.message for visit in spoilt for reason in visit.reasons)
        verdict = unconfirmed(verdict, f"Seen once; the retry failed: {'; '.join(causes)}")
    rounds = sum(len(visit.rounds) for visit in visits)
    note = f"Measured again: {len(visits)} visits, {rounds} rounds in total."
    return verdict.model_copy(update={"notes": [note, *verdict.notes]})
