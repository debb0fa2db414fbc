"""Sentences on a whole session."""

from __future__ import annotations

from pytest_energy.model.measurement import Round
from pytest_energy.model.result import Result
from pytest_energy.session.notes import drift_note, savings_note
from tests.gate_data import result


def test_what_was_saved_is_said() -> None:
    """Joules of the passes that were not run; nothing where all were."""
    assert savings_note([result(2.0)], {}) == []
    assert savings_note([result(2.0)], {"t.py::test_a": 130}) == [
        "Adaptive rounds saved 200 J: they ran 30 passes, and --energy-protocol=fixed would run"
        " 130."
    ]


def visited(test_id: str, *energies_j: float) -> Result:
    """A result with one visit of two rounds for each of these joules."""
    rounds = [
        Round(start=0, visit=number, duration_s=9, passes=10, energy_j=10 * energy_j)
        for number, energy_j in enumerate(energies_j, 1)
        for _ in range(2)
    ]
    return result(1.0, test_id, rounds=rounds)


def test_a_drift_that_all_benchmarks_share_is_reported() -> None:
    """It is the machine's, and the baselines of the session contain a part of it."""
    warming = [1.0, 1.01, 1.02, 1.03, 1.04]
    (note,) = drift_note([visited(f"t.py::test_{name}", *warming) for name in "abc"])
    assert note.startswith("The joules of 3 benchmarks rose together by 4.0 %")


def test_a_drift_of_one_benchmark_or_of_a_few_visits_is_none() -> None:
    """Noise in one direction is common, in all benchmarks it is not."""
    warming, steady, cooling = (
        [1.0, 1.02, 1.03, 1.04],
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 0.98, 0.97, 0.96],
    )
    series = (warming, steady, cooling)
    assert drift_note([visited(f"t.py::test_{n}", *v) for n, v in enumerate(series)]) == []
    assert drift_note([visited(f"t.py::test_{name}", 1.0, 1.05) for name in "abc"]) == []
