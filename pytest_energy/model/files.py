"""Atomic writing of files, and checks that a file or folder can be written."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pytest_energy.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to a temporary file beside ``path``, then rename it to ``path``.

    A reader never sees an incomplete file, and a failure leaves the old file unchanged. Missing
    parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        temporary.chmod(0o644)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_file(path: Path, option: str) -> None:
    """Check that a file can be written; nothing is left behind.

    Args:
        path: The file. Its folder need not exist yet.
        option: The option that names the file, for the error.

    Raises:
        UsageError: The file cannot be written, or is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{option}={path}: {os.strerror(errno.EISDIR)}; name a file")
    _try_folder(path.parent, f"{option}={path}", "a file")


def check_folder(path: Path, option: str) -> None:
    """Check that a folder can be written to, as :func:`check_file` does for a file."""
    _try_folder(path, f"{option}={path}", "a folder")


def not_written(path: Path, error: OSError) -> str:
    """The message for a file that could not be written although its check had passed."""
    return f"could not write {path}: {error.strerror or error}"


def _try_folder(folder: Path, setting: str, kind: str) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        # Permissions alone do not show a full or read-only file system.
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".", suffix=".tmp"):
            pass
    except OSError as error:
        cause = error.strerror or error
        raise UsageError(f"{setting}: {cause}; name {kind} that can be written") from None
