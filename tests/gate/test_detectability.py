"""What a benchmark can see."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.cli import main
from pytest_energy.gate.baseline import AcceptedRun, Baseline, estimate_of
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.gate.classify import classify
from pytest_energy.gate.detectability import (
    Sensitivity,
    detectable,
    further_visits,
    needed_retry_s,
    rises,
    sensitivity,
    shared_scatter,
    visits_within,
)
from pytest_energy.gate.schedule import ADAPTIVE, ALONE, FIXED, Schedule, Suite
from pytest_energy.gate.selection import Selected, tightness, too_tight
from pytest_energy.model.measurement import Quantity, Round
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Verdict
from pytest_energy.uncertainty.change import (
    Change,
    Estimate,
    Prior,
    Scatter,
    learn_scatter,
    relative_change,
)
from pytest_energy.uncertainty.gum import t_quantile
from tests.gate_data import H200, TEST, baseline_of, measurement, run_of, store_with

STEADY = (1.0, 1.002, 0.998, 1.001, 0.999)
NOISY = (1.0, 1.05, 0.96, 1.04, 0.95)


def test_more_visits_see_smaller_changes(tmp_path: Path) -> None:
    """A later look calls a smaller rise regressed than the first one."""
    baseline = store_with(tmp_path, *STEADY).load(TEST, "nvidia-h200")
    assert baseline is not None
    assert detectable(baseline, 8, 0.05) < detectable(baseline, 1, 0.05)


def test_a_rise_must_be_beyond_the_tolerance_to_be_called_regressed(tmp_path: Path) -> None:
    """What differs surely and lies within the tolerance is never regressed."""
    baseline = store_with(tmp_path, *STEADY).load(TEST, "nvidia-h200")
    assert baseline is not None
    exact = detectable(baseline, 8, 0.0)
    assert detectable(baseline, 8, 0.05) == pytest.approx((1 + exact) * 1.05 - 1, abs=0.01)
    found = sensitivity(baseline, 0.04, 0.05)
    assert found is not None
    assert found.rounds is None
    assert found.last > 0.05


def test_scatter_hides_changes(tmp_path: Path) -> None:
    """Where runs scatter by 4 %, a rise of 10 % is not to be seen; where by 0.2 %, it is."""
    steady = store_with(tmp_path / "steady", *STEADY).load(TEST, "nvidia-h200")
    noisy = store_with(tmp_path / "noisy", *NOISY).load(TEST, "nvidia-h200")
    assert steady is not None
    assert noisy is not None
    seen, hidden = sensitivity(steady, 0.1, 0.05), sensitivity(noisy, 0.1, 0.05)
    assert seen is not None
    assert hidden is not None
    assert seen.rounds is not None
    assert seen.energy_j == pytest.approx(10 * seen.rounds)
    assert hidden.rounds is None
    assert hidden.last > 0.1


@given(st.floats(0.002, 0.02), st.floats(0, 0.1), st.integers(1, 100))
def test_a_larger_suite_and_a_shared_scatter_hide_more(
    scatter: float, tolerance: float, family: int
) -> None:
    """And nothing within the tolerance is ever called regressed."""
    runs = [1 - scatter, 1 + scatter, 1.0, 1 - scatter, 1 + scatter]
    with TemporaryDirectory() as folder:
        baseline = store_with(Path(folder), *runs).load(TEST, "nvidia-h200")
    assert baseline is not None
    rise = detectable(baseline, 2, tolerance, suite=Suite(family))
    assert rise > tolerance
    assert rise >= detectable(baseline, 2, tolerance, suite=Suite(1)) - 1e-12
    assert detectable(baseline, 2, tolerance, suite=Suite(family, shared=0.01)) > rise


def test_a_limit_of_time_leaves_fewer_visits(tmp_path: Path) -> None:
    """At least the second look stays, which needs no budget."""
    store = BaselineStore(tmp_path)
    for number in range(5):
        watts = Quantity(value=10 / 27, unit="W")  # 10 J in three rounds of 9 s
        joules = measurement(1 + number / 1000).metrics["energy_j"]
        metrics = {"energy_j": joules, "power_w": watts}
        store.save(measurement(metrics=metrics), H200, "nvidia-h200", None)
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    allowed = [visits_within(baseline, ADAPTIVE, limit_s) for limit_s in (1, 60, 600)]
    assert allowed[0] == 2
    assert allowed == sorted(allowed)
    assert allowed[1] < ADAPTIVE.visits
    assert visits_within(baseline, ADAPTIVE, math.inf) == ADAPTIVE.visits


def timed_baseline(folder: Path, scatter: float) -> Baseline:
    """Five accepted runs of three rounds of 9 s each."""
    store = BaselineStore(folder)
    for number in range(-2, 3):
        watts = Quantity(value=10 / 27, unit="W")
        joules = measurement(1 + number * scatter).metrics["energy_j"]
        metrics = {"energy_j": joules, "power_w": watts}
        store.save(measurement(metrics=metrics), H200, "nvidia-h200", f"c{number}")
    baseline = store.load(TEST, "nvidia-h200")
    assert baseline is not None
    return baseline


@given(
    st.floats(0.001, 0.03),
    st.floats(0.001, 0.2),
    st.integers(1, 50),
    st.floats(0, 0.03),
    st.floats(1, 1000),
)
@settings(max_examples=40, deadline=None)
def test_the_command_and_the_warning_agree(
    scatter: float, tolerance: float, family: int, shared: float, retry_s: float
) -> None:
    """By tolerance, limit of time and shared scatter, and the remedy that they name works."""
    with TemporaryDirectory() as folder:
        baseline = timed_baseline(Path(folder), scatter)
    suite, change = Suite(family, shared=shared), 2 * tolerance
    found = sensitivity(baseline, change, tolerance, ADAPTIVE, suite, retry_s)
    assert found is not None
    limits = ADAPTIVE, suite, retry_s
    tight = too_tight([Selected(baseline, {"energy_j": tolerance})], *limits)
    warnings = [tightness(entry, *limits) for entry in tight]
    assert len(warnings) == (found.rounds is None)
    needed_s = needed_retry_s(baseline, change, tolerance, ADAPTIVE, suite)
    if needed_s is not None:
        enough = sensitivity(baseline, change, tolerance, ADAPTIVE, suite, needed_s)
        assert enough is not None
        assert enough.rounds is not None
    for warning in warnings:
        never = "smaller ones need --energy-against=REF, not more visits"
        option = never if needed_s is None else f"--energy-retry-time={math.ceil(needed_s)} shows"
        assert option in warning


def test_the_command_names_what_would_show_a_rise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit of time, or the other revision where no number of visits helps."""
    timed_baseline(tmp_path, 0.004)
    command = ["sensitivity", "--baselines", str(tmp_path), "--retry-time=1"]
    assert main([*command, "--change=0.085"]) == 0
    printed = re.search(r"with --energy-retry-time=(\d+) for each", capsys.readouterr().out)
    assert printed
    enough = [*command[:-1], f"--retry-time={printed[1]}"]
    assert main([*enough, "--change=0.085"]) == 0
    assert "never" not in capsys.readouterr().out
    assert main([*command, "--change=0.01"]) == 0
    assert "not seen by any number of visits" in capsys.readouterr().out


