"""What blocks come to: decisions on measurements made by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.against.blocks import Paired
from pytest_energy.against.comparing import Comparing, Last, Rules
from pytest_energy.against.contest import NO_COST, Cost
from pytest_energy.against.messages import SideRun
from pytest_energy.against.side import SideFailedError
from pytest_energy.against.trees import Reference
from pytest_energy.against.verdicts import differences
from pytest_energy.model.measurement import Measurement, Quantity, Reason, ReasonCode, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Verdict
from pytest_energy.report.numbers import rounded_up
from pytest_energy.report.sentences import retries, undecided
from pytest_energy.report.text.markdown import render_markdown
from pytest_energy.uncertainty.pairs import LOOKS
from tests.gate_data import run_of

MAIN = Reference("main", Path("/project"), "1a2b3c4d5e6f")


def measured(
    joules: Sequence[float | None], id: str = "t.py::test", seconds: float = 1.0, **changes: Any
) -> Measurement:
    """A measurement with one round for each energy."""
    rounds = [Round(start=0.0, duration_s=seconds, passes=1, energy_j=energy) for energy in joules]
    metrics = {"latency_s": Quantity(value=seconds, unit="s/call")}
    if joules[0] is not None:
        mean = sum(energy or 0.0 for energy in joules) / len(joules)
        metrics["energy_j"] = Quantity(value=mean, unit="J/call", uncertainty=0.01)
    values: dict[str, Any] = {"status": "measured", "metrics": metrics, **changes}
    return Measurement(id=id, kind="call", workload={"n": 1}, rounds=rounds, **values)


def passed(*measurements: Measurement) -> SideRun:
    """A test that passed on one side."""
    return SideRun(outcome="passed", measurements=measurements)


def paired(base: Measurement, head: Measurement) -> Paired:
    """A test that passed on both sides."""
    return Paired("base", passed(base), passed(head))


def comparing(
    *tests: str,
    reference: Reference = MAIN,
    most_blocks: int = 24,
    most_s: float | None = None,
    tolerances: dict[str, float] | None = None,
    failing: tuple[str, ...] = ("regressed",),
    budgets: dict[str, float] | None = None,
) -> Comparing:
    """A comparison of these tests."""
    accepted = tolerances or {"energy_j": 0.05}
    limits = budgets or {}
    rules = Rules(
        reference,
        1,
        lambda benchmark: accepted,
        failing,
        most_blocks,
        most_s,
        budgets=lambda benchmark: limits,
    )
    return Comparing(tests or ("t.py::test",), rules)


def blocks(
    state: Comparing, *ratios: float, test: str = "t.py::test", cost: Cost = NO_COST
) -> list[Result]:
    """Measure a block for each ratio of head to base; return what they settle."""
    settled = []
    for ratio in ratios:
        state.block += 1
        state.take(test, paired(measured([1.0], test), measured([ratio], test)), cost)
        settled += state.look()
    return settled


def test_a_median_withstands_an_outlier() -> None:
    """One round of three that is far off changes nothing."""
    before, after = measured([1.0, 1.0, 9.0]), measured([1.1, 1.1, 0.1])
    assert differences(before, after)["energy_j"] == pytest.approx(math.log(1.1))


def test_a_round_without_joules_tells_of_time_only() -> None:
    """What is missing is no zero."""
    found = differences(measured([None]), measured([None], seconds=1.1))
    assert found == {"latency_s": pytest.approx(math.log(1.1))}


SPEEDS = (1.0, 1.0, 1.6, 1.6, 1.0, 1.3, 1.3, 1.3, 1.0)
"""Of a processor that others use, slice by slice."""


def sliced(seconds: float, speeds: Sequence[float] = SPEEDS) -> Measurement:
    """A measurement by time alone whose rounds lasted as long as the machine was slow."""
    rounds = [
        Round(start=start, duration_s=seconds * speed, passes=2, energy_j=None)
        for start, speed in enumerate(speeds)
    ]
    metrics = {"latency_s": Quantity(value=seconds, unit="s/call")}
    return measured([None], status="unmeasured").model_copy(
        update={"rounds": rounds, "metrics": metrics}
    )


def test_by_time_alone_neighbours_are_compared() -> None:
    """The machine's speed cancels, and a slice that was interrupted changes nothing."""
    late = [*SPEEDS[:-1], 40.0]
    found = differences(sliced(1.0), sliced(1.1, late))
    assert found == {"latency_s": pytest.approx(math.log(1.1))}


