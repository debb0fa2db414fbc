"""Which results become baselines."""

from __future__ import annotations

import pytest

from pytest_energy.gate.acceptance import (
    drift_refusal,
    is_accepted,
    refusal_reason,
    select_results,
)
from pytest_energy.model.measurement import Quantity, Reason, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, Verdict
from tests.gate_data import measurement, result, run_of, store_with

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
