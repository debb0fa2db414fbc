"""Sentences on a whole session."""

from __future__ import annotations

from pytest_energy.session.notes import savings_note
from tests.gate_data import result


def test_what_was_saved_is_said() -> None:
    """Joules of the passes that were not run; nothing where all were."""
    assert savings_note([result(2.0)], {}) == []
    assert savings_note([result(2.0)], {"t.py::test_a": 130}) == [
        "Adaptive rounds saved 200 J: they ran 30 passes, and --energy-protocol=fixed would run"
        " 130."
    ]