def test_what_a_session_shares_shows_over_several_sessions(tmp_path: Path) -> None:
    """Six benchmarks that rise and fall together from commit to commit share all of it."""
    shifts = (0.0, 0.03, -0.03, 0.02)
    for number in range(6):
        store = store_with(
            tmp_path, *(1 + shift for shift in shifts), test_id=f"t.py::test_{number}"
        )
    together = store.load_all("nvidia-h200")
    assert shared_scatter(together) == pytest.approx(0.0265, rel=0.05)
    assert shared_scatter(together[:4]) == 0.0


@pytest.mark.parametrize(("energy_j", "some"), [(1.04, True), (1.05, False)])
def test_further_visits_decide_or_no_number_does(
    tmp_path: Path, energy_j: float, some: bool
) -> None:
    """A change at the tolerance itself stays undecided, however long one measures."""
    baseline = store_with(tmp_path, *(1 + n / 1000 for n in range(-4, 5))).load(TEST, "nvidia-h200")
    assert baseline is not None
    found = further_visits(measurement(energy_j), baseline, 0.05, suite=Suite(50))
    assert (found is not None) == some
    if found is not None:
        assert found >= 1


def test_the_command_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a benchmark under its machine; without baselines it says how to record some."""
    folder = str(store_with(tmp_path, *STEADY).folder)
    assert main(["sensitivity", "--baselines", folder]) == 0
    out = capsys.readouterr().out
    assert out.startswith("nvidia-h200\n")
    assert f"\n{TEST} " in out
    assert main(["sensitivity", "--baselines", str(tmp_path / "none")]) == 0
    assert "pytest --energy --energy-update" in capsys.readouterr().out


def test_the_command_takes_the_tolerances_of_the_last_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of markers and options are known to a run only; others come from pyproject.toml."""
    store_with(tmp_path, *STEADY)
    store_with(tmp_path, *STEADY, test_id="t.py::test_other")
    gated = MetricVerdict(metric="energy_j", outcome=Outcome.UNCHANGED, value=1.0, tolerance=0.02)
    verdict = Verdict(outcome=Outcome.UNCHANGED, metrics=[gated])
    run = run_of(Result.of(measurement(), verdict))
    (tmp_path / "results.json").write_text(run.model_dump_json(), "utf-8")
    text = '[tool.pytest-energy.tolerances]\n"t.py::*" = 0.08\n'
    (tmp_path / "pyproject.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["sensitivity", "--last-run=results.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    tolerances = {line.split()[0]: line.split()[2] for line in lines if "::" in line}
    assert tolerances == {TEST: "2.0", "t.py::test_other": "8.0"}


@pytest.mark.parametrize("change", ["-1", "0", "nan", "inf", "3"])
def test_a_change_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """Only a rise of more than nothing can be seen."""
    folder = str(store_with(tmp_path, *STEADY).folder)
    assert main(["sensitivity", "--baselines", folder, f"--change={change}"]) == 2
    assert f"--change={change}: expected a fraction between 0 and 1" in capsys.readouterr().err


def accepted(
    energy_j: float, *, commit: str | None = None, step: bool = False, rounds: int = 3
) -> AcceptedRun:
    """A run whose rounds took three seconds and 30 J each."""
    return AcceptedRun(
        commit=commit,
        rounds=rounds,
        spent_j=30.0 * rounds,
        step=step,
        values={"energy_j": energy_j, "power_w": 10.0},
        standard={"energy_j": 0.004 * energy_j},
    )


RUNS = [accepted(2.0), accepted(2.02, rounds=5), accepted(1.98), accepted(2.0, rounds=1)]


@pytest.mark.parametrize("visit", [1, 2, 6])
@pytest.mark.parametrize("first", [4, 2])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
@pytest.mark.parametrize(
    "suite", [ALONE, Suite(family=40), Suite(prior=Prior(0.03, 2.0)), Suite(shared=0.02)]
)
def test_a_detectable_rise_is_called_regressed_in_95_of_100_cases(
    visit: int, first: int, tolerance: float, suite: Suite
) -> None:
    """What is found then is at least the rise less a one-sided quantile: just enough for a look."""
    schedule = Schedule(rounds=first, again=3, visits=6)
    baseline = baseline_of(*RUNS)
    runs = baseline.level("energy_j")
    known = learn_scatter([runs], suite.prior)
    # Of what a session shares, further visits take nothing off, and one visit is the unit.
    shared = suite.shared**2 * (1 - 1 / visit) / (1 / visit + 1 / 4)
    scatter = Scatter(math.hypot(known.relative, shared**0.5), known.degrees_of_freedom, known.runs)
    rounds = first + 3 * (visit - 1)
    single = math.fsum(0.004**2 * count for count in (3, 5, 3)) / 3
    planned = Estimate(2.0, 2.0 * math.sqrt(single / rounds), rounds - 1)
    likely = relative_change(planned, runs, scatter, visit)
    missed = t_quantile(likely.degrees_of_freedom, 0.95) * likely.standard
    rise = rises(baseline, tolerance, schedule, suite)(visit)
    assert rise == detectable(baseline, visit, tolerance, schedule, suite)
    rule = schedule.rule(visit, suite.family)
    for part, expected in ((1.001, True), (0.999, False)):
        found = Change(
            part * (math.log1p(rise) - missed), likely.standard, likely.degrees_of_freedom
        )
        assert (classify(found, tolerance, rule) is Outcome.REGRESSED) is expected


def test_runs_of_single_rounds_plan_without_a_scatter_of_rounds() -> None:
    """Nothing is known of it, and a visit of one round has one degree of freedom at least."""
    baseline = baseline_of(*[accepted(2.0, rounds=1)] * 3)
    single = Schedule(rounds=1, again=1, visits=2)
    likely = relative_change(
        Estimate(2.0), baseline.level("energy_j"), learn_scatter([baseline.level("energy_j")])
    )
    rule = single.rule(1)
    found = t_quantile(likely.degrees_of_freedom, 0.95)
    beyond = t_quantile(likely.degrees_of_freedom, (1 + rule.coverage) / 2) + found
    proven = t_quantile(likely.degrees_of_freedom, 1 - rule.significance / 2) + found
    expected = math.expm1(
        max(math.log1p(0.01) + beyond * likely.standard, proven * likely.standard)
    )
    assert detectable(baseline, 1, 0.01, single) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("retry_s", "visits"),
    [(0.0, 2), (5.9, 2), (6.0, 2), (6.1, 3), (18.1, 5), (54.0, 10), (100.0, 10), (math.inf, 10)],
)
def test_measuring_stops_after_the_visit_that_reaches_the_limit(
    retry_s: float, visits: int
) -> None:
    """A further visit has two rounds of three seconds; the second look needs no budget."""
    baseline = baseline_of(*RUNS)
    assert visits_within(baseline, ADAPTIVE, retry_s) == visits
    assert visits_within(baseline, FIXED, retry_s) == 1
    unknown = baseline_of(AcceptedRun(values={"energy_j": 1.0}))
    assert visits_within(unknown, ADAPTIVE, retry_s) == 10