def test_by_time_alone_few_long_rounds_are_kept() -> None:
    """They hold all the seconds and passes of the slices, and the change is that of the slices."""
    state = comparing(tolerances={"latency_s": 0.05})
    for _ in range(2):
        state.block += 1
        state.take("t.py::test", paired(sliced(1.0), sliced(1.01)))
        state.look()
    (result,) = state.final()
    assert result.verdict.outcome == "unchanged"
    assert [metric.metric for metric in result.verdict.metrics] == ["latency_s"]
    assert result.verdict.metrics[0].change == pytest.approx(0.01)
    assert result.comparison is not None
    block = result.comparison.blocks[0]
    assert [done.passes for done in block.head] == [6, 6, 6]
    assert sum(done.duration_s for done in block.base) == pytest.approx(sum(SPEEDS))
    assert len(result.rounds) == 6


def test_missing_joules_decide_where_a_tolerance_asks_for_them() -> None:
    """Whoever gates on the energy must not get a pass by the time."""
    state = comparing(tolerances={"energy_j": 0.05, "latency_s": 0.05})
    for _ in range(2):
        state.block += 1
        state.take("t.py::test", paired(sliced(1.0), sliced(1.0)))
        state.look()
    assert state.final()[0].verdict.outcome == "unmeasured"


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_sides_that_change_places_change_the_sign(before: float, after: float) -> None:
    """The difference of head and base is that of base and head, negated."""
    one, other = measured([before]), measured([after])
    there, back = differences(one, other)["energy_j"], differences(other, one)["energy_j"]
    assert there == pytest.approx(-back)


def test_unchanged_is_known_after_two_blocks() -> None:
    """The test then leaves the later blocks."""
    state = comparing()
    (result,) = blocks(state, 1.001, 1.002)
    assert result.verdict.outcome == "unchanged"
    assert state.open_tests == []


def test_a_rise_fails_after_four_blocks_and_not_before() -> None:
    """However clear it is."""
    state = comparing()
    assert blocks(state, 1.10, 1.101, 1.099) == []
    (result,) = blocks(state, 1.10)
    assert result.verdict.outcome == "regressed"
    assert result.verdict.fails
    assert result.comparison is not None
    assert [block.number for block in result.comparison.blocks] == [1, 2, 3, 4]
    assert result.comparison.label == "main (1a2b3c4d5)"
    assert len(result.rounds) == 4


def test_the_policy_decides_what_fails() -> None:
    """As for baselines."""
    assert not blocks(comparing(failing=()), 1.10, 1.101, 1.099, 1.10)[0].verdict.fails
    state = comparing(failing=("inconclusive",), most_blocks=4)
    (result,) = blocks(state, 0.8, 1.2, 0.9, 1.1)
    assert result.verdict.outcome == "inconclusive"
    assert result.verdict.fails


def test_a_limit_is_named_where_nothing_was_decided() -> None:
    """A single block tells nothing else."""
    state = comparing(most_s=9.0)
    blocks(state, 0.8)
    (result,) = state.look(last="comparison-time")
    assert result.verdict.outcome == "inconclusive"
    assert undecided(result) == (
        "stopped by the limit of time (--energy-against-time); a single block does not tell how"
        " many would decide"
    )


def test_an_undecided_comparison_knows_what_would_decide_it() -> None:
    """The next look that decides if change and scatter stay: no earlier one does."""
    state = comparing(most_s=9.0)
    blocks(state, 1.02, 1.06, 1.02)
    (result,) = state.look(last="comparison-time")
    record = result.verdict.undecided
    assert record is not None
    assert record.blocks is not None
    assert (record.limit, record.allowed, record.needed_blocks) == ("comparison-time", 9.0, None)
    # The blocks so far once more, as often as it says, decide it; one look less does not.
    ratios = (1.02, 1.06, 1.02) * 8
    before = max(count for count in LOOKS if count < 3 + record.blocks)
    assert blocks(comparing(), *ratios[:before]) == []
    settled = blocks(comparing(), *ratios[: 3 + record.blocks])
    assert [one.verdict.outcome for one in settled] == ["unchanged"]


def test_the_cost_of_further_blocks_has_starts_and_warm_ups() -> None:
    """What the benchmark takes in a block, and what all of its block share."""
    state = comparing(most_s=9.0)
    state.shared, state.spent_s = Cost(10.0, 500.0), 70.0
    blocks(state, 1.02, 1.06, 1.02, cost=Cost(5.0, 900.0))
    (result,) = state.look(last="comparison-time")
    record = result.verdict.undecided
    assert record is not None
    assert record.blocks is not None
    cost = (record.duration_s, record.energy_j, record.shared_s)
    assert cost == (15.0 * record.blocks, 1400.0 * record.blocks, 10.0 * record.blocks)
    needed = f"would decide: --energy-against-time={rounded_up(70 + 15 * record.blocks)}"
    assert (undecided(result) or "").endswith(needed)


