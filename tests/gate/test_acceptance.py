"""Which results become baselines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.gate.acceptance import (
    Acceptance,
    Collected,
    accept,
    acceptance_outcome,
    budget_refusal,
    drift_refusal,
    is_accepted,
    machine_of,
    orphans,
    refusal_reason,
    select_results,
)
from pytest_energy.gate.baseline_store import FACTS, BaselineStore
from pytest_energy.model.measurement import CONTROL_FILE, Quantity, Reason, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Budget, Difference, MetricVerdict, Verdict
from pytest_energy.settings import Update
from tests.gate_data import A100, H200, TEST, invalid, measurement, result, run_of, store_with

OTHER_CARD = Difference(name="identity.device", before="NVIDIA H100", after="NVIDIA H200")
OTHER_BATCH = Difference(name="workload.batch_size", before=1, after=8)


@pytest.mark.parametrize(
    ("differences", "has_own", "accepted"),
    [
        ([OTHER_CARD], False, True),
        ([OTHER_CARD], True, False),  # the same kind of card with another power limit, say
        ([OTHER_CARD, OTHER_BATCH], False, False),  # whether the change is meant is not known
    ],
)
def test_new_is_what_only_another_machine_has(
    differences: list[Difference], has_own: bool, accepted: bool
) -> None:
    """A machine's first run of a benchmark is new there, unless the benchmark changed as well."""
    verdict = Verdict(outcome=Outcome.INCOMPARABLE, differences=differences)
    assert is_accepted("new", verdict, measurement(), has_own=has_own) is accepted


@pytest.mark.parametrize("exact", [True, False])
def test_what_holds_neither_joules_nor_facts_is_not_accepted(exact: bool) -> None:
    """Without a meter only what was counted becomes a baseline, and counts as accepted."""
    found = {"flops": Quantity(value=8e9, unit="FLOP", exact=exact)}
    unmeasured = measurement(status="unmeasured", metrics=found)
    verdict = Verdict(outcome=Outcome.UNMEASURED)
    assert is_accepted("all", verdict, unmeasured, has_own=False) is exact


@pytest.mark.parametrize(("status", "accepted"), [("estimated", False), ("measured", True)])
def test_an_estimate_that_its_meter_cannot_resolve_is_never_accepted(
    status: str, accepted: bool
) -> None:
    """A model gives a number for any window; a sensor would have made it invalid."""
    short = Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="0.01 s of 0.1 s", fatal=False)
    found = measurement(status=status, reasons=[short])
    verdict = Verdict(outcome=Outcome.NEW)
    assert is_accepted("all", verdict, found, has_own=False) is accepted
    assert refusal_reason(found) == (None if accepted else "0.01 s of 0.1 s")


def test_a_run_made_elsewhere_is_chosen_by_the_same_rule(tmp_path) -> None:
    """``baseline accept --only new`` takes a second machine's results, but only once."""
    verdict = Verdict(outcome=Outcome.INCOMPARABLE, differences=[OTHER_CARD])
    one = result().model_copy(update={"verdict": verdict})
    assert select_results(run_of(one), store_with(tmp_path / "empty"), "new") == [one]
    assert select_results(run_of(one), store_with(tmp_path / "full", 1.0), "new") == []


@pytest.mark.parametrize("outcome", [Outcome.UNCHANGED, Outcome.INCOMPARABLE])
def test_what_is_incomparable_adds_up_to_no_drift(tmp_path, outcome: Outcome) -> None:
    """A run after another power limit, say, begins a level, however far it is from the last one."""
    one = result(200.0, outcome=outcome)
    refused = drift_refusal(one, store_with(tmp_path, 100.0), "nvidia-h200", 0.05, None)
    assert (refused is None) is (outcome is Outcome.INCOMPARABLE)


@pytest.mark.parametrize(
    ("outcome", "differences", "has_own", "expected"),
    [
        (Outcome.INCOMPARABLE, [OTHER_CARD], False, Outcome.NEW),
        (Outcome.INCOMPARABLE, [OTHER_CARD], True, Outcome.INCOMPARABLE),
        (Outcome.INCOMPARABLE, [OTHER_BATCH], False, Outcome.INCOMPARABLE),
        (Outcome.REGRESSED, [OTHER_CARD], False, Outcome.REGRESSED),
    ],
)
def test_only_another_machine_makes_it_new(
    outcome: Outcome, differences: list[Difference], has_own: bool, expected: Outcome
) -> None:
    """Its meter may be another as well; what was compared keeps its outcome."""
    meter = Difference(name="meter.source", before="counter", after="power")
    for more in ([], [meter]):
        verdict = Verdict(outcome=outcome, differences=[*differences, *more])
        assert acceptance_outcome(verdict, has_own=has_own) is expected