@pytest.mark.parametrize(("retry_s", "visits"), [(math.inf, 10), (20.0, 5)])
@pytest.mark.parametrize("change", [0.02, 0.09, 0.3])
def test_the_sensitivity_is_that_of_the_visits_that_the_limits_allow(
    retry_s: float, visits: int, change: float
) -> None:
    """With the rounds and the joules until a rise of the wanted size is called regressed."""
    baseline, suite = baseline_of(*RUNS), Suite(prior=Prior(0.02, 8.0))
    rise = rises(baseline, 0.05, ADAPTIVE, suite)
    seen = [rise(visit) for visit in range(1, visits + 1)]
    enough = [visit for visit, each in enumerate(seen, 1) if each <= change]
    rounds = 3 + 2 * (enough[0] - 1) if enough else None
    found = sensitivity(baseline, change, 0.05, ADAPTIVE, suite, retry_s)
    energy_j = None if rounds is None else 30.0 * rounds
    assert found == Sensitivity(seen[0], min(seen), visits, rounds, energy_j)
    whole = [rise(visit) for visit in range(1, 11)]
    needed = next((visit for visit, each in enumerate(whole, 1) if each <= change), None)
    assert needed_retry_s(baseline, change, 0.05, ADAPTIVE, suite) == (
        None if needed is None else 6.0 * max(needed - 1, 1)
    )


