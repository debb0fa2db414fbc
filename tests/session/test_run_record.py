"""What a session finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.session.run_record import RunRecord
from tests.gate_data import TEST, measurement, result


def test_all_visits_of_a_session_belong_together() -> None:
    """Whoever runs the test again, until they are in a baseline; their cost counts for ever."""
    record = RunRecord()
    assert len(record.add_visit(measurement())) == 1
    assert record.visit_number(TEST) == 2
    assert len(record.add_visit(measurement())) == 2
    record.drop_visit(TEST)
    assert len(record.add_visit(measurement())) == 2
    record.begin_anew(TEST)
    assert record.visit_number(TEST) == 1
    visits = record.add_visit(measurement())
    assert len(visits) == 1
    rounds = visits[0].rounds
    assert record.retried_s == pytest.approx(2 * sum(round_.duration_s for round_ in rounds))
    assert record.retried_j == pytest.approx(2 * sum(round_.energy_j or 0 for round_ in rounds))


def test_a_revisit_is_asked_for_until_it_is_settled() -> None:
    """The last decision counts."""
    record = RunRecord()
    record.set_revisit(TEST, "suspect")
    assert record.revisits == {TEST: "suspect"}
    record.set_revisit(TEST, None)
    assert record.revisits == {}


def test_a_result_replaces_the_one_before_it() -> None:
    """A benchmark has one result, in the place where it was first known."""
    record = RunRecord()
    for test_id, energy_j in [("t.py::test_b", 1.0), (TEST, 2.0), ("t.py::test_b", 3.0)]:
        record.keep(result(energy_j, id=test_id))
    assert list(record.results) == ["t.py::test_b", TEST]
    assert record.results["t.py::test_b"].metrics["energy_j"].value == 3.0


def test_a_file_that_is_written_twice_counts_once() -> None:
    """The accepted files are named once, in the order of the first writing."""
    record = RunRecord()
    record.note_accepted([Path("b.json"), Path("a.json")])
    record.note_accepted([Path("b.json")])
    assert record.accepted == (Path("b.json"), Path("a.json"))


def test_what_is_handed_out_cannot_be_changed() -> None:
    """The record is written through its methods only."""
    record = RunRecord()
    with pytest.raises(TypeError):
        record.results[TEST] = result()  # type: ignore[index]
    with pytest.raises(TypeError):
        record.revisits[TEST] = "suspect"  # type: ignore[index]
