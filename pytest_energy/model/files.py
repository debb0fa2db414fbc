"""Files that are written whole or not at all, and folders that are tried beforehand."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from pytest_energy.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` by way of a temporary file beside it and a rename.

    A reader never sees half a file, and a failure leaves the old file as it was. Missing
    parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_file(path: Path, option: str) -> None:
    """Try whether a file can be written that is to be; nothing is left behind.

    Args:
        path: The file's; missing folders are no fault.
        option: The option that names it.

    Raises:
        UsageError: It cannot be written, or is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{option}={path}: {os.strerror(errno.EISDIR)}; name a file")
    _try_folder(path.parent, f"{option}={path}", "a file")


def check_folder(path: Path, option: str) -> None:
    """Try whether a folder can be written to; as :func:`check_file`."""
    _try_folder(path, f"{option}={path}", "a folder")


def not_written(path: Path, error: OSError) -> str:
    """What is told of a file that could not be written in the end."""
    return f"could not write {path}: {error.strerror or error}"


def _try_folder(folder: Path, given: str, expected: str) -> None:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".", suffix=".tmp"):
            pass
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{given}: {why}; name {expected} that can be written") from None