def test_joules_that_no_counter_tells_are_those_of_the_rounds_power() -> None:
    """Over the whole time; the starts of processes take less."""
    state = comparing()
    blocks(state, 1.02, 1.06, 1.02, cost=Cost(5.0, None))
    (result,) = state.look(last="blocks")
    record = result.verdict.undecided
    assert record is not None
    assert record.energy_j == pytest.approx((record.duration_s or 0.0) * 2.033 / 2, rel=1e-3)


def test_joules_are_never_fewer_than_those_of_the_rounds() -> None:
    """A meter that counts for its own process only has not seen the sides."""
    state = comparing()
    blocks(state, 1.02, 1.06, 1.02, cost=Cost(5.0, 0.0))
    (result,) = state.look(last="blocks")
    record = result.verdict.undecided
    assert record is not None
    assert record.energy_j == pytest.approx(2.033 * (record.blocks or 0), rel=1e-3)


def test_one_command_decides_all_undecided_comparisons() -> None:
    """A block starts its processes once for all of them; the longest takes the most blocks."""
    state = comparing("t.py::a", "t.py::b", "t.py::c", most_blocks=4, most_s=100.0)
    state.shared, state.spent_s = Cost(10.0), 60.0
    scattered = {"t.py::a": 1.02, "t.py::b": 1.03, "t.py::c": 1.0}
    for sign in (1, -1, 1, -1):
        state.block += 1
        for test, ratio in scattered.items():
            scatter = 0.04 if test != "t.py::c" else 0.001
            head = measured([ratio + sign * scatter], test)
            state.take(test, paired(measured([1.0], test), head), Cost(5.0))
        state.look(last="blocks" if state.block == 4 else None)
    results = state.final()
    records = {result.id: result.verdict.undecided for result in results}
    assert records["t.py::c"] is None
    one, other = records["t.py::a"], records["t.py::b"]
    assert one is not None
    assert other is not None
    most, fewest = max(one.blocks or 0, other.blocks or 0), min(one.blocks or 0, other.blocks or 0)
    assert 0 < fewest < most
    needed_s = 60 + 10 * most + 5 * (most + fewest)
    assert retries(run_of(*results)) == (
        "to decide 2 benchmarks by further blocks: pytest t.py::a t.py::b --energy"
        f" --energy-against=main --energy-against-blocks={4 + most}"
        f" --energy-against-time={rounded_up(needed_s)}"
    )


def test_an_undecided_comparison_names_the_option_that_would_decide_it() -> None:
    """More blocks where their number was the limit, or longer rounds."""
    scattered, close = (1.02, 1.06, 1.02, 1.06), (1.04, 1.06, 1.04, 1.06)
    (short,) = blocks(comparing(most_blocks=4), *scattered)
    assert re.fullmatch(
        r"stopped by the limit of blocks \(--energy-against-blocks\); about \d+ more blocks"
        r" \(\S+ s, \S+ J\) would decide: --energy-against-blocks=\d+",
        undecided(short) or "",
    )
    (never,) = blocks(comparing(most_blocks=4), *close)
    assert "no number of blocks up to 96 would decide" in (undecided(never) or "")
    assert "no number of blocks up to 96 would decide" in render_markdown(run_of(never))


def test_a_limit_of_blocks_above_the_usual_one_is_used() -> None:
    """It has looks of its own, and what it says of further blocks counts on them."""
    ratios = (0.87, 1.15) * 12
    (short,) = blocks(comparing(), *ratios)
    record = short.verdict.undecided
    assert record is not None
    assert record.needed_blocks is not None
    assert record.needed_blocks > 24
    longer = (ratios * 3)[: record.needed_blocks]
    (result,) = blocks(comparing(most_blocks=record.needed_blocks), *longer)
    assert result.verdict.outcome == "unchanged"


def test_an_interruption_says_what_is_missing() -> None:
    """It is no limit that an option sets."""
    state = comparing()
    blocks(state, 1.02, 1.06, 1.02)
    (result,) = state.look(last="interruption")
    assert (undecided(result) or "").endswith("would decide: compare again")


RESTLESS = (1.05, 0.96, 1.05, 0.96, 1.05, 0.96, 1.0)
"""Decided by all seven, not by fewer."""


@pytest.mark.parametrize("most_blocks", [7, 24])
def test_whatever_ends_a_comparison_the_last_block_is_looked_at(most_blocks: int) -> None:
    """Also where the limits end it between two planned looks."""
    state = comparing(most_blocks=most_blocks)
    assert blocks(state, *RESTLESS[:6]) == []
    blocks_left = paired(measured([1.0]), measured([RESTLESS[-1]]))
    state.block += 1
    state.take("t.py::test", blocks_left)
    (result,) = state.look(last="blocks" if most_blocks == 7 else "comparison-time")
    assert result.verdict.outcome == "unchanged"


