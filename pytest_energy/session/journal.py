"""The journal of a running session, from which its results are assembled if it is killed.

Each finding is appended as a line of JSON beside ``results.json``, which is written once, when the
session ends. So the cost of a session grows with the number of its results, not with its square.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import Field

from pytest_energy.errors import FileFormatError
from pytest_energy.model.comparison import Against
from pytest_energy.model.files import append, is_stream, is_there, list_folder, read_bytes, remove
from pytest_energy.model.json_files import (
    decode_utf8,
    dump_line,
    load_run,
    parse_json,
    possible_run,
    save_run,
)
from pytest_energy.model.measurement import Record
from pytest_energy.model.result import RESULTS_SCHEMA, Result, Run
from pytest_energy.model.workers_merge import merge_workers
from pytest_energy.session.suite_shift import with_common_changes

EXPECTED: Final = "the journal of a session"
INTERRUPTED: Final = "from the journal of an interrupted session"
"""The note of a run that was assembled."""


class Entry(Record):
    """One line: what a session found since the line before."""

    run: Run | None = None
    """The set-up of the session, in the first line; it has no benchmarks."""
    result: Result | None = None
    """Replaces an earlier result of the same benchmark."""
    duration_s: float | None = None
    """Seconds since the session was opened."""
    against: Against | None = None
    accepted: list[str] = Field(default_factory=list)
    failures: list[str] = Field(default_factory=list)


def journal_path(results: Path) -> Path:
    """The journal of a results file."""
    return results.with_name(f"{results.name}.journal")


def workers_prefix(results: Path) -> str:
    """The beginning of the names of the folders in which workers leave their results."""
    return f"{results.name}.workers-"


class Journal:
    """Appends lines; those that could not be written are tried again with the next one.

    Args:
        results: The results file; without one, and for a device or FIFO, there is no journal.
    """

    def __init__(self, results: Path | None = None) -> None:
        self.path: Final = None if results is None or is_stream(results) else journal_path(results)
        self._head = ""
        self._unwritten: list[str] = []
        self._line_end = ""
        """Ends the part of a line that a failed write may have left."""

    def write(self, entry: Entry, head: Callable[[], Run]) -> None:
        """Append an entry.

        Args:
            entry: What was found.
            head: Returns the session without its benchmarks; asked once.

        Raises:
            OSError: The journal cannot be written. The entry is kept for the next time.
        """
        if self.path is None:
            return
        self._head = self._head or dump_line(Entry(run=head()))
        self._unwritten.append(dump_line(entry))
        # A test may have removed the folder.
        begin = self._line_end if is_there(self.path) else self._head
        self._line_end = "\n"
        append(self.path, begin + "".join(self._unwritten))
        self._line_end = ""
        self._unwritten.clear()

    def remove(self) -> None:
        """Remove the file: the results are saved."""
        if self.path is not None:
            remove(self.path)


def load_results(results: Path) -> Run:
    """Read a results file, or the journal that an interrupted session has left beside it.

    Raises:
        FileFormatError: The file, or the journal, is none; the error has every fault.
        OSError: The file cannot be read.
    """
    return assembled(results) or load_run(results)


def recover(results: Path) -> str | None:
    """Assemble the results of an interrupted session, if one has left a journal or workers.

    Call it only while no other session can write these results.

    Returns:
        A sentence that says so; ``None`` if there is nothing to assemble.

    Raises:
        FileFormatError: A journal cannot be read.
        OSError: The results cannot be written; the journal stays.
    """
    if is_stream(results):
        return None
    run = assembled(results)
    if run is not None:
        save_run(run, results)
    remove(journal_path(results))
    for folder in workers_folders(results):
        shutil.rmtree(folder, ignore_errors=True)
    if run is None:
        return None
    return f"{results.name} has {len(run.benchmarks)} results {INTERRUPTED}"


def assembled(results: Path) -> Run | None:
    """The run of an interrupted session; ``None`` if it has left nothing that counts."""
    runs = {"": load_journal(journal_path(results))} if is_there(journal_path(results)) else {}
    for folder in workers_folders(results):
        runs |= load_workers(folder)
    whole = {name: run for name, run in runs.items() if run is not None}
    if not whole:
        return None
    run = merge_workers(list(whole.values()), list(whole))
    if is_there(results) and (not run.benchmarks or _has_saved(run, results)):
        return None
    notes = [*run.run.notes, INTERRUPTED]
    info = run.run.model_copy(update={"notes": notes, "complete": False, "energy_j": None})
    return with_common_changes(run.model_copy(update={"run": info}))


def _has_saved(run: Run, results: Path) -> bool:
    """Whether the session had saved its results, and was killed before it removed its journal."""
    with suppress(FileFormatError):
        return load_run(results).created == run.created
    return False


def workers_folders(results: Path) -> list[Path]:
    """The folders that sessions with workers have left."""
    if not is_there(results.parent):
        return []
    names = list_folder(results.parent)
    return [path for path in names if path.name.startswith(workers_prefix(results))]


def load_workers(folder: Path) -> dict[str, Run]:
    """The run of each worker by its name, in the order of the workers' numbers.

    A worker that has ended leaves a results file, one that was killed its journal.

    Raises:
        FileFormatError: A file in the folder is neither.
    """
    # The length comes first, because gw10 follows gw2.
    names = {path.name.partition(".")[0] for path in list_folder(folder) if path.suffix != ".tmp"}
    runs = {name: _load_worker(folder / f"{name}.json") for name in sorted(names, key=_by_number)}
    return {name: run for name, run in runs.items() if run is not None}


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name


def _load_worker(results: Path) -> Run | None:
    return load_run(results) if is_there(results) else load_journal(journal_path(results))


def load_journal(path: Path) -> Run | None:
    """Assemble a run from a journal; ``None`` if the session was killed before its first line.

    A damaged line costs only what it says. The run's notes have the number of such lines.

    Raises:
        FileFormatError: The first line, which has the set-up of the session, is damaged.
        OSError: The journal cannot be read.
    """
    lines = read_bytes(path).split(b"\n")[:-1]  # a killed process cuts the last one off
    if not lines:
        return None
    head = _parse_line(lines[0], path).run
    if head is None:
        raise FileFormatError(path, EXPECTED, ("its first line has no session; remove the file",))
    entries: list[Entry] = []
    damaged = 0
    for line in filter(None, lines[1:]):
        try:
            entries.append(_possible(_parse_line(line, path), head, path))
        except FileFormatError:
            damaged += 1
    run = _assemble(head, entries)
    if not damaged:
        return run
    note = f"damaged lines of {path.name}, left out: {damaged}"
    return run.model_copy(
        update={"run": run.run.model_copy(update={"notes": [*run.run.notes, note]})}
    )


def _parse_line(line: bytes, path: Path) -> Entry:
    text = decode_utf8(line, path, EXPECTED)
    return parse_json(text, Entry, path, EXPECTED, RESULTS_SCHEMA)


def _possible(entry: Entry, head: Run, path: Path) -> Entry:
    """The entry, unless its result has values that no measurement has."""
    if entry.result is not None:
        possible_run(head.model_copy(update={"benchmarks": [entry.result]}), path, EXPECTED)
    return entry


def _assemble(head: Run, entries: Sequence[Entry]) -> Run:
    results: dict[str, Result] = {}
    changes: dict[str, object] = {"complete": False}
    accepted: list[str] = []
    failures: list[str] = []
    for entry in entries:
        accepted += entry.accepted
        failures += entry.failures
        if entry.result is not None:
            results[entry.result.id] = entry.result
        for name in ("against", "duration_s"):
            if (value := getattr(entry, name)) is not None:
                changes[name] = value
    changes |= {"accepted": list(dict.fromkeys(accepted)), "failures": failures}
    info = head.run.model_copy(update=changes)
    return head.model_copy(update={"run": info, "benchmarks": list(results.values())})
