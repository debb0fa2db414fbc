"""Sentences on a whole session."""

from __future__ import annotations

from pytest_energy.session.notes import saved
from tests.gate_data import result


def test_what_was_saved_is_said() -> None:
    """Joules of the passes that were not run; nothing where all were."""
    assert saved([result(2.0)], {}) == []
    assert saved([result(2.0)], {"t.py::test_a": 130}) == [
        "adaptive rounds ran 30 of the fixed protocol's 130 passes: 200 J saved"
        " (--energy-protocol=fixed runs them all)"
    ]
