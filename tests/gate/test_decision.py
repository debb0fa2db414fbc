"""The decision on one benchmark: settled, or to be measured again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import pytest

from pytest_energy.gate.decision import Again, KnownBaselines, Policy, Settled, decide
from pytest_energy.gate.detectability import further_visits
from pytest_energy.gate.pooling import pool
from pytest_energy.gate.schedule import ADAPTIVE, FIXED, Schedule, Suite
from pytest_energy.model.measurement import Measurement, Quantity, Reason, ReasonCode, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Undecided
from pytest_energy.uncertainty.change import Prior
from tests.gate_data import A100, H200, TEST, measurement, store_with

SLUG = "nvidia-h200"
TOLERANCES = {"energy_j": 0.05}
EIGHT_RUNS = tuple(1 + number / 1000 for number in range(8))


def baselines(folder: Path, *energies_j: float) -> KnownBaselines:
    """What was accepted of the test: a run for each of these joules."""
    store = store_with(folder, *energies_j)
    return KnownBaselines(own=store.load(TEST, SLUG), facts=store.load_facts(TEST))


def invalid_visit(process: int = 7) -> Measurement:
    """A visit that another process spoilt."""
    reason = Reason(code=ReasonCode.CONTENDED, message=f"process {process} used the GPU")
    return measurement(status="invalid", metrics={}, reasons=[reason])


def outcome_of(decision: Again | Settled) -> Outcome:
    """The outcome that a decision holds."""
    return decision.result.verdict.outcome


def test_what_has_not_changed_is_settled_at_the_first_look(tmp_path: Path) -> None:
    """It neither fails nor becomes the baseline."""
    decision = decide(
        [measurement(1.0)], baselines(tmp_path, *EIGHT_RUNS), H200, Policy(TOLERANCES)
    )
    assert isinstance(decision, Settled)
    assert outcome_of(decision) is Outcome.UNCHANGED
    assert (decision.accept, decision.result.verdict.fails) == (False, False)


def test_a_rise_is_called_one_only_when_it_was_seen_twice(tmp_path: Path) -> None:
    """The first look asks for a second visit and calls it inconclusive; the second one fails it."""
    known, policy = baselines(tmp_path, *EIGHT_RUNS), Policy(TOLERANCES)
    first = decide([measurement(1.2)], known, H200, policy)
    assert isinstance(first, Again)
    assert (first.reason, outcome_of(first)) == ("suspect", Outcome.INCONCLUSIVE)
    assert first.result.verdict.notes[0] == (
        "Seen once; to be measured again after the other benchmarks."
    )
    second = decide([measurement(1.2), measurement(1.2)], known, H200, policy)
    assert isinstance(second, Settled)
    assert (outcome_of(second), second.result.verdict.fails) == (Outcome.REGRESSED, True)
    assert second.result.verdict.notes[0] == "Measured again: 2 visits, 6 rounds in total."


def test_the_second_look_at_a_rise_needs_no_budget(tmp_path: Path) -> None:
    """A first visit that went wrong fails no test because time is up; what is open stays open."""
    known, policy = baselines(tmp_path, *EIGHT_RUNS), Policy(TOLERANCES, spent="time")
    assert isinstance(decide([measurement(1.2)], known, H200, policy), Again)
    undecided = decide([measurement(1.05)], known, H200, policy)
    assert isinstance(undecided, Settled)
    assert outcome_of(undecided) is Outcome.INCONCLUSIVE
    with_budget = decide([measurement(1.05)], known, H200, Policy(TOLERANCES))
    assert isinstance(with_budget, Again)


def test_the_fixed_protocol_looks_once(tmp_path: Path) -> None:
    """Its first look settles, whatever it finds."""
    policy = Policy(TOLERANCES, schedule=FIXED)
    for energy_j in (1.0, 1.05, 1.2):
        known = baselines(tmp_path / str(energy_j), *EIGHT_RUNS)
        assert isinstance(decide([measurement(energy_j)], known, H200, policy), Settled)


def test_a_rise_that_cannot_be_measured_again_is_inconclusive(tmp_path: Path) -> None:
    """The reason of the spoilt visit is in the notes."""
    visits = [measurement(1.2), invalid_visit(), invalid_visit(8), invalid_visit()]
    decision = decide(visits, baselines(tmp_path, *EIGHT_RUNS), H200, Policy(TOLERANCES))
    assert isinstance(decision, Settled)
    assert outcome_of(decision) is Outcome.INCONCLUSIVE
    notes = decision.result.verdict.notes
    assert "Seen once; the retry failed: process 7 used the GPU; process 8 used the GPU" in notes


def test_a_contended_device_is_tried_once_more(tmp_path: Path) -> None:
    """Twice contended is inconclusive, not failed."""
    known, policy = baselines(tmp_path, *EIGHT_RUNS), Policy(TOLERANCES)
    again = decide([invalid_visit()], known, H200, policy)
    assert isinstance(again, Again)
    assert again.reason == "suspect"
    decision = decide([invalid_visit(), invalid_visit()], known, H200, policy)
    assert isinstance(decision, Settled)
    assert outcome_of(decision) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("runs", "again"), [(3, "recording"), (1, None)])
def test_a_new_baseline_is_recorded_in_several_visits(
    tmp_path: Path, runs: int, again: str | None
) -> None:
    """Until it has the runs that were asked for; then it is accepted."""
    policy = Policy(TOLERANCES, update="new", baseline_runs=runs)
    decision = decide([measurement(1.0)], KnownBaselines(), H200, policy)
    assert (decision.reason if isinstance(decision, Again) else None) == again
    visits = [measurement(1 + number / 1000) for number in range(runs)]
    last = decide(visits, KnownBaselines(), H200, policy)
    assert isinstance(last, Settled)
    assert last.accept


def test_training_is_recorded_in_one_visit() -> None:
    """A second visit would train from the beginning."""
    policy = Policy(TOLERANCES, update="new")
    decision = decide([measurement(kind="training")], KnownBaselines(), H200, policy)
    assert isinstance(decision, Settled)
    assert decision.accept


def test_an_accepted_rise_does_not_fail(tmp_path: Path) -> None:
    """Whoever updates all baselines means the change."""
    policy = Policy(TOLERANCES, update="all", baseline_runs=1)
    known = baselines(tmp_path, *EIGHT_RUNS)
    decision = decide([measurement(1.2), measurement(1.2)], known, H200, policy)
    assert isinstance(decision, Settled)
    assert (decision.accept, decision.result.verdict.fails) == (True, False)


def test_another_machine_is_not_measured_again(tmp_path: Path) -> None:
    """No number of visits makes two machines comparable."""
    own = baselines(tmp_path, *EIGHT_RUNS).own
    known = KnownBaselines(elsewhere=own)
    decision = decide([measurement(1.2)], known, A100, Policy(TOLERANCES))
    assert isinstance(decision, Settled)
    assert outcome_of(decision) is Outcome.INCOMPARABLE


@pytest.mark.parametrize(("failing", "again"), [({"regressed"}, False), ({"estimated"}, True)])
def test_an_estimate_is_measured_again_only_where_it_may_fail(
    tmp_path: Path, failing: set[str], again: bool
) -> None:
    """By default its rise fails nothing, so that a second visit would decide nothing."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    visit = measurement(1.2, status="estimated")
    policy = Policy(TOLERANCES, failing=frozenset({"regressed", *failing}))
    assert isinstance(decide([visit], known, H200, policy), Again) is again


