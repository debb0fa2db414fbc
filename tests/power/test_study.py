"""The parts of the study of the gate's power."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from pytest_energy.gate.baseline import Baseline
from pytest_energy.model.outcomes import Outcome
from tests.power.gates import (
    AT_5,
    AT_10,
    CHANGES,
    START_S,
    UNCHANGED,
    Judged,
    Recorded,
    judge_against,
    judge_by_baselines,
    judge_in_two_stages,
    judge_recorded_fresh,
    record,
)
from tests.power.noise import NOISES, PASSES, ROUND_S, WARM_UP_S, Noise, Session, measurement
from tests.power.simulate import (
    FRESH,
    GATES,
    INDEPENDENT,
    LIMITS,
    Counted,
    gates_of,
    interval,
    study,
    tables,
)

CALM = Noise("calm", 0.001)
FOUND = ("unchanged",) * UNCHANGED, ("regressed",) * AT_10


def level_of(session: Session, number: int = 0) -> float:
    """The logarithm of the joules of one pass."""
    return math.log((session.round(number, 0.0).energy_j or 0.0) / PASSES)


def baseline_span(baseline: Baseline) -> float:
    """The largest ratio of joules of accepted runs, less 1."""
    joules = [run.values["energy_j"] for run in baseline.accepted]
    return max(joules) / min(joules) - 1


@pytest.mark.parametrize("judge", [judge_against, judge_in_two_stages])
def test_every_gate_finds_ten_per_cent_where_nothing_scatters(
    judge: Callable[[Recorded], Judged],
) -> None:
    """And calls no unchanged benchmark anything else."""
    outcomes = judge(record(CALM, (1, 2, 3))).outcomes
    assert (outcomes[:UNCHANGED], outcomes[UNCHANGED + AT_5 :]) == FOUND


@pytest.mark.parametrize("take_off", [False, True])
def test_baselines_find_ten_per_cent_where_nothing_scatters(take_off: bool) -> None:
    """With the suite's shift left in, and taken off."""
    outcomes = judge_by_baselines(record(CALM, (1, 2, 3)), take_off=take_off).outcomes
    assert (outcomes[:UNCHANGED], outcomes[UNCHANGED + AT_5 :]) == FOUND


def test_baselines_are_judged_within_the_default_limit_of_time() -> None:
    """A suite that scatters has 600 s of further visits, as in production, and stays open."""
    recorded = record(NOISES[2], (1, 2, 3))
    limited = judge_by_baselines(recorded, take_off=False)
    endless = judge_by_baselines(recorded, take_off=False, limit_s=math.inf)
    assert endless.seconds > limited.seconds
    undecided = (judged.outcomes.count(Outcome.INCONCLUSIVE) for judged in (limited, endless))
    assert next(undecided) > next(undecided)


def test_a_shift_of_the_day_cancels_in_alternation() -> None:
    """The verdicts are those without it, in the same time."""
    recorded = record(replace(CALM, today=0.03), (1, 2, 3))
    shifted, calm = judge_against(recorded), judge_against(replace(recorded, noise=CALM))
    assert (shifted.outcomes, shifted.seconds) == (calm.outcomes, calm.seconds)


def test_the_same_seed_gives_the_same_suite() -> None:
    """So that the gates judge the same suites, and a table can be made again."""
    first, again = (record(NOISES[2], (1, 2, 3)) for _ in range(2))
    assert first.baselines == again.baselines
    assert level_of(first.session()) == level_of(again.session())


def test_a_block_takes_its_starts_warm_ups_and_rounds() -> None:
    """Two blocks are the least, of one pair for the tests and one for the controls."""
    seconds = judge_against(record(CALM, (1, 2, 3))).seconds * len(CHANGES)
    assert seconds > 2 * (2 * START_S + len(CHANGES) * (2 * WARM_UP_S + 6 * 2.0))


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (Noise("shifted", 0.0), 0.03),
        (Noise("ramp", 0.0, ramp=(-0.06, 1.0)), 0.03 - 0.06),
        (Noise("outliers", 0.0, outliers=1.0), 0.03 + math.log(1.2)),
    ],
)
def test_a_noise_moves_the_joules_by_its_size(noise: Noise, expected: float) -> None:
    """A shift of the day at once, a ramp after its time constant."""
    session = Session(noise, [0.0], np.random.default_rng(1), today=0.03)
    session.pass_time(60.0)
    assert level_of(session) == pytest.approx(expected, abs=1e-9)


def test_rounds_scatter_by_seven_tenths_of_the_noise_and_shorter_ones_more() -> None:
    """A round of 2 s scatters √2.5 times as much as one of 5 s."""
    session = Session(Noise("loud", 0.02), [0.02], np.random.default_rng(1))
    for duration_s in (ROUND_S, 2.0):
        rounds = [session.round(0, 0.0, duration_s) for _ in range(4000)]
        scatter = float(np.std([math.log((one.energy_j or 0.0) / PASSES) for one in rounds]))
        assert scatter == pytest.approx(0.014 * math.sqrt(ROUND_S / duration_s), rel=0.05)
    assert measurement(0, rounds[:3]).energy is not None


