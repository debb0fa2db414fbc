"""The change that the benchmarks of a suite have in common."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from pytest_energy.cli import main
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.decision import Again, KnownBaselines, Policy, Settled, decide
from pytest_energy.gate.make_baseline import extend_baseline
from pytest_energy.gate.schedule import Suite
from pytest_energy.model.comparison import Comparison
from pytest_energy.model.json_files import load_run, save_run
from pytest_energy.model.merge import merge_runs
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result
from pytest_energy.session.suite_shift import (
    FEWEST_COMPARABLE,
    finish,
    shifts_of,
    suite_shift,
    with_common_changes,
)
from pytest_energy.settings import Settings
from pytest_energy.uncertainty.change import median_change
from tests.gate_data import A100, H200, measurement, run_of

TOLERANCES = {"energy_j": 0.05}


def baseline(test_id: str = "t.py::test_a") -> Baseline:
    """Eight runs at one joule."""
    made = None
    for number in range(8):
        made = extend_baseline(made, measurement(1 + number / 1000, test_id), H200, None)
    assert made is not None
    return made


def judged(energies_j: Sequence[float]) -> list[Result]:
    """The results of a suite, each judged alone at its first visit."""
    return [
        decide(
            [measurement(energy_j, f"t.py::test_{number}")],
            KnownBaselines(baseline(f"t.py::test_{number}")),
            H200,
            Policy(TOLERANCES),
        ).result
        for number, energy_j in enumerate(energies_j)
    ]


def suite_at(level: float, count: int = 30) -> list[float]:
    """Joules of benchmarks that scatter by 0.5 % around a common level."""
    draw = random.Random(3)
    return [draw.gauss(1.0035 * level, 0.005) for _ in range(count)]


@given(st.lists(st.floats(-0.1, 0.1), min_size=5, max_size=60), st.floats(-0.5, 0.5))
def test_the_median_moves_with_the_suite(ratios: list[float], shift: float) -> None:
    """A common shift changes the median by as much, and not its uncertainty."""
    ratios.sort()
    here, there = median_change(ratios), median_change([ratio + shift for ratio in ratios])
    assert there.log_ratio == pytest.approx(here.log_ratio + shift, abs=1e-9)
    assert there.standard == pytest.approx(here.standard, abs=1e-9)
    median = statistics.median(ratios)
    deviation = statistics.median(abs(ratio - median) for ratio in ratios)
    scatter = math.sqrt(math.pi / 2 / len(ratios)) * deviation / norm.ppf(0.75)
    assert (here.log_ratio, here.standard) == pytest.approx((median, scatter), abs=1e-12)


def test_a_small_suite_has_no_shift() -> None:
    """Its median would contain too much of each benchmark."""
    few = judged(suite_at(1.03, FEWEST_COMPARABLE - 1))
    assert shifts_of(few) == {}
    assert suite_shift(few, 0.05) is None


@pytest.mark.parametrize(
    ("level", "outcome", "failures"),
    [(1.0, "unchanged", 0), (1.03, "unchanged", 0), (1.10, "regressed", 1), (0.9, "improved", 0)],
)
def test_the_shift_is_a_verdict_of_the_run(level: float, outcome: str, failures: int) -> None:
    """A rise of everything beyond the tolerance fails the session, though each is unchanged."""
    run = finish(run_of(*judged(suite_at(level))), Settings())
    assert run.run.suite_shift is not None
    assert run.run.suite_shift.outcome == outcome
    assert run.run.suite_shift.change == pytest.approx(level - 1, abs=0.004)
    assert len(run.run.failures) == failures


def test_an_unchanged_benchmark_in_a_suite_that_moved_is_settled_by_the_shift() -> None:
    """Alone it cannot be decided; without the suite's part it is unchanged."""
    visit = measurement(1.04)
    known = KnownBaselines(baseline())
    assert isinstance(decide([visit], known, H200, Policy(TOLERANCES)), Again)
    shifts = shifts_of(judged(suite_at(1.04)))
    decision = decide([visit], known, H200, Policy(TOLERANCES, suite=Suite(shifts=shifts)))
    assert isinstance(decision, Settled)
    (energy,) = decision.result.verdict.gated
    assert energy.outcome is Outcome.UNCHANGED
    assert energy.suite_shift == pytest.approx(0.04, abs=0.004)
    assert energy.change == pytest.approx(0.0, abs=0.005)