def test_an_interruption_is_no_look() -> None:
    """Whoever interrupts may have seen the blocks, so it would be one too many."""
    state = comparing()
    blocks(state, *RESTLESS)
    (result,) = state.look(last="interruption")
    assert result.verdict.outcome == "inconclusive"


def test_a_benchmark_that_lost_a_block_has_its_last_look() -> None:
    """At the limit it has one block fewer than the others, between two planned looks."""
    state = comparing(most_blocks=8)
    state.block += 1
    bad = Reason(code=ReasonCode.CONTENDED, message="")
    spoilt = measured([1.0], status="invalid", reasons=[bad])
    state.take("t.py::test", paired(spoilt, spoilt))
    assert blocks(state, *RESTLESS) == []
    (result,) = state.look(last="blocks")
    assert result.verdict.outcome == "unchanged"


def test_time_alone_can_be_compared() -> None:
    """Without a meter, a tolerance for the latency gates."""
    state = comparing(tolerances={"energy_j": 0.05, "latency_s": 0.05})
    head = measured([None], seconds=1.1, status="unmeasured")
    for _ in range(4):
        state.block += 1
        state.take("t.py::test", paired(measured([None], status="unmeasured"), head))
        settled = state.look()
    assert settled[0].verdict.outcome == "regressed"


def test_a_metric_of_which_more_is_better_falls_badly() -> None:
    """A lower accuracy is a regression."""
    state = comparing(tolerances={"accuracy": 0.05})
    fine, poor = (Quantity(value=value, unit="1") for value in (0.9, 0.8))
    for _ in range(4):
        state.block += 1
        base, head = measured([1.0]), measured([1.0])
        base = base.model_copy(update={"metrics": {**base.metrics, "accuracy": fine}})
        head = head.model_copy(update={"metrics": {**head.metrics, "accuracy": poor}})
        state.take("t.py::test", paired(base, head))
        settled = state.look()
    assert settled[0].verdict.outcome == "regressed"


def test_exact_metrics_are_compared_by_value() -> None:
    """One parameter more is a regression, without any scatter."""
    state = comparing()
    for _ in range(2):
        state.block += 1
        sides = []
        for count in (100, 101):
            one = measured([1.0])
            params = Quantity(value=count, unit="parameters", exact=True)
            sides.append(one.model_copy(update={"metrics": {**one.metrics, "params": params}}))
        state.take("t.py::test", paired(*sides))
        settled = state.look()
    assert settled[0].verdict.outcome == "regressed"


def test_another_workload_is_incomparable() -> None:
    """Two things are not compared because they have one name."""
    state = comparing()
    for _ in range(2):
        state.block += 1
        head = measured([1.0]).model_copy(update={"workload": {"n": 2}})
        state.take("t.py::test", paired(measured([1.0]), head))
        settled = state.look()
    assert settled[0].verdict.outcome == "incomparable"
    assert settled[0].verdict.differences[0].name == "workload.n"


def test_spoilt_blocks_are_left_out_and_counted() -> None:
    """A benchmark without any valid block is given up, with the reason and its side."""
    state = comparing()
    reason = Reason(code=ReasonCode.THROTTLED, message="throttled for 40 %")
    spoilt = measured([1.0], status="invalid", reasons=[reason])
    state.block = 1
    state.take("t.py::test", paired(spoilt, measured([1.0])))
    (result,) = blocks(state, 1.0, 1.001)
    assert result.comparison is not None
    assert (result.verdict.outcome, result.comparison.spoilt) == ("unchanged", 1)
    state = comparing()
    for _ in range(3):
        state.block += 1
        state.take("t.py::test", paired(spoilt, measured([1.0])))
        settled = state.look()
    assert settled[0].verdict.outcome == "invalid"
    assert "base side: throttled for 40 %" in [one.message for one in settled[0].reasons]


@pytest.mark.parametrize(("side", "fails"), [("head", True), ("base", False)])
def test_a_crash_is_told_and_ends_the_test(side: Any, fails: bool) -> None:
    """A crash of the head fails the test; one of the base is an invalid result."""
    state = comparing()
    state.take("t.py::test", SideFailedError(side, "crashed: it ended with status 3"))
    (result,) = state.final()
    assert result.verdict.outcome == "invalid"
    assert result.verdict.fails is fails
    assert "status 3" in result.reasons[0].message
    assert state.open_tests == []