def test_a_changed_fact_is_not_measured_again(tmp_path: Path) -> None:
    """Parameters are exact: a second look would count the same."""
    facts = {"params": Quantity(value=8, unit="1", exact=True)}
    store = store_with(tmp_path, *EIGHT_RUNS)
    counted_before = {"params": Quantity(value=7, unit="1", exact=True)}
    store.save(measurement(status="unmeasured", metrics=counted_before), H200, "x", None)
    known = KnownBaselines(own=store.load(TEST, SLUG), facts=store.load_facts(TEST))
    visit = measurement(1.0)
    counted = visit.model_copy(update={"metrics": {**visit.metrics, **facts}})
    decision = decide([counted], known, H200, Policy(TOLERANCES))
    assert isinstance(decision, Settled)
    assert (outcome_of(decision), decision.result.verdict.fails) == (Outcome.REGRESSED, True)


def test_deciding_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens no file, and its arguments are afterwards as they were."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    visits = [measurement(1.2), measurement(1.21)]
    policy = Policy(dict(TOLERANCES), update="improved")
    before = copy.deepcopy((visits, known, H200, policy))
    monkeypatch.setattr("builtins.open", None)
    monkeypatch.setattr(Path, "open", None)
    first = decide(visits, known, H200, policy)
    assert (visits, known, H200, policy) == before
    assert decide(visits, known, H200, policy) == first


