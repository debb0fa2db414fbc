"""Several visits, combined into one measurement."""

from __future__ import annotations

import pytest

from pytest_energy.gate.pooling import pool
from pytest_energy.model.measurement import (
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)


def visit(energy_j: float, uncertainty: float = 0.02, **fields: object) -> Measurement:
    """What one visit found."""
    values = {
        "id": "t.py::test_a",
        "kind": "inference",
        "workload": {},
        "status": "measured",
        "meter": MeterInfo(name="nvml", source="counter"),
        "metrics": {
            "energy_j": Quantity(
                value=energy_j, unit="J/pass", uncertainty=uncertainty, degrees_of_freedom=2
            ),
            "params": Quantity(value=7, unit="1", exact=True),
        },
        "rounds": [Round(start=0, duration_s=1, passes=10, energy_j=10 * energy_j)] * 3,
        **fields,
    }
    return Measurement.model_validate(values)


def test_a_single_visit_stays_as_it_is() -> None:
    """Pooling one visit changes nothing."""
    assert pool([visit(1.0)]) == visit(1.0)


def test_visits_are_averaged() -> None:
    """Two visits give their mean, a smaller uncertainty and all rounds, each with its visit."""
    pooled = pool([visit(1.0), visit(1.2)])
    energy = pooled.metrics["energy_j"]
    assert energy.value == pytest.approx(1.1)
    assert energy.uncertainty is not None
    assert energy.uncertainty < 0.02
    assert [measured.visit for measured in pooled.rounds] == [1, 1, 1, 2, 2, 2]
    assert pooled.metrics["params"].value == 7


def test_a_visit_without_joules_does_not_spoil_the_others() -> None:
    """An invalid visit is left out; why it was is still told."""
    reason = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    pooled = pool([visit(1.0), visit(9.0, status="invalid", metrics={}, reasons=[reason])])
    assert (pooled.status, pooled.metrics["energy_j"].value) == ("measured", 1.0)
    assert [(reason.code, reason.fatal) for reason in pooled.reasons] == [
        (ReasonCode.CONTENDED, False)
    ]