def test_a_process_draws_one_of_two_levels_for_each_benchmark() -> None:
    """Another process draws again."""
    session = Session(Noise("modes", modes=0.04), [0.01] * 99, np.random.default_rng(1))
    drawn = [session.start_process() for _ in range(2)]
    assert {*drawn[0]} == {0.0, 0.04}
    assert drawn[0] != drawn[1]


def test_recordings_in_fresh_processes_see_both_levels_of_a_process() -> None:
    """In one process each benchmark shows one level, and the scatter within it alone."""
    noise = Noise("modes", 0.001, modes=0.04)
    spans = [
        [baseline_span(baseline) for baseline in record(noise, (1, 2, 3), fresh=fresh).baselines]
        for fresh in (False, True)
    ]
    assert max(spans[0]) < 0.02
    assert sum(span > 0.03 for span in spans[1]) > 0.9 * len(CHANGES)


def test_fresh_visits_decide_where_one_process_is_off() -> None:
    """With time enough: they see both levels, and each costs the start of a process."""
    recorded = record(Noise("modes", 0.001, modes=0.04), (1, 2, 3))
    apart = judge_recorded_fresh(recorded, fresh=True, limit_s=math.inf)
    together = judge_by_baselines(recorded, take_off=True, limit_s=math.inf)
    unchanged = [judged.outcomes[:UNCHANGED].count("unchanged") for judged in (apart, together)]
    assert unchanged[0] > 0.95 * UNCHANGED > unchanged[1]
    limited = judge_recorded_fresh(recorded, fresh=True, limit_s=0.0)
    assert limited.seconds == pytest.approx(START_S + WARM_UP_S + 3 * ROUND_S)


def test_nothing_of_300_suites_may_be_one_in_eighty() -> None:
    """The interval of Clopper and Pearson: 0 of 300 is at most 1.2 %."""
    assert interval(0, 300) == (0.0, pytest.approx(1 - 0.025 ** (1 / 300)))
    assert interval(300, 300) == (pytest.approx(0.025 ** (1 / 300)), 1.0)


def test_the_tables_give_a_row_to_each_gate_and_noise() -> None:
    """With shares of the suites that were asked for."""
    outcomes = (Outcome.UNCHANGED,) * UNCHANGED + (Outcome.REGRESSED,) * (AT_5 + AT_10)
    judged = Judged(outcomes, seconds=20.0)
    counted = [
        Counted.of(gate, noise.name, suite, judged)
        for noise in NOISES
        for gate in gates_of(noise)
        for suite in range(2)
    ]
    lines = list(tables(counted, 2))
    cells = "0.0 % (0.0 to 84.2) | 0.0 % | 100.0 % | 100.0 % | 0.0 % | 20 | 6.0 |"
    for noise in NOISES:
        assert lines.count(f"| {noise.name} | {cells}") == len(GATES) + (noise.name in INDEPENDENT)
    for gate in (*LIMITS, *FRESH):
        assert f"| {gate} | {cells}" in lines


def test_a_study_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """What the file has is not judged again."""
    store = tmp_path / "results.jsonl"
    judged = Judged((Outcome.UNCHANGED,) * len(CHANGES), seconds=20.0)
    counted = [
        Counted.of(gate, noise.name, 0, judged) for noise in NOISES for gate in gates_of(noise)
    ]
    store.write_text("".join(json.dumps(asdict(one)) + "\n" for one in counted), "utf-8")
    assert study(1, 1, store) == counted
    missing = counted.pop(0)
    store.write_text("".join(json.dumps(asdict(one)) + "\n" for one in counted), "utf-8")
    (added,) = study(1, 1, store)[len(counted) :]
    assert (added.gate, added.noise, added.suite) == (missing.gate, missing.noise, 0)


def test_a_study_of_one_row_judges_nothing_else(tmp_path: Path) -> None:
    """By one gate, and its table has that row alone."""
    row = [NOISES[0].name], ["Against a revision"]
    store = tmp_path / "results.jsonl"
    (counted,) = study(1, 1, store, 7, *row)
    assert study(1, 1, store, 7, *row) == [counted]
    assert ([counted.noise], [counted.gate], counted.false) == (*row, False)
    lines = [line for line in tables([counted], 1) if line.startswith(("|", "*"))]
    assert lines[0] == "**Against a revision**"
    firsts = [line.split(" | ")[0] for line in lines[1:]]
    assert firsts == ["| noise", "|---" * 8 + "|", f"| {NOISES[0].name}"]


def test_a_shifted_suite_is_measured_against_the_revision() -> None:
    """Its shift fails nothing by itself, as in production, and what rose is found."""
    shifted = record(replace(CALM, today=0.08), (1, 2, 3))
    judged = judge_in_two_stages(shifted)
    assert not judged.shift
    assert (judged.outcomes[:UNCHANGED], judged.outcomes[UNCHANGED + AT_5 :]) == FOUND
    assert judged.seconds > judge_in_two_stages(record(CALM, (1, 2, 3))).seconds
    assert judge_by_baselines(shifted, take_off=True).shift