def test_the_needed_time_is_that_of_the_only_visit_that_sees_a_rise() -> None:
    """The last, or the first: of one baseline run it sees more than the second."""
    baseline = baseline_of(*RUNS)
    rise = rises(baseline, 0.05)
    assert rise(10) < rise(9) < rise(8)
    assert needed_retry_s(baseline, (rise(9) + rise(10)) / 2, 0.05) == 9 * 6.0
    single = baseline_of(accepted(2.0), accepted(2.0, step=True))
    rise = rises(single, 0.05)
    assert rise(1) < rise(2)
    assert needed_retry_s(single, rise(1), 0.05) == 6.0


def test_without_joules_or_seconds_there_is_nothing_to_plan() -> None:
    """A cost is unknown where no run tells its joules; no run at all detects nothing."""
    bare = baseline_of()
    assert sensitivity(bare, 0.1, 0.05) is None
    assert needed_retry_s(bare, 0.1, 0.05) is None
    untold = baseline_of(*[AcceptedRun(values={"energy_j": 1.0}, rounds=3)] * 8)
    found = sensitivity(untold, 0.5, 0.05)
    assert found is not None
    assert (found.rounds, found.energy_j) == (3, None)
    assert needed_retry_s(untold, 0.5, 0.05) is None


def shared_by(
    benchmarks: int, shifts: dict[str | None, float], *, step: int | None = None
) -> float:
    """What benchmarks share that all moved by these from commit to commit."""
    runs = [
        accepted(1 + shift, commit=commit, step=place == step)
        for place, (commit, shift) in enumerate(shifts.items())
    ]
    return shared_scatter([baseline_of(*runs, id=f"t.py::{n}") for n in range(benchmarks)])