def test_a_test_that_the_base_cannot_run_is_new() -> None:
    """With the reason."""
    state = comparing()
    base = SideRun(outcome="failed", error="ImportError: no engine")
    state.take("t.py::test", Paired("base", base, passed(measured([1.0]))))
    (result,) = state.final()
    assert result.verdict.outcome == "new"
    assert result.verdict.notes == ["does not run on main (1a2b3c4d5): ImportError: no engine"]


def test_a_failure_of_the_head_is_that_of_the_test() -> None:
    """Nothing is compared then."""
    state = comparing()
    head = SideRun(outcome="failed", text="assert 1 == 2", error="assert 1 == 2")
    state.take("t.py::test", Paired("base", passed(measured([1.0])), head))
    assert state.states["t.py::test"].failure == "assert 1 == 2"
    assert state.states["t.py::test"].error == "assert 1 == 2"
    assert state.final() == []


def test_a_control_that_moves_withdraws_every_verdict() -> None:
    """Also one that was settled before."""
    state = comparing()
    (result,) = blocks(state, 1.0, 1.001)
    assert result.verdict.outcome == "unchanged"
    for _ in range(4):
        state.take_control(paired(measured([1.0]), measured([1.2])), "t.py::test")
        state.look()
    assert state.controls.moved == ["t.py::test"]
    (final,) = state.final()
    assert final.verdict.outcome == "inconclusive"
    assert "moved, measured base against base" in final.verdict.notes[0]
    assert final.comparison is not None
    assert final.comparison.control is not None
    assert final.comparison.control.outcome == "regressed"
    assert len(final.comparison.control.blocks) == 4


def test_a_withdrawn_verdict_proposes_no_further_blocks() -> None:
    """More of them would prove nothing either: the machine is not steady."""
    state = comparing(most_blocks=4)
    for _ in range(4):
        state.take_control(paired(measured([1.0]), measured([1.2])), "t.py::test")
    (undecided_before,) = blocks(state, 1.02, 1.06, 1.02, 1.06)
    assert undecided_before.verdict.undecided is not None
    (final,) = state.final()
    assert final.verdict.undecided is None


def on_two_cards() -> tuple[Comparing, Comparing]:
    """A comparison with one test on each of two cards."""
    first, second = comparing("t.py::a"), comparing("t.py::b")
    first.cards = second.cards = (first, second)
    return first, second


def test_a_card_that_moves_withdraws_its_own_verdicts_only() -> None:
    """The results of the other card stand, and the run as a whole names both controls."""
    moving, steady = on_two_cards()
    for card, test, again in ((moving, "t.py::a", 1.2), (steady, "t.py::b", 1.0)):
        blocks(card, 1.10, 1.101, 1.099, 1.10, test=test)
        for _ in range(4):
            card.take_control(paired(measured([1.0], test), measured([again], test)), test)
            card.look()
    assert [card.final()[0].verdict.outcome for card in (moving, steady)] == [
        "inconclusive",
        "regressed",
    ]
    assert "its card changed" in moving.final()[0].verdict.notes[0]
    assert moving.describe().controls == {"t.py::a": "regressed", "t.py::b": "unchanged"}


def test_a_control_of_every_card_is_named_with_its_card() -> None:
    """The plugin's own control has one id on all cards."""
    for_both = on_two_cards()
    for card in for_both:
        card.block = 1
        card.take_control(paired(measured([1.0], "c.py::c"), measured([1.0], "c.py::c")), "c.py::c")
        card.look(last="blocks")
    assert for_both[0].describe().controls.keys() == {"c.py::c", "c.py::c (card 1)"}


def test_cards_share_the_permitted_error_and_the_scatter() -> None:
    """Two cards with a benchmark each are as strict as one card with both."""
    first, second = on_two_cards()
    assert first.family == 2, "the other card's test counts before its first block"
    together = comparing("t.py::a", "t.py::b")
    for ratio, other in ((1.00, 1.02), (1.01, 1.00), (1.03, 0.99), (1.00, 1.01)):
        blocks(second, other, test="t.py::b")
        blocks(first, ratio, test="t.py::a")
        together.block += 1
        for test, value in (("t.py::a", ratio), ("t.py::b", other)):
            together.take(test, paired(measured([1.0], test), measured([value], test)))
        together.look()
    assert first.family == second.family == together.family == 2
    alone, shared = (card.final()[0].verdict.metrics for card in (together, first))
    assert alone == shared


def control(state: Comparing, base: SideRun, head: SideRun, *, last: Last | None = None) -> None:
    """Measure a block of the control, and look."""
    state.block += 1
    state.take_control(Paired("base", base, head), "t.py::test")
    state.look(last=last)


