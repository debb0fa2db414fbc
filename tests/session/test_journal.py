"""The journal of a session: what is appended is read again, whatever cuts it off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_energy.errors import FileFormatError
from pytest_energy.model.comparison import Against
from pytest_energy.model.files import append
from pytest_energy.model.json_files import load_run, save_run
from pytest_energy.session.journal import (
    Entry,
    Journal,
    journal_path,
    load_journal,
    load_results,
    recover,
)
from tests.gate_data import result, run_of


def journal_of(results: Path, *energies_j: float) -> Path:
    """The journal of a session with these results."""
    journal = Journal(results)
    for number, energy_j in enumerate(energies_j):
        journal.write(Entry(result=result(energy_j, f"t.py::test_{number}")), run_of)
    return journal_path(results)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The last one of a benchmark counts, and the run is incomplete."""
    results = tmp_path / "results.json"
    path = journal_of(results, 1.0, 2.0)
    later = result(3.0, "t.py::test_0")
    Journal(results).write(Entry(result=later, duration_s=4.0), run_of)
    run = load_journal(path)
    assert run is not None
    assert run.benchmarks == [later, result(2.0, "t.py::test_1")]
    assert (run.run.complete, run.run.duration_s) == (False, 4.0)


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    """A kill may come in the middle of a write, at any byte, also of a character with several."""
    journal = Journal(tmp_path / "results.json")
    for name in ("a", "é"):
        journal.write(Entry(result=result(test_id=f"t.py::test_{name}")), run_of)
    path = journal_path(tmp_path / "results.json")
    content = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    within = content.index("é".encode()) + 1
    for length in (0, 1, ends[0] - 1, *ends, ends[0] + 5, ends[1] + 5, within, ends[2] - 1):
        path.write_bytes(content[:length])
        run = load_journal(path)
        whole = sum(end <= length for end in ends)
        assert (len(run.benchmarks) + 1 if run else 0) == whole


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"status":"measured"', b'"status":"no such status"'),
        (b'{"run":null,', b"\x00\x00\x00"),
        (b"t.py::test_0", b"t.py::\xff"),
        (b'"value":1.0', b'"value":-1.0'),
    ],
    ids=["status", "zeros", "encoding", "negative joules"],
)
def test_a_damaged_line_costs_only_itself(tmp_path: Path, old: bytes, new: bytes) -> None:
    """The other results are read, and a note says that one is missing."""
    path = journal_of(tmp_path / "results.json", 1.0, 2.0, 3.0)
    head, first, *others = path.read_bytes().split(b"\n")
    assert old in first
    path.write_bytes(b"\n".join([head, first.replace(old, new), *others]))
    run = load_journal(path)
    assert run is not None
    assert [found.id for found in run.benchmarks] == ["t.py::test_1", "t.py::test_2"]
    assert run.run.notes == ["damaged lines of results.json.journal, left out: 1"]


def test_a_part_of_a_line_does_not_damage_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full may keep a part that cannot be removed again."""
    results = tmp_path / "results.json"
    journal = Journal(results)
    journal.write(Entry(result=result(1.0, "t.py::test_0")), run_of)

    def write_part(path: Path, text: str) -> None:
        append(path, text[:40])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pytest_energy.session.journal.append", write_part)
        with pytest.raises(OSError, match="space"):
            journal.write(Entry(result=result(2.0, "t.py::test_1")), run_of)
    journal.write(Entry(result=result(3.0, "t.py::test_2")), run_of)
    run = load_journal(journal_path(results))
    assert run is not None
    assert [found.id for found in run.benchmarks] == [f"t.py::test_{number}" for number in range(3)]


def test_a_session_without_results_leaves_the_earlier_ones(tmp_path: Path) -> None:
    """It was killed after its first block, before anything was decided."""
    results = tmp_path / "results.json"
    earlier = run_of(result())
    save_run(earlier, results)
    against = Against(reference="main", seed=1, blocks=1)
    Journal(results).write(Entry(against=against), run_of)
    assert load_results(results) == earlier
    assert recover(results) is None
    assert load_run(results) == earlier
    assert not journal_path(results).exists()


def test_saved_results_count_more_than_their_journal(tmp_path: Path) -> None:
    """A session may be killed after it has saved its results: they are complete."""
    results = tmp_path / "results.json"
    saved = run_of(result())
    Journal(results).write(Entry(result=result()), lambda: run_of())
    save_run(saved, results)
    assert recover(results) is None
    assert load_run(results) == saved
    assert not journal_path(results).exists()


def test_a_journal_replaces_the_results_of_another_session(tmp_path: Path) -> None:
    """The results that were saved are older; a file that cannot be read is no reason to stop."""
    results = tmp_path / "results.json"
    older = run_of(result(1.0, "t.py::test_old"))
    save_run(older.model_copy(update={"created": "2001-01-01T00:00:00Z"}), results)
    for content in (results.read_text(), "broken"):
        results.write_text(content)
        journal_of(results, 1.0)
        assert recover(results)
        assert [found.id for found in load_run(results).benchmarks] == ["t.py::test_0"]


def test_a_journal_without_a_session_is_named(tmp_path: Path) -> None:
    """Without the set-up of the session nothing can be assembled."""
    path = tmp_path / "results.json.journal"
    path.write_text("{}\n")
    with pytest.raises(FileFormatError, match="first line"):
        load_journal(path)


def test_what_a_full_disk_refused_comes_with_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No result is lost as soon as there is space again."""
    results = tmp_path / "results.json"
    journal = Journal(results)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pytest_energy.session.journal.append", fail)
        with pytest.raises(OSError, match="space"):
            journal.write(Entry(result=result()), run_of)
    journal.write(Entry(result=result(test_id="t.py::test_b")), run_of)
    run = load_journal(journal_path(results))
    assert run is not None
    assert len(run.benchmarks) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")  # noqa: PTH110
def test_appending_to_a_full_disk_fails() -> None:
    """The error is the system's own."""
    with pytest.raises(OSError, match="space"):
        append(Path("/dev/full"), "text")


def test_a_folder_that_a_test_removed_comes_again(tmp_path: Path) -> None:
    """The journal begins anew with its head."""
    results = tmp_path / "out" / "results.json"
    journal = Journal(results)
    journal.write(Entry(result=result()), run_of)
    journal_path(results).unlink()
    results.parent.rmdir()
    journal.write(Entry(result=result()), run_of)
    assert load_journal(journal_path(results))


def test_a_name_without_utf8_costs_no_result(tmp_path: Path) -> None:
    """Half of a surrogate pair is written with an escape."""
    results = tmp_path / "results.json"
    Journal(results).write(Entry(result=result(test_id="t.py::test_\ud800")), run_of)
    run = load_journal(journal_path(results))
    assert run is not None
    assert run.benchmarks[0].id == "t.py::test_\\ud800"


def test_nothing_is_recovered_where_nothing_was_left(tmp_path: Path) -> None:
    """Earlier results stay as they are."""
    results = tmp_path / "results.json"
    results.write_text("as it was")
    assert recover(results) is None
    assert results.read_text() == "as it was"
