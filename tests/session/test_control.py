"""What the control says: whether the machine moved, or the code did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.model.measurement import CONTROL_FILE
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, SuiteShift, Verdict
from pytest_energy.report.sentences import control, suite_shift
from pytest_energy.session.control import check_control
from pytest_energy.session.suite_shift import FEWEST_COMPARABLE, shifts_of
from tests.gate_data import measurement, run_of

KINDS = ("test_matmul", "test_copy")


def compared(test: str, change: float | None, half: float = 0.02, energy_j: float = 1.0) -> Result:
    """A benchmark with this change since its baseline; ``None`` for a new one."""
    interval = {} if change is None else {"low": change - half, "high": change + half}
    metric = MetricVerdict(
        metric="energy_j", outcome=Outcome.UNCHANGED, change=change, tolerance=0.05, **interval
    )
    return Result.of(
        measurement(energy_j, test), Verdict(outcome=Outcome.UNCHANGED, metrics=[metric])
    )


def controls(change: float | None, half: float = 0.02, end_j: float = 1.0) -> list[Result]:
    """The control at both ends of a session; every benchmark changed alike since its baseline."""
    return [
        compared(f"{CONTROL_FILE}::{kind}[{when}]", change, half, energy_j)
        for kind in KINDS
        for when, energy_j in (("begin", 1.0), ("end", end_j))
    ]


@pytest.mark.parametrize(
    ("change", "half", "machine"),
    [
        (0.03, 0.02, "moved"),
        (-0.03, 0.02, "moved"),
        (0.01, 0.01, "steady"),
        (0.0, 0.06, "steady"),
        (0.02, 0.12, "unclear"),
    ],
)
def test_a_control_moved_only_if_it_surely_did(change: float, half: float, machine: str) -> None:
    """Four benchmarks halve the interval of one; days that differ by 1 % are no change."""
    check = check_control(controls(change, half))
    assert check is not None
    assert (check.machine, check.benchmarks) == (machine, 4)
    assert check.low < check.change < check.high


@given(st.floats(-0.3, 0.3), st.floats(0.001, 0.2))
def test_the_control_is_the_mean_of_its_benchmarks(change: float, half: float) -> None:
    """Alike benchmarks have a mean that is each of them, and a smaller interval."""
    check = check_control(controls(change, half))
    assert check is not None
    assert check.change == pytest.approx(change, abs=1e-9)
    assert check.high - check.low < 2 * half


def test_only_the_control_counts_and_only_with_baselines() -> None:
    """Other benchmarks say nothing of the machine, nor does a control that is new."""
    assert check_control([compared("t.py::test_a", 0.5)]) is None
    assert check_control(controls(None)) is None
    one = check_control([*controls(None)[1:], controls(0.0)[0]])
    assert one is not None
    assert one.benchmarks == 1


def test_a_drift_within_the_session_is_shown() -> None:
    """The control at the end against the one at the beginning."""
    run = run_of()
    check = check_control(controls(0.0, end_j=1.04))
    assert check is not None
    assert check.drift == pytest.approx(0.04)
    info = run.run.model_copy(update={"control": check})
    text = control(run.model_copy(update={"run": info}))
    assert text is not None
    assert text.endswith("from the beginning of the session to its end +4.0 %")


def test_the_suite_shifts_without_its_control() -> None:
    """The control must not explain away what it is asked about."""
    few = [compared(f"t.py::test_{n}", 0.03) for n in range(FEWEST_COMPARABLE - 1)]
    assert shifts_of([*few, *controls(0.0)]) == {}
    enough = [*few, compared("t.py::test_more", 0.03), *controls(-0.5)]
    assert shifts_of(enough)["energy_j"].relative == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("change", "half", "cause"),
    [
        (0.03, 0.02, "the control moved as well, so it is the machine"),
        (0.0, 0.02, "the control did not move with it, so it is a change that hits everything"),
        (0.02, 0.12, "it is the machine, or a change that hits everything"),
        (-0.03, 0.02, "it is the machine, or a change that hits everything"),
    ],
)
def test_the_control_says_whose_the_shift_is(change: float, half: float, cause: str) -> None:
    """A suite that moved by +3 % with its control, or without it."""
    shift = SuiteShift(
        outcome=Outcome.UNCHANGED, change=0.03, low=0.028, high=0.032, tolerance=0.05, benchmarks=30
    )
    run = run_of()
    update = {"suite_shift": shift, "control": check_control(controls(change, half))}
    text = suite_shift(run.model_copy(update={"run": run.run.model_copy(update=update)}))
    assert text is not None
    assert text.endswith(cause)