def test_an_undecided_control_is_told_and_withdraws_nothing() -> None:
    """Nothing shows that the machine moved, and nothing that it was steady."""
    state = comparing()
    blocks(state, 1.10, 1.101, 1.099, 1.10)
    steady, wild = passed(measured([1.0])), passed(measured([1.5]))
    control(state, steady, wild)
    control(state, wild, steady, last="comparison-time")
    assert state.describe().controls == {"t.py::test": "inconclusive"}
    assert "No control could vouch for the machine" in state.describe().notes[0]
    assert state.final()[0].verdict.outcome == "regressed"


def test_an_invalid_control_does_not_vouch() -> None:
    """A control without a valid block is no calm one."""
    state = comparing()
    blocks(state, 1.0, 1.001)
    reason = Reason(code=ReasonCode.THROTTLED, message="throttled for 40 %")
    spoilt = passed(measured([1.0], status="invalid", reasons=[reason]))
    control(state, spoilt, spoilt)
    assert state.open_control_tests == ["t.py::test"]
    assert state.describe().notes == []
    for _ in range(2):
        control(state, spoilt, spoilt)
    assert state.describe().controls == {"t.py::test": "invalid"}
    assert "No control could vouch" in state.describe().notes[0]


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (SideFailedError("head", "crashed: it ended with status 3"), "ended with status 3"),
        (
            Paired("base", passed(measured([1.0])), SideRun(outcome="failed", error="OSError: no")),
            "OSError: no",
        ),
        (Paired("base", SideRun(outcome="skipped", text="no card"), passed()), "no card"),
        (Paired("base", passed(), passed()), "it measured nothing"),
    ],
)
def test_a_lost_control_is_told(done: Any, why: str) -> None:
    """With the reason; it is not measured again, and vouches for nothing."""
    state = comparing()
    control(state, passed(measured([1.0])), passed(measured([1.0])))
    state.take_control(done, "t.py::test")
    state.look()
    assert state.open_control_tests == []
    notes = state.describe().notes
    assert any(note.startswith("The control t.py::test was lost: ") for note in notes)
    assert any(why in note for note in notes)
    assert any("No control could vouch" in note for note in notes)


def test_a_control_without_a_gated_metric_ends_at_once() -> None:
    """It would never be decided, and the session would go on for nothing."""
    state = comparing()
    blind = passed(measured([None], status="unmeasured"))
    control(state, blind, blind)
    assert state.describe().controls == {"t.py::test": "unmeasured"}
    assert state.open_control_tests == []


def screened(state: Comparing, **outcomes: str) -> list[Result]:
    """Let the committed baselines come to these outcomes, by the name of the test."""
    for test in outcomes:
        state.take_screening(f"t.py::{test}", passed(measured([1.0], f"t.py::{test}")))

    def judge(found: Measurement) -> Result:
        outcome = Outcome(outcomes[found.id.partition("::")[2].partition("::")[0]])
        return Result.of(found, Verdict(outcome=outcome))

    return state.screen(judge)


def test_baselines_decide_what_they_call_unchanged_and_nothing_else() -> None:
    """Whatever else they say, the other revision has the last word."""
    others = ("regressed", "inconclusive", "new", "incomparable", "improved", "invalid")
    state = comparing("t.py::unchanged", *(f"t.py::{name}" for name in others))
    found = screened(state, unchanged="unchanged", **{name: name for name in others})
    assert len(found) == 7
    assert state.open_tests == [f"t.py::{name}" for name in others]
    (result,) = state.final()
    assert (result.id, result.verdict.outcome) == ("t.py::unchanged", "unchanged")
    assert "committed baseline, not with main (1a2b3c4d5)" in result.verdict.notes[0]
    assert state.describe().screened["t.py::improved"] == "improved"
    assert "1 of 7 unchanged" in state.describe().notes[0]


def test_the_verdict_against_the_revision_replaces_that_of_the_baseline() -> None:
    """A rise that the baseline saw is none if the other revision has it, too."""
    state = comparing()
    assert screened(state, test="regressed")[0].verdict.outcome == "regressed"
    blocks(state, 1.0, 1.001)
    (result,) = state.final()
    assert result.verdict.outcome == "unchanged"
    assert result.comparison is not None
    assert not any("committed baseline" in note for note in result.verdict.notes)


def test_a_test_with_one_open_window_is_measured_as_a_whole() -> None:
    """Its windows are measured together."""
    state = comparing("t.py::test")
    windows = [measured([1.0], f"t.py::test::{name}") for name in ("fill", "drain")]
    state.take_screening("t.py::test", passed(*windows))
    outcomes = {"fill": Outcome.UNCHANGED, "drain": Outcome.INCONCLUSIVE}
    state.screen(
        lambda found: Result.of(found, Verdict(outcome=outcomes[found.id.rpartition("::")[2]]))
    )
    assert state.open_tests == ["t.py::test"]
    assert "0 of 2 unchanged" in state.describe().notes[0]


