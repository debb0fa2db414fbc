"""How files are written: whole, through symlinks, into devices and FIFOs, with the usual mode."""

from __future__ import annotations

import builtins
import os
import stat
import threading
from pathlib import Path

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.model.files import (
    _temporary_prefix,
    check_file,
    not_written,
    read_bytes,
    remove_temporaries,
    write_atomically,
)


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """As with any other program, the user's umask decides who may read a new file."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "out.json", "new")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "out.json") == mode


def test_an_old_file_keeps_its_mode(tmp_path: Path) -> None:
    """Who may read a file does not change when its content does."""
    path = tmp_path / "out.json"
    path.touch()
    path.chmod(0o640)
    write_atomically(path, "new")
    assert (mode_of(path), path.read_text()) == (0o640, "new")


@pytest.mark.parametrize("there", [True, False])
def test_a_symlink_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    """A link to a file that exists, or will, is followed."""
    target, link = tmp_path / "elsewhere" / "target.html", tmp_path / "report.html"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["target.html"]


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    """Not even root turns /dev/null into a file, also through a link to it."""
    link = tmp_path / "nothing"
    link.symlink_to(os.devnull)
    for path in (Path(os.devnull), link):
        check_file(path, "--energy-output=html:")
        write_atomically(path, "text")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert link.is_symlink()


def test_a_fifo_gives_its_reader_everything(tmp_path: Path) -> None:
    """More than a pipe holds arrives whole, and the FIFO stays."""
    path, received = tmp_path / "pipe", []
    os.mkfifo(path)
    # A reader and a writer in one, which opens at once: write_atomically then finds a reader.
    held = os.open(path, os.O_RDWR)
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    write_atomically(path, "x" * 300_000)
    os.close(held)
    reader.join(60)
    assert received == [b"x" * 300_000]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_fifo_without_a_reader_is_an_error_and_no_wait(tmp_path: Path) -> None:
    """The session goes on, and says what is missing."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device") as raised:
        write_atomically(path, "text")
    assert not_written(path, raised.value) == (
        f"could not write {path}: no process reads this FIFO; start its reader first"
    )


def test_an_open_file_of_the_process_is_not_replaced(tmp_path: Path) -> None:
    """/dev/stdout may be a regular file, whose other text must stay."""
    log = tmp_path / "log"
    with log.open("w") as file:
        file.write("before\n")
        file.flush()
        write_atomically(Path(f"/dev/fd/{file.fileno()}"), "after\n")
    assert log.read_text() == "before\nafter\n"


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in place of the file is an error, without a temporary file left behind."""
    (tmp_path / "out.json").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "out.json", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    """The temporary file does not need a longer name than the file."""
    path = tmp_path / ("n" * 250 + ".json")
    write_atomically(path, "text")
    assert path.read_text() == "text"


def test_half_of_a_surrogate_pair_costs_no_file(tmp_path: Path) -> None:
    """It has no UTF-8, and stands escaped in the file."""
    write_atomically(tmp_path / "out.md", "a\udc80b")
    assert (tmp_path / "out.md").read_text("utf-8") == "a\\udc80b"


def test_what_a_test_replaces_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that a test mocks do not lead the results elsewhere."""

    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError

    path = tmp_path / "deep" / "out.json"
    with monkeypatch.context() as patch:
        for name in ("replace", "stat", "mkdir", "chmod", "unlink"):
            patch.setattr(os, name, refuse)
        patch.setattr(builtins, "open", refuse)
        for name in ("open", "exists", "mkdir", "read_text"):
            patch.setattr(Path, name, refuse)
        write_atomically(path, "text")
        assert read_bytes(path) == b"text"


def test_a_device_that_cannot_be_written_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of an option asks the device, not its folder."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match=r"--energy-output=html:/dev/null: Permission denied"):
        check_file(Path(os.devnull), "--energy-output=html:")


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """Only the temporary files of this file: another process may be writing another one."""
    own, other = (
        tmp_path / f"{_temporary_prefix(tmp_path / name)}0a.tmp"
        for name in ("results.json", "own.json")
    )
    for path in (own, other):
        path.touch()
    remove_temporaries(tmp_path / "results.json")
    assert [own.exists(), other.exists()] == [False, True]
    remove_temporaries(tmp_path / "no" / "folder" / "results.json")