@pytest.mark.parametrize(
    ("update", "taken"),
    [
        ("none", set()),
        ("new", {Outcome.NEW}),
        ("improved", {Outcome.NEW, Outcome.IMPROVED}),
        ("all", set(Outcome) - {Outcome.INVALID, Outcome.OVER_BUDGET}),
    ],
)
def test_an_update_takes_the_outcomes_that_it_names(update: Update, taken: set[Outcome]) -> None:
    """Never those of a test that failed, nor of one over its budget."""
    failed = Reason(code=ReasonCode.TEST_FAILED, message="it failed", fatal=False)
    for outcome in Outcome:
        verdict = Verdict(outcome=outcome)
        assert is_accepted(update, verdict, measurement(), has_own=True) is (outcome in taken)
        spoilt = measurement(reasons=[failed])
        assert not is_accepted(update, verdict, spoilt, has_own=True)
        over = Verdict(outcome=outcome, budgets=[budget(Outcome.OVER_BUDGET)])
        assert not is_accepted(update, over, measurement(), has_own=True)


def budget(outcome: Outcome) -> Budget:
    """At most 0.9 J, beside 1.2345 J."""
    return Budget(metric="energy_j", outcome=outcome, limit=0.9, value=1.23456, unit="J/pass")


def test_a_refusal_names_the_budget_that_is_exceeded() -> None:
    """With its value, and where its limit is set; a budget that is kept refuses nothing."""
    kept, over = budget(Outcome.UNCHANGED), budget(Outcome.OVER_BUDGET)
    verdict = Verdict(outcome=Outcome.UNCHANGED, budgets=[kept])
    assert budget_refusal(verdict) is None
    assert budget_refusal(verdict.model_copy(update={"budgets": [kept, over]})) == (
        "over budget: energy_j 1.235 J/pass, at most 0.9 (max_joules in the marker of the test)"
    )


def test_a_refusal_names_every_reason() -> None:
    """Those that made it invalid, then the failure of the test; mild remarks are none."""
    used = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    reset = Reason(code=ReasonCode.COUNTER_RESET, message="the counter went back")
    mild = Reason(code=ReasonCode.NOTE, message="warm", fatal=False)
    failed = Reason(code=ReasonCode.TEST_FAILED, message="the test failed", fatal=False)
    spoilt = measurement(status="invalid", metrics={}, reasons=[used, mild, failed, reset])
    assert refusal_reason(spoilt) == (
        "process 7 used the GPU; the counter went back; the test failed"
    )
    assert refusal_reason(measurement(reasons=[failed])) == "the test failed"
    assert refusal_reason(measurement(status="invalid", metrics={})) == "invalid"
    assert refusal_reason(measurement(reasons=[mild])) is None


def test_results_are_accepted_for_the_machines_that_measured_them(tmp_path: Path) -> None:
    """With the commit of the run; what is refused names its benchmark and the reason."""
    store = BaselineStore(tmp_path)
    there = result(2.0, "t.py::test_there", identity=A100.identity)
    over = result(1.0, "t.py::test_over").model_copy(
        update={"verdict": Verdict(outcome=Outcome.NEW, budgets=[budget(Outcome.OVER_BUDGET)])}
    )
    odd = result(1.0, "t.py::test_odd")
    run = run_of(result(), there, over, odd, invalid("t.py::test_invalid"))
    refuses = {odd.id: "no reason"}.get
    found = accept(run, run.benchmarks, store, lambda each: refuses(each.id))
    assert machine_of(there, run) == "nvidia-a100"
    assert found == Acceptance(
        written=(
            store.path(TEST, "nvidia-h200"),
            store.path("t.py::test_there", "nvidia-a100"),
        ),
        refused=(
            f"t.py::test_over: {budget_refusal(over.verdict)}",
            "t.py::test_odd: no reason",
            "t.py::test_invalid: process 7 used the GPU",
        ),
    )
    accepted = BaselineStore(tmp_path).load(TEST, "nvidia-h200")
    assert accepted is not None
    assert [each.commit for each in accepted.accepted] == ["c0ffee"]
    assert accept(run, [odd], store).refused == ()


@pytest.mark.parametrize(
    ("update", "names"),
    [
        ("all", ["new", "rise", "over", "invalid"]),
        ("new", ["new"]),
        ("improved", ["new"]),
        ("none", []),
    ],
)
def test_all_selects_what_is_refused_as_well(
    tmp_path: Path, update: Update, names: list[str]
) -> None:
    """So that it can be said; other choices leave it out."""
    outcomes = {
        "new": Outcome.NEW,
        "rise": Outcome.REGRESSED,
        "over": Outcome.OVER_BUDGET,
        "invalid": Outcome.INVALID,
    }
    results = [result(1.0, f"t.py::{name}", outcome) for name, outcome in outcomes.items()]
    chosen = select_results(run_of(*results), BaselineStore(tmp_path), update)
    assert [each.id for each in chosen] == [f"t.py::{name}" for name in names]


def judged(energy_j: float, change: float | None = 0.02) -> MetricVerdict:
    """The verdict on an energy with a tolerance of 5 %."""
    return MetricVerdict(
        metric="energy_j",
        outcome=Outcome.UNCHANGED,
        value=energy_j,
        change=change,
        tolerance=0.05,
    )


