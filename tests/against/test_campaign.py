"""What blocks cost, by the clock and the counters of the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from pytest_energy.against import campaign as module
from pytest_energy.against.blocks import Pair, Paired
from pytest_energy.against.campaign import Campaign
from pytest_energy.against.comparing import Comparing, Rules
from pytest_energy.against.contest import Cost
from pytest_energy.against.messages import SideRun
from pytest_energy.against.trees import Reference
from pytest_energy.settings import Settings

SHARED_S, POWER_W = 10.0, 100.0
TESTS_S = {"t.py::a": 5.0, "t.py::b": 25.0}
NOTHING = Paired("base", SideRun(outcome="passed"), SideRun(outcome="skipped"))


def plan() -> object:
    """Enough of a side that never starts."""
    return SimpleNamespace()


@pytest.mark.parametrize("counts", [True, False])
def test_a_test_has_its_own_cost_and_the_rest_of_a_block_is_shared(
    monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    """Warm-ups belong to the test, starts of processes to the block."""
    now_s = 1000.0

    def walk(
        pair: Pair,
        tests: Sequence[str],
        whole_runs: set[str],
        draw: Random,
        take: Callable[[str, Paired], None],
        watch: Callable[[str], None],
    ) -> None:
        nonlocal now_s
        now_s += SHARED_S if tests else 0.0
        for test in tests:
            watch(test)
            now_s += TESTS_S[test]
            take(test, NOTHING)

    monkeypatch.setattr(module, "walk", walk)
    reference = Reference("main", Path("/project"), "1a2b3c4d5e6f")
    rules = Rules(reference, 1, lambda benchmark: {"energy_j": 0.05}, ("regressed",), 24)
    comparing = Comparing(TESTS_S, rules)
    campaign = Campaign(
        Settings(),
        Pair(plan(), plan()),  # type: ignore[arg-type]
        comparing,
        Random(1),
        began_s=900.0,
        clock=lambda: now_s,
        spent_j=lambda: POWER_W * now_s if counts else None,
    )
    campaign.next_block()
    assert comparing.shared == _cost(SHARED_S, counts)
    assert {test: state.cost for test, state in comparing.states.items()} == {
        test: _cost(duration_s, counts) for test, duration_s in TESTS_S.items()
    }
    assert comparing.spent_s == 140.0


def _cost(duration_s: float, counts: bool) -> Cost:
    return Cost(duration_s, POWER_W * duration_s if counts else None)