def test_a_fall_is_called_one_only_when_it_was_seen_twice(tmp_path: Path) -> None:
    """Otherwise one low visit becomes a baseline that every later run exceeds."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    policy = Policy(TOLERANCES, update="improved", baseline_runs=1)
    first = decide([measurement(0.8)], known, H200, policy)
    assert isinstance(first, Again)
    assert (first.reason, outcome_of(first)) == ("suspect", Outcome.INCONCLUSIVE)
    confirmed = decide([measurement(0.8), measurement(0.8)], known, H200, policy)
    assert isinstance(confirmed, Settled)
    assert confirmed.accept
    refuted = decide([measurement(0.8), *[measurement(1.0)] * 6], known, H200, policy)
    assert not (isinstance(refuted, Settled) and refuted.accept)


def test_a_first_visit_far_from_the_others_is_left_out(tmp_path: Path) -> None:
    """A machine that had not settled makes no benchmark inconclusive; a remark says so."""
    visits = [measurement(1.12), *(measurement(1 + number / 1000) for number in range(6))]
    decision = decide(visits, baselines(tmp_path, *EIGHT_RUNS), H200, Policy(TOLERANCES))
    assert outcome_of(decision) is Outcome.UNCHANGED
    remarks = [reason.message for reason in decision.result.reasons]
    assert remarks == [
        "the first of 7 visits was left out: +11.7 % away from the mean of the others"
    ]


def test_a_recording_does_not_contain_an_outlying_first_visit() -> None:
    """It is measured once more instead, so that the baseline has the runs that were asked for."""
    policy = Policy(TOLERANCES, update="new")
    visits = [measurement(1.1), *(measurement(1 + number / 1000) for number in range(7))]
    again = decide(visits, KnownBaselines(), H200, policy)
    assert isinstance(again, Again)
    assert again.reason == "recording"
    last = decide([*visits, measurement(1.0)], KnownBaselines(), H200, policy)
    assert isinstance(last, Settled)
    assert last.accept


@pytest.mark.parametrize(("spent", "limit"), [("time", "time"), ("energy", "energy")])
def test_an_open_verdict_says_what_ended_it_and_what_would_decide_it(
    tmp_path: Path, spent: Literal["time", "energy"], limit: str
) -> None:
    """Visits, seconds and joules, by what the visits so far took."""
    policy = Policy(TOLERANCES, spent=spent, allowed=500.0)
    decision = decide([measurement(1.035)], baselines(tmp_path, *EIGHT_RUNS), H200, policy)
    assert isinstance(decision, Settled)
    undecided = decision.result.verdict.undecided
    assert undecided is not None
    assert (undecided.limit, undecided.allowed) == (limit, 500.0)
    assert undecided.visits is not None
    assert undecided.duration_s == pytest.approx(27 * undecided.visits)
    assert undecided.energy_j == pytest.approx(31.05 * undecided.visits)


def test_what_is_accepted_leaves_nothing_to_decide(tmp_path: Path) -> None:
    """A rise that an update accepts at its first visit proposes no further one."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    policy = Policy(TOLERANCES, update="all", baseline_runs=1)
    decision = decide([measurement(1.035)], known, H200, policy)
    assert isinstance(decision, Settled)
    assert decision.accept
    assert outcome_of(decision) is Outcome.INCONCLUSIVE
    assert decision.result.verdict.undecided is None