def test_sessions_share_what_their_benchmarks_have_in_common() -> None:
    """Five benchmarks of three sessions show it; fewer show nothing."""
    shifts: dict[str | None, float] = {"a": 0.0, "b": 0.03, "c": -0.02}
    logs = [math.log1p(shift) for shift in shifts.values()]
    assert shared_by(5, shifts) == pytest.approx(statistics.stdev(logs))
    assert shared_by(4, shifts) == 0.0
    assert shared_by(9, {"a": 0.0, "b": 0.03}) == 0.0
    assert shared_by(9, {"a": 0.0, "b": 0.03, None: 0.2}) == 0.0


def test_what_sessions_share_is_taken_of_the_last_level() -> None:
    """An accepted change is no variation; a run without joules is no session."""
    before: dict[str | None, float] = {"x": 0.5, "y": 0.6}
    shifts: dict[str | None, float] = {"a": 0.0, "b": 0.03, "c": -0.02}
    assert shared_by(5, {**before, **shifts}, step=2) == pytest.approx(shared_by(5, shifts))
    runs = [accepted(1 + shift, commit=commit) for commit, shift in shifts.items()]
    without = [
        AcceptedRun(commit="d", values={"energy_j": 0.0}),
        AcceptedRun(commit="e", values={"latency_s": 1.0}),
    ]
    few = baseline_of(*runs[:2], id="t.py::few")
    five = [baseline_of(*runs, *without, id=f"t.py::{number}") for number in range(5)]
    assert shared_scatter([few, *five]) == pytest.approx(shared_by(5, shifts))


def test_benchmarks_of_other_sizes_share_nothing() -> None:
    """Each is compared with itself, also where it misses a session."""
    baselines = []
    for number in range(8):
        runs = [
            accepted(10.0**number, commit=commit)
            for place, commit in enumerate("abcd")
            if place != number // 2
        ]
        baselines.append(baseline_of(*runs, id=f"t.py::{number}"))
    assert shared_scatter(baselines) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "suite",
    [
        ALONE,
        Suite(family=10**4),
        Suite(prior=Prior(0.02, 8.0)),
        Suite(shifts={"energy_j": Change(0.01, 0.002, 20)}),
    ],
)
@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.06])
@pytest.mark.parametrize("visits", [0, 1, 3])
@pytest.mark.parametrize("relative", [0.004, 0.05])
def test_further_visits_are_the_fewest_that_decide(
    tolerance: float, suite: Suite, visits: int, relative: float
) -> None:
    """If they agree with those so far; their rounds vary as these, and the last look is strict."""
    baseline = baseline_of(*RUNS)
    runs = baseline.level("energy_j")
    energy = Quantity(
        value=2.075, unit="J", uncertainty=2.075 * relative, degrees_of_freedom=2 * max(visits, 1)
    )
    rounds = [
        Round(start=0, duration_s=1, passes=1, energy_j=2.075, visit=visit + 1)
        for visit in range(visits)
    ]
    measured = measurement(metrics={"energy_j": energy}, rounds=rounds)
    new = estimate_of(energy)
    levels = [runs, [Estimate(2.075)] * visits]
    rule = ADAPTIVE.rule(10, suite.family)

    def outcome(number: int) -> Outcome:
        share = max(visits, 1) / number
        planned = Estimate(
            new.value, new.standard * math.sqrt(share), new.degrees_of_freedom / share
        )
        change = relative_change(planned, runs, learn_scatter(levels, suite.prior), number)
        shift = suite.shifts.get("energy_j")
        return classify(change.without(shift) if shift else change, tolerance, rule)

    further = further_visits(measured, baseline, tolerance, ADAPTIVE, suite)
    so_far = max(visits, 1)
    if further is None:
        assert outcome(1000) is Outcome.INCONCLUSIVE
    else:
        assert outcome(so_far + further) is not Outcome.INCONCLUSIVE
        assert further == 1 or outcome(so_far + further - 1) is Outcome.INCONCLUSIVE