def test_a_failure_on_the_head_needs_no_second_stage() -> None:
    """A failure, a skip and a crash end the test as they do without baselines."""
    state = comparing("t.py::a", "t.py::b", "t.py::c")
    state.take_screening("t.py::a", SideRun(outcome="failed", text="assert 1 == 2"))
    state.take_screening("t.py::b", SideRun(outcome="skipped", text="no card"))
    state.take_screening("t.py::c", SideFailedError("head", "crashed: it ended with status 3"))
    assert state.open_tests == []
    assert state.states["t.py::a"].failure == "assert 1 == 2"
    assert state.states["t.py::b"].skipped == "no card"
    (result,) = state.final()
    assert (result.id, result.verdict.fails) == ("t.py::c", True)


def shifted(state: Comparing, number: int, shift: float) -> None:
    """Screen some tests whose baselines are all off by the same share, and unchanged without it."""
    names = [f"t.py::t{index}" for index in range(number)]
    for name in names:
        state.take_screening(name, passed(measured([1.0], name)))
    change = MetricVerdict(
        metric="energy_j",
        outcome=Outcome.UNCHANGED,
        change=0.001,
        low=-0.01,
        high=0.01,
        tolerance=0.05,
        suite_shift=shift,
    )
    verdict = Verdict(outcome=Outcome.UNCHANGED, metrics=[change])
    state.screen(lambda found: Result.of(found, verdict))


@pytest.mark.parametrize(("shift", "left"), [(0.02, 0), (0.08, 20), (-0.08, 20)])
def test_a_suite_that_shifted_too_far_is_measured_against_the_revision(
    shift: float, left: int
) -> None:
    """The baselines cannot tell a machine that moved from a change that hits everything."""
    state = comparing(*(f"t.py::t{index}" for index in range(20)))
    shifted(state, 20, shift)
    assert len(state.open_tests) == left
    assert any("whole suite shifted" in note for note in state.describe().notes) is bool(left)


def test_controls_are_drawn_from_all_tests_while_anything_is_compared() -> None:
    """Also from those that the baselines decided; where they decided all there is no control."""
    names = [f"t{number}" for number in range(20)]
    state = comparing(*(f"t.py::{name}" for name in names))
    screened(state, **dict.fromkeys(names, "unchanged"))
    assert state.choose_controls(Random(1)) == []
    state = comparing(*(f"t.py::{name}" for name in [*names, "open"]))
    screened(state, **dict.fromkeys(names, "unchanged"))
    blocks(state, 1.0, test="t.py::open")
    assert len(state.choose_controls(Random(1))) == 3


def test_a_control_that_moves_withdraws_screened_verdicts_as_well() -> None:
    """They were measured on the same machine in the same hour."""
    state = comparing("t.py::a", "t.py::test")
    change = MetricVerdict(
        metric="energy_j",
        outcome=Outcome.UNCHANGED,
        change=0.0,
        low=-0.01,
        high=0.01,
        tolerance=0.05,
    )
    state.take_screening("t.py::a", passed(measured([1.0], "t.py::a")))
    state.screen(
        lambda found: Result.of(found, Verdict(outcome=Outcome.UNCHANGED, metrics=[change]))
    )
    blocks(state, 1.0, 1.001)
    for _ in range(4):
        control(state, passed(measured([1.0])), passed(measured([1.2])))
    assert {result.verdict.outcome for result in state.final()} == {"inconclusive"}


def test_a_session_in_which_nothing_runs_on_both_sides_says_so() -> None:
    """All benchmarks are new then, which by itself fails nothing."""
    state = comparing()
    state.block = 1
    base = SideRun(outcome="skipped", text="Skipped: no engine")
    state.take("t.py::test", Paired("base", base, passed(measured([1.0]))))
    state.look()
    assert state.final()[0].verdict.notes == [
        "does not run on main (1a2b3c4d5): Skipped: no engine"
    ]
    assert state.describe().notes == [
        "Nothing was compared: no test ran both here and on main (1a2b3c4d5)"
    ]


def test_a_calm_control_changes_nothing() -> None:
    """It is kept beside the benchmark."""
    state = comparing()
    blocks(state, 1.0, 1.001)
    for _ in range(2):
        state.take_control(paired(measured([1.0]), measured([1.0])), "t.py::test")
        state.look()
    assert state.open_controls == set()
    assert state.final()[0].verdict.outcome == "unchanged"