@pytest.mark.parametrize(
    ("energy_j", "metrics", "refused"),
    [
        (1.06, [judged(1.06)], "+6.0 %"),
        (1.06, [judged(1.06, None)], "+6.0 %"),
        (1.06, [judged(1.06, 0.051)], None),
        (1.06, [judged(1.06, -0.051)], None),
        (1.06, [judged(1.06), judged(9, 0.9).model_copy(update={"metric": "x_s"})], "+6.0 %"),
        (1.049, [judged(1.049)], None),
        (0.9, [judged(0.9)], None),
    ],
)
def test_small_rises_that_add_up_are_refused(
    tmp_path: Path, energy_j: float, metrics: list[MetricVerdict], refused: str | None
) -> None:
    """A change of its own is seen by the user; the fall of many is welcome."""
    store = store_with(tmp_path, 1.0, 1.0, 1.02, 1.04)
    verdict = Verdict(outcome=Outcome.UNCHANGED, metrics=metrics)
    one = result(energy_j).model_copy(update={"verdict": verdict})
    found = drift_refusal(one, store, "nvidia-h200", 0.05, None)
    assert found == (
        refused
        and f"small accepted changes add up to {refused} over its accepted runs, tolerance 5 %"
    )
    tagged = drift_refusal(one, store, "nvidia-h200", 0.05, "v1")
    assert tagged == (
        refused and f"small accepted changes add up to {refused} since v1, tolerance 5 %"
    )


def test_without_a_baseline_or_joules_nothing_adds_up(tmp_path: Path) -> None:
    """A first run has nothing to drift from, and a spoilt one no joules."""
    store = store_with(tmp_path, 1.0)
    assert drift_refusal(result(2.0), store, "nvidia-a100", 0.05, None) is None
    unmeasured = result(2.0, status="unmeasured", metrics={})
    assert drift_refusal(unmeasured, store, "nvidia-h200", 0.05, None) is None


def collected(folder: Path, *asked: str, tests: tuple[str, ...] = ()) -> Collected:
    """A session collected ``a.py`` and ``d/b.py``, and read only ``a.py``."""
    for name in ("a.py", "d/b.py"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return Collected(folder, asked, frozenset({"a.py", "gone.py"}), frozenset(tests))


@pytest.mark.parametrize(
    ("asked", "included"),
    [
        ((), {"a.py::t", "a.py::t[x]", "a.py::t::w", "d/b.py::t"}),
        ((".",), {"a.py::t", "a.py::t[x]", "a.py::t::w", "d/b.py::t"}),
        (("a.py",), {"a.py::t", "a.py::t[x]", "a.py::t::w"}),
        (("a.py::t",), {"a.py::t", "a.py::t[x]", "a.py::t::w"}),
        (("a.py::t[x]",), {"a.py::t[x]"}),
        (("d", "a.py::t::w"), {"d/b.py::t", "a.py::t::w"}),
        (("a",), set()),
    ],
)
def test_an_id_is_asked_for_by_its_file_folder_or_beginning(
    tmp_path: Path, asked: tuple[str, ...], included: set[str]
) -> None:
    """A name that merely begins alike is another test, and the control's are never asked for."""
    found = collected(tmp_path, *asked)
    assert not found.was_asked_for(f"{CONTROL_FILE}::test_control")
    ids = ["a.py::t", "a.py::t[x]", "a.py::t::w", "d/b.py::t"]
    assert {test_id for test_id in ids if found.was_asked_for(test_id)} == included


def test_a_test_holds_its_windows(tmp_path: Path) -> None:
    """And no test whose name begins alike."""
    found = collected(tmp_path, tests=("a.py::t",))
    assert found.holds("a.py::t")
    assert found.holds("a.py::t::window")
    assert not found.holds("a.py::t2")
    assert not found.holds("a.py::t[x]")


def test_a_baseline_without_a_test_is_gone_or_was_not_read(tmp_path: Path) -> None:
    """Of a file that pytest skipped nothing is known; a file that is not there has no tests."""
    store = BaselineStore(tmp_path / "baselines")
    counted = {"flops": Quantity(value=8.0, unit="FLOP", exact=True)}
    for test_id in ("a.py::kept", "a.py::gone", "d/b.py::t::window", "removed.py::t"):
        metrics = {**measurement().metrics, **counted}
        store.save(measurement(test_id=test_id, metrics=metrics), H200, "nvidia-h200", None)
    found = orphans(store, collected(tmp_path, tests=("a.py::kept",)))
    for entries, ids in (
        (found.gone, ["a.py::gone", "removed.py::t"]),
        (found.unread, ["d/b.py::t::window"]),
    ):
        assert [(path, baseline.id) for path, baseline in entries] == [
            (store.path(test_id, slug), test_id)
            for slug in ("nvidia-h200", FACTS)
            for test_id in ids
        ]
    asked = orphans(store, collected(tmp_path, "d", tests=("a.py::kept",)))
    assert (len(asked.gone), len(asked.unread)) == (0, 2)