def test_a_rise_is_found_in_a_suite_that_fell() -> None:
    """A driver that saves 3 % must not hide +10 %."""
    shifts = shifts_of(judged(suite_at(0.97)))
    visits = [measurement(0.97 * 1.1), measurement(0.97 * 1.1)]
    policy = Policy(TOLERANCES, suite=Suite(family=50, shifts=shifts))
    decision = decide(visits, KnownBaselines(baseline()), H200, policy)
    assert isinstance(decision, Settled)
    assert decision.result.verdict.outcome is Outcome.REGRESSED


def test_what_was_settled_before_the_shift_was_known_becomes_inconclusive() -> None:
    """It looked unchanged in a suite that fell by 8 %; it was seen once, so it cannot fail."""
    first = judged([1.0])
    assert first[0].verdict.outcome is Outcome.UNCHANGED
    run = finish(run_of(*first, *judged(suite_at(0.92))[1:]), Settings())
    energy = run.benchmarks[0].verdict.gated[0]
    assert energy.change == pytest.approx(0.083, abs=0.01)
    assert run.benchmarks[0].verdict.outcome is Outcome.INCONCLUSIVE
    assert not run.benchmarks[0].verdict.fails


def test_a_comparison_with_a_revision_has_no_part_in_the_shift() -> None:
    """The revision was measured in the same hour: what all have in common is the code's."""
    pair = Comparison(reference="main", seed=1)
    results = [
        result.model_copy(update={"comparison": pair}) for result in judged(suite_at(0.92, 30))
    ]
    assert shifts_of(results) == {}
    first = judged([1.0])[0].model_copy(update={"comparison": pair})
    run = finish(run_of(first, *judged(suite_at(0.92))[1:]), Settings())
    assert run.run.suite_shift is not None
    assert run.benchmarks[0] == first


def test_merged_shards_shift_together(tmp_path: Path) -> None:
    """None of two shards has enough benchmarks for a shift; together they have, on one machine."""
    results = judged(suite_at(1.03, FEWEST_COMPARABLE + 4))
    shards = [finish(run_of(*half), Settings()) for half in (results[:12], results[12:])]
    assert [shard.run.suite_shift for shard in shards] == [None, None]
    files = [tmp_path / f"{number}.json" for number in range(2)]
    for shard, path in zip(shards, files, strict=True):
        save_run(shard, path)
    merged = tmp_path / "merged.json"
    assert main(["merge", *map(str, files), "-o", str(merged)]) == 0
    shift = load_run(merged).run.suite_shift
    assert shift is not None
    assert shift.benchmarks == FEWEST_COMPARABLE + 4
    assert shift.change == pytest.approx(0.03, abs=0.004)


def test_shards_of_two_machines_have_no_common_shift() -> None:
    """Nor does that of the first shard stand for all of them."""
    shards = [
        finish(run_of(*judged(suite_at(1.03)), environment=env), Settings()) for env in (H200, A100)
    ]
    assert all(shard.run.suite_shift for shard in shards)
    merged = with_common_changes(merge_runs(shards, ["a", "b"]))
    assert merged.run.suite_shift is None


def test_an_update_of_everything_takes_no_shift_off() -> None:
    """Whoever accepts all results accepts what they have in common."""
    run = finish(run_of(*judged(suite_at(1.1))), Settings(update="all"))
    assert run.run.suite_shift is None
    assert run.run.failures == []


def test_a_gate_that_decides_too_little_fails_where_the_policy_says_so() -> None:
    """The share counts the benchmarks with a baseline."""
    results = judged([1.0, 1.0, 1.0, 1.05])
    blind = finish(run_of(*results), Settings(fail_on=("regressed", "inconclusive>20%")))
    assert blind.run.failures == ["1 of 4 benchmarks is inconclusive, more than 20 %"]
    seeing = finish(run_of(*results), Settings(fail_on=("regressed", "inconclusive>25%")))
    assert seeing.run.failures == []