@pytest.mark.parametrize(("number", "controls"), [(1, 1), (10, 1), (11, 2), (200, 5)])
def test_one_test_in_ten_is_a_control(number: int, controls: int) -> None:
    """At least one and at most five; none where both sides are the same tree."""
    tests = [f"t.py::test_{index}" for index in range(number)]
    for reference, expected in ((MAIN, controls), (Reference("self", Path("/p"), None), 0)):
        state = comparing(*tests, reference=reference)
        for test in tests:
            state.take(test, paired(measured([1.0], test), measured([1.0], test)))
        assert len(state.choose_controls(Random(1))) == expected


def test_a_benchmark_says_what_its_blocks_can_tell_apart() -> None:
    """The smallest rise follows from the scatter of the blocks and the permitted number."""
    found = []
    for spread in (0.0002, 0.002):
        state = comparing(reference=Reference("self", Path("/project"), None))
        blocks(state, 1 + spread, 1 - spread)
        (result,) = state.final()
        assert result.comparison is not None
        assert result.comparison.visible_blocks == 24
        found.append(result.comparison.visible["energy_j"])
    assert 0.05 < found[0] < found[1]


def test_fewer_permitted_blocks_tell_less_apart() -> None:
    """A limit of time that leaves three blocks can call nothing a change."""
    state = comparing()
    blocks(state, 1.002, 0.998)
    seen = []
    for permitted in (3, 4, 24):
        state.permitted_blocks = permitted
        (result,) = state.final()
        assert result.comparison is not None
        seen.append(result.comparison.visible.get("energy_j"))
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[2] is not None
    assert seen[1] > seen[2]


@pytest.mark.parametrize(("better", "outcome"), [("higher", "regressed"), ("lower", "improved")])
def test_the_direction_is_that_of_the_test(better: str, outcome: str) -> None:
    """A metric whose name says nothing falls as badly as its test says."""
    state = comparing(tolerances={"frobs": 0.05})

    def frobs(value: float) -> Measurement:
        metrics = {"frobs": Quantity(value=value, unit="1")}
        return measured([1.0], metrics=metrics, better={"frobs": better})

    settled: list[Result] = []
    for value in (0.9, 0.901, 0.899, 0.9):
        state.block += 1
        state.take("t.py::test", paired(frobs(1.0), frobs(value)))
        settled += state.look()
    (result,) = settled
    outcomes = {found.metric: found.outcome for found in result.verdict.metrics}
    assert outcomes["frobs"] == outcome


def test_a_budget_holds_against_a_revision_too() -> None:
    """Unchanged joules may be over the budget of the test."""
    state = comparing(failing=("over budget",), budgets={"energy_j": 0.5})
    (result,) = blocks(state, 1.001, 1.002)
    assert (result.verdict.outcome, result.verdict.fails) == ("over budget", True)
    state = comparing(failing=("over budget",), budgets={"energy_j": 2.0})
    (result,) = blocks(state, 1.001, 1.002)
    assert (result.verdict.outcome, result.verdict.fails) == ("unchanged", False)


def test_a_limit_that_lets_nothing_fail_is_told() -> None:
    """A rise needs four blocks; a limit below that is reported, and not as a success."""
    state = comparing()
    blocks(state, 1.0, 1.001)
    assert state.describe().notes == []
    state.permitted_blocks = 3
    (note,) = state.describe().notes
    assert note == (
        "The limit of time permits about 3 blocks, and no rise is called regressed before 4: raise"
        " --energy-against-time"
    )


def test_only_a_change_has_a_likely_cause() -> None:
    """What is unchanged has none, nor has what scatters too much in time to know its part."""
    calm, risen, slower, shaken = comparing(), comparing(), comparing(), comparing()
    for state, ratio, slowdown, shake in (
        (calm, 1.001, 1.0, 0.0),
        (risen, 1.1, 1.0, 0.0),
        (slower, 1.1, 1.1, 0.0),
        (shaken, 1.1, 1.0, 0.3),
    ):
        for block in range(4):
            state.block += 1
            watts = [
                {"power_w": Quantity(value=100 * each, unit="W")}
                for each in (1.0, ratio / slowdown)
            ]
            seconds = 1 + shake * (-1) ** block
            base, head = measured([1.0]), measured([ratio], seconds=seconds * slowdown)
            base, head = (
                side.model_copy(update={"metrics": side.metrics | extra})
                for side, extra in zip((base, head), watts, strict=True)
            )
            state.take("t.py::test", paired(base, head))
            state.look()
    assert calm.final()[0].verdict.outcome == "unchanged"
    assert calm.final()[0].verdict.cause is None
    assert risen.final()[0].verdict.cause == "power +10.0 % × time +0.0 %"
    assert slower.final()[0].verdict.cause == "power +0.0 % × time +10.0 %", "the time once"
    assert shaken.final()[0].verdict.outcome == "regressed"
    assert shaken.final()[0].verdict.cause is None, "the interval of its time is too wide"