def test_a_change_at_the_tolerance_says_that_no_visits_would_decide(tmp_path: Path) -> None:
    """After ten visits the limit is their number."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    decision = decide([measurement(1.0545)] * 10, known, H200, Policy(TOLERANCES))
    assert isinstance(decision, Settled)
    assert decision.result.verdict.undecided == Undecided(limit="visits")
    settled = decide([measurement(1.0)], known, H200, Policy(TOLERANCES))
    assert settled.result.verdict.undecided is None


@pytest.mark.parametrize(("visits", "again"), [(1, False), (2, True)])
def test_a_second_look_needs_a_protocol_of_two_visits(
    tmp_path: Path, visits: int, again: bool
) -> None:
    """Be it for a rise, or for a device that others used."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    policy = Policy(TOLERANCES, schedule=Schedule(visits=visits))
    for first in (measurement(1.2), invalid_visit()):
        assert isinstance(decide([first], known, H200, policy), Again) is again


def test_a_rise_after_a_spoilt_visit_is_looked_at_once_more(tmp_path: Path) -> None:
    """After two spoilt ones it is not, and is never called one."""
    known, policy = baselines(tmp_path, *EIGHT_RUNS), Policy(TOLERANCES)
    assert isinstance(decide([invalid_visit(), measurement(1.2)], known, H200, policy), Again)
    visits = [invalid_visit(), invalid_visit(), measurement(1.2)]
    decision = decide(visits, known, H200, policy)
    assert isinstance(decision, Settled)
    assert outcome_of(decision) is Outcome.INCONCLUSIVE


def test_a_large_suite_asks_for_more_evidence(tmp_path: Path) -> None:
    """And a suite that varies more than is assumed, likewise."""
    known, visits = baselines(tmp_path, 1.0, 1.0, 1.0), [measurement(1.09)] * 2
    for suite, outcome in (
        (Suite(), Outcome.REGRESSED),
        (Suite(family=10**6), Outcome.INCONCLUSIVE),
        (Suite(prior=Prior(0.04, 8.0)), Outcome.INCONCLUSIVE),
    ):
        decision = decide(visits, known, H200, Policy(TOLERANCES, suite=suite))
        assert outcome_of(decision) is outcome


def test_only_what_this_machine_has_not_measured_is_new_on_it(tmp_path: Path) -> None:
    """Its own baseline is kept if its card has changed, and another machine's is no obstacle."""
    own = baselines(tmp_path, *EIGHT_RUNS).own
    policy = Policy(TOLERANCES, update="new")
    kept = decide([measurement(1.0)], KnownBaselines(own=own), A100, policy)
    assert isinstance(kept, Settled)
    assert not kept.accept
    for count in (1, 8):
        visits = [measurement(1.0)] * count
        new = decide(visits, KnownBaselines(elsewhere=own), A100, policy)
        assert isinstance(new, Again) is (count == 1)
        assert isinstance(new, Settled) is (count == 8)
        assert isinstance(new, Again) or new.accept


def test_a_recording_adds_to_the_runs_that_the_baseline_has(tmp_path: Path) -> None:
    """Seven and one are eight; a run of the same commit that it already has is none."""
    seven = EIGHT_RUNS[:7]
    known = baselines(tmp_path, *seven)
    policy = Policy(TOLERANCES, update="all", commit="c7")
    assert isinstance(decide([measurement(1.0)], known, H200, policy), Settled)
    again = Policy(TOLERANCES, update="all", commit="c6")
    assert isinstance(decide([measurement(seven[-1])], known, H200, again), Again)
    fixed = Policy(TOLERANCES, update="all", commit="c6", schedule=FIXED)
    assert isinstance(decide([measurement(seven[-1])], known, H200, fixed), Settled)


