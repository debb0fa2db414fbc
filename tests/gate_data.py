"""Measurements, runs and baselines for tests of the gate."""

from __future__ import annotations

from pathlib import Path

from pytest_energy.gate.baseline import AcceptedRun, Baseline
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.measurement import (
    Environment,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict

H200 = Environment(identity={"device": "NVIDIA H200"}, context={"torch": "2.10"})
A100 = Environment(identity={"device": "NVIDIA A100"}, context={"torch": "2.10"})
TEST = "t.py::test_a"


def measurement(energy_j: float = 1.0, test_id: str = TEST, **fields: object) -> Measurement:
    """Three rounds of ten passes; ``fields`` replace what it has."""
    values = {
        "id": test_id,
        "kind": "inference",
        "workload": {"model": "resnet50"},
        "status": "measured",
        "meter": MeterInfo(name="nvml", source="counter"),
        "metrics": {
            "energy_j": Quantity(
                value=energy_j, unit="J/pass", uncertainty=energy_j / 250, degrees_of_freedom=2
            )
        },
        "rounds": [Round(start=0, duration_s=9, passes=10, energy_j=10 * energy_j)] * 3,
        **fields,
    }
    return Measurement.model_validate(values)


def result(
    energy_j: float = 1.0, test_id: str = TEST, outcome: Outcome = Outcome.NEW, **fields: object
) -> Result:
    """A measurement with a verdict."""
    return Result.of(measurement(energy_j, test_id, **fields), Verdict(outcome=outcome))


def invalid(test_id: str = TEST) -> Result:
    """A measurement that somebody else's process spoilt."""
    reason = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    return result(1.0, test_id, Outcome.INVALID, status="invalid", metrics={}, reasons=[reason])


def run_of(*results: Result, environment: Environment = H200, commit: str | None = "c0ffee") -> Run:
    """A run of these results."""
    return Run(
        created="2026-01-01T00:00:00Z",
        environment=environment,
        run=RunInfo(energy_j=100.0, duration_s=10.0, commit=commit),
        benchmarks=list(results),
    )


def baseline_of(*runs: AcceptedRun, **fields: object) -> Baseline:
    """The baseline of a test with these accepted runs."""
    common = {
        "id": TEST,
        "kind": "inference",
        "workload": {},
        "workload_hash": "0",
        "metrics": {"energy_j": Quantity(value=1.0, unit="J/pass")},
        "accepted": list(runs),
    }
    return Baseline.model_validate({**common, **fields})


def store_with(folder: Path, *energies_j: float, test_id: str = TEST) -> BaselineStore:
    """Baselines of one test that accepted these joules."""
    store = BaselineStore(folder / "baselines")
    for number, energy_j in enumerate(energies_j):
        store.save(measurement(energy_j, test_id), H200, "nvidia-h200", f"c{number}")
    return store
