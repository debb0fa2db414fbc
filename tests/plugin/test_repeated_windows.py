"""Windows whose body runs again until they are long enough, and windows with pauses."""

from __future__ import annotations

import pytest

from pytest_energy.measuring.protocol import Forecast, Progress
from pytest_energy.plugin.measuring_hooks import EnergyPlugin
from tests.plugin.conftest import QUICK, Project

BODY = """
import time

def test_it(energy):
    for w in energy.repeat("decode", seconds=0.02{units}):
        work({joules})
        time.sleep(0.002)
    print("joules:", w.energy and w.energy.value)
"""
MEASURING = ("--energy", "--energy-meter=scripted")


@pytest.mark.parametrize("seconds", [0.01, 0.00001])
def test_a_body_that_gets_faster_stays_in_the_gate(project: Project, seconds: float) -> None:
    """Each round is as long as was asked for, and the joules are those of one run."""
    project.write(BODY.format(joules=seconds, units=', units={"token": 4}'))
    project.run("-s").stdout.fnmatch_lines([f"*joules: {100 * seconds:.6g}*"])
    decode = project.benchmark("decode")
    assert decode["metrics"]["energy_j"]["value"] == pytest.approx(100 * seconds)
    assert decode["metrics"]["energy_j_per_token"]["value"] == pytest.approx(25 * seconds)
    assert len(decode["rounds"]) == 3
    assert all(done["duration_s"] >= 0.02 for done in decode["rounds"])


def test_the_time_that_is_left_is_known(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round is said before it begins, and what the others will still take."""
    shown: list[Progress] = []
    forecasts: list[Forecast] = []
    monkeypatch.setattr(EnergyPlugin, "_show", lambda plugin, benchmark, now: shown.append(now))
    monkeypatch.setattr(
        EnergyPlugin, "_say", lambda plugin, benchmark, cost: forecasts.append(cost)
    )
    project.write(BODY.format(joules=0.01, units=""))
    project.run().assert_outcomes(passed=1)
    assert [(now.round, now.rounds) for now in shown] == [(1, 3), (2, 3), (3, 3)]
    assert all(now.left_s is not None and now.left_s > 0 for now in shown)
    assert [now.energy_j is not None for now in shown] == [False, True, True]
    assert len(forecasts) == 1
    assert forecasts[0].duration_s >= 0.06


def test_rounds_of_a_call_and_windows_are_shown_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of ``pedantic`` is known from its second round on, a window's length as well."""
    shown: list[tuple[str, Progress]] = []
    monkeypatch.setattr(EnergyPlugin, "_show", lambda plugin, name, now: shown.append((name, now)))
    project.write("""
def test_it(energy):
    energy.pedantic(work, (0.01,), rounds=3, iterations=2, warmup_rounds=1)

def test_steps(energy):
    for _ in range(2):
        with energy.window("decode"):
            work(0.02)
""")
    project.run().assert_outcomes(passed=2)
    rounds = [(now.round, now.rounds, now.passes) for _, now in shown]
    assert rounds == [(0, 3, 2), (1, 3, 2), (2, 3, 2), (3, 3, 2), (1, None, None), (2, None, None)]
    known = [now.left_s is not None and now.left_s > 0 for _, now in shown]
    assert known == [False, False, True, True, False, True]
    assert shown[-1][0] == "test_it.py::test_steps::decode"


def test_few_passes_leave_no_round_too_short(project: Project) -> None:
    """As of a call: a round ends at the most passes only where the meter resolves it."""
    project.script(shortest_window_s=0.2)
    project.write(BODY.format(joules=0.0001, units=""))
    project.run("--energy-passes=2").assert_outcomes(passed=1)
    rounds = project.benchmark("decode")["rounds"]
    assert all(done["duration_s"] >= 0.2 and done["passes"] > 2 for done in rounds)


def test_its_rise_is_found(project: Project) -> None:
    """Against a baseline, as of any window."""
    project.write(BODY.format(joules=0.01, units=""))
    assert project.run("--energy-update", "--energy-baseline-runs=1").ret == 0
    assert project.run().ret == 0
    project.write(BODY.format(joules=0.012, units=""))
    assert project.run().ret == 1
    assert project.benchmark("decode")["verdict"]["outcome"] == "regressed"


def test_units_of_each_run_are_averaged(project: Project) -> None:
    """Those of the runs that are measured; the first one only times the body."""
    project.write(
        """
from itertools import chain, cycle
from statistics import fmean
def test_it(energy):
    counts, used = chain([1000], cycle([2, 8, 5])), []
    for w in energy.repeat("decode", seconds=0.001):
        used.append(next(counts))
        w.units(token=used[-1])
        work(0.5)
    assert len(used) > 4
    assert w.per("token").value == pytest.approx(50 / fmean(used[1:]))
"""
    )
    project.run().assert_outcomes(passed=1)


def test_without_energy_the_body_runs_once(project: Project) -> None:
    """As a plain test."""
    project.write("def test_it(energy):\n    assert len([1 for w in energy.repeat('decode')]) == 1")
    project.pytester.runpytest_inprocess(*QUICK).assert_outcomes(passed=1)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'', seconds=1", "energy.repeat(''): expected a name of one line"),
        ("'a', seconds=0", "energy.repeat('a'): seconds=0: expected a finite number above 0"),
        ("'a', seconds='5'", "seconds='5': expected a finite number above 0"),
        ("'a', units={'token': 0}", "energy.repeat('a'): token=0: expected a finite number"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    project: Project, call: str, message: str, measured: bool
) -> None:
    """The same with and without --energy."""
    project.write(f"def test_it(energy):\n    for w in energy.repeat({call}):\n        pass")
    arguments = MEASURING if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()


@pytest.mark.parametrize(
    "body",
    [
        "def runs():\n        yield from energy.repeat('a')\n    for w in runs():\n        break",
        "energy.repeat('a')",
    ],
)
def test_a_loop_that_does_not_end_is_an_error(project: Project, body: str) -> None:
    """Nothing was measured, and the error says so."""
    project.write(f"def test_it(energy):\n    {body}")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "energy.repeat('a') was not run to its end" in result.stdout.str()


@pytest.mark.parametrize("inner", ["energy.window('b').__enter__()", "energy.repeat('b')"])
def test_nothing_is_measured_inside(project: Project, inner: str) -> None:
    """Nested windows stay refused."""
    project.write(f"def test_it(energy):\n    for w in energy.repeat('a'):\n        {inner}")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "inside another measurement" in result.stdout.str()


def test_joules_of_a_pause_are_left_out(project: Project) -> None:
    """Of windows, and of repeated ones."""
    project.write(
        """
def test_it(energy):
    with energy.window("train") as w:
        for _ in range(3):
            with w.paused():
                work(5.0)
            work(0.01)
    assert w.energy.value == pytest.approx(3.0)
    for w in energy.repeat("decode", seconds=0.001):
        with w.paused():
            work(5.0)
        work(0.01)
    assert w.energy.value == pytest.approx(1.0)
"""
    )
    project.run().assert_outcomes(passed=1)


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("with w.paused(), w.paused():\n            pass", "inside another pause"),
        ("pass\n    w.paused().__enter__()", "after the window had ended"),
    ],
)
def test_a_pause_that_cannot_be_is_refused(
    project: Project, body: str, message: str, measured: bool
) -> None:
    """The same with and without --energy."""
    project.write(f"def test_it(energy):\n    with energy.window('a') as w:\n        {body}")
    arguments = MEASURING if measured else ()
    result = project.pytester.runpytest_inprocess(*QUICK, *arguments)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()