def test_the_budget_of_the_test_is_judged_by_what_was_measured(tmp_path: Path) -> None:
    """Beside the comparison: it fails without a rise, and with 1.1 J it would not."""
    known = baselines(tmp_path, *EIGHT_RUNS)
    for limit, outcome in ((0.9, Outcome.OVER_BUDGET), (1.1, Outcome.UNCHANGED)):
        policy = Policy(
            TOLERANCES,
            budgets={"energy_j": limit},
            failing=frozenset({"regressed", "over-budget"}),
        )
        decision = decide([measurement(1.0)], known, H200, policy)
        (budget,) = decision.result.verdict.budgets
        assert (budget.outcome is Outcome.OVER_BUDGET) is (limit < 1)
        assert outcome_of(decision) is outcome
        assert (budget.value, budget.limit) == (1.0, limit)


def undecided_of(folder: Path, visits: list[Measurement], policy: Policy) -> Undecided | None:
    """What the verdict says of what would decide it, beside eight accepted runs."""
    decision = decide(visits, baselines(folder, *EIGHT_RUNS), H200, policy)
    assert isinstance(decision, Settled)
    return decision.result.verdict.undecided


def test_the_limit_that_ended_an_open_verdict_is_the_one_that_was_reached(tmp_path: Path) -> None:
    """Visits come before time, which was not what ended it; the fixed protocol has its own name."""
    at_the_tolerance = measurement(1.0545)
    for number, (count, policy, expected) in enumerate(
        (
            (1, Policy(TOLERANCES, spent="time", allowed=500.0), ("time", 500.0)),
            (10, Policy(TOLERANCES, spent="time", allowed=500.0), ("visits", None)),
            (2, Policy(TOLERANCES, schedule=Schedule(visits=2)), ("visits", None)),
            (1, Policy(TOLERANCES, schedule=FIXED), ("protocol", None)),
        )
    ):
        found = undecided_of(tmp_path / str(number), [at_the_tolerance] * count, policy)
        assert found is not None
        assert (found.limit, found.allowed) == expected


@pytest.mark.parametrize(("tolerance", "value"), [(0.05, 1.04), (0.0, 1.015)])
@pytest.mark.parametrize("suite", [Suite(), Suite(prior=Prior(0.012, 8.0))])
def test_what_would_decide_follows_from_what_the_visits_took(
    tmp_path: Path, tolerance: float, value: float, suite: Suite
) -> None:
    """Their rounds' seconds and joules, by the visit; a round without joules has none to add."""
    rounds = [
        Round(start=0, duration_s=4, passes=10, energy_j=energy_j) for energy_j in (9.0, 11.0, None)
    ]
    visits = [measurement(value, rounds=rounds)] * 2
    policy = Policy({"energy_j": tolerance}, suite=suite, spent="time", allowed=5.0)
    found = undecided_of(tmp_path, visits, policy)
    own = baselines(tmp_path / "again", *EIGHT_RUNS).own
    assert own is not None
    further = further_visits(pool(visits), own, tolerance, ADAPTIVE, suite)
    assert further is not None
    assert found is not None
    assert (found.limit, found.allowed, found.visits) == ("time", 5.0, further)
    assert found.duration_s == pytest.approx(further * 12)
    assert found.energy_j == pytest.approx(further * 20)


def test_an_energy_that_does_not_gate_leaves_nothing_to_decide(tmp_path: Path) -> None:
    """Such as a test that is judged by its latency."""
    assert undecided_of(tmp_path, [measurement(1.05)], Policy({"latency_s": 0.05})) is None
