"""Handmade runs to render, without a meter, a test or a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_energy.model.measurement import Environment, Quantity, Reason, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, RunInfo, Verdict

MakeResult = Callable[..., Result]
MakeRun = Callable[..., Run]

CHANGES = {
    Outcome.REGRESSED: 0.09,
    Outcome.IMPROVED: -0.08,
    Outcome.UNCHANGED: 0.01,
    Outcome.INCONCLUSIVE: 0.05,
}
REASONS = {
    Outcome.INVALID: (ReasonCode.CONTENDED, "2 other processes used gpu0 during the window"),
    Outcome.UNMEASURED: (ReasonCode.NO_METER, "libnvidia-ml.so.1 is not installed"),
}


def result(
    outcome: Outcome = Outcome.UNCHANGED,
    id: str = "benchmarks/test_inference.py::test_inference[resnet50]",
    change: float | None = None,
    low: float | None = None,
    high: float | None = None,
    **fields: Any,
) -> Result:
    """A result with ``outcome``, its energy changed by ``change`` from 1 J a pass."""
    change = CHANGES.get(outcome) if change is None else change
    energy = 1.0 if change is None else 1 + change
    measured = outcome not in REASONS
    metrics = {"params": Quantity(value=25_557_032, unit="", exact=True)}
    if measured:
        metrics |= {
            "energy_j": Quantity(value=energy, unit="J/pass", uncertainty=0.004),
            "latency_s": Quantity(value=0.0021, unit="s", uncertainty=0.00001),
        }
    judged = MetricVerdict(
        metric="energy_j", outcome=outcome, baseline=1.0, value=energy, unit="J/pass",
        change=change, tolerance=0.05,
        low=change - 0.02 if low is None and change is not None else low,
        high=change + 0.02 if high is None and change is not None else high,
    )  # fmt: skip
    values: dict[str, Any] = {
        "id": id,
        "kind": "inference",
        "workload": {"model": "resnet50"},
        "status": "measured" if measured else outcome.value,
        "metrics": metrics,
        "reasons": [
            Reason(code=code, message=message)
            for code, message in [REASONS[outcome]]
        ]
        if not measured
        else [],
        "file": "benchmarks/test_inference.py",
        "line": 12,
        "verdict": Verdict(
            outcome=outcome,
            metrics=[judged] if change is not None else [],
            fails=outcome is Outcome.REGRESSED,
        ),
    }  # fmt: skip
    return Result(**{**values, **fields})


def run(*results: Result, **info: Any) -> Run:
    """A finished run of ``results`` on one card."""
    return Run(
        created="2026-01-02T03:04:05Z",
        environment=Environment(
            identity={"device": "NVIDIA H200", "device_count": 1}, context={"torch": "2.10.0"}
        ),
        run=RunInfo(
            **{"energy_j": 5_400.0, "duration_s": 75.0, "commit": "0123456789abcdef", **info}
        ),
        benchmarks=list(results),
    )


@pytest.fixture
def make_result() -> MakeResult:
    """Make a result: see :func:`result`."""
    return result


@pytest.fixture
def make_run() -> MakeRun:
    """Make a run: see :func:`run`."""
    return run
