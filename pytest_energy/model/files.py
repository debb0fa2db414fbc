"""Writing of all files, and checks that a file or folder can be written.

A test may replace the functions that work on files, or fake the whole file system, while the
plugin saves results. So the functions are kept from the import of this module on. They are in an
object, since pyfakefs replaces what the globals of a module refer to.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from pytest_energy.errors import UsageError

SOURCES: Final = frozenset((".py", ".pyi", ".ipynb", ".toml", ".ini", ".cfg"))
"""The endings of files that no session writes."""


@dataclass(frozen=True)
class FileFunctions:
    """The functions of the real file system, as they were at the import."""

    open: Callable[..., IO[Any]] = io.open
    os_open: Callable[..., int] = os.open
    stat: Callable[..., os.stat_result] = os.stat
    realpath: Callable[..., str] = os.path.realpath
    mkdir: Callable[..., None] = os.mkdir
    chmod: Callable[..., None] = os.chmod
    replace: Callable[..., None] = os.replace
    unlink: Callable[..., None] = os.unlink
    listdir: Callable[..., list[str]] = os.listdir


REAL = FileFunctions()


def write_atomically(path: Path, text: str | Iterable[str]) -> None:
    """Write ``text`` (UTF-8), whole or in parts, to the file at ``path``.

    A device or FIFO takes it as it is. A regular file is written to a temporary file beside it,
    which is then renamed: a reader never sees an incomplete file, and a failure leaves the old file
    unchanged. A symlink stays, and the file that it names is written. A new file has the mode that
    the umask allows, an old one keeps its own. Missing parent folders are created.

    Raises:
        OSError: The file cannot be written, or nobody reads the FIFO.
    """
    parts = (text,) if isinstance(text, str) else text
    # No name or remark of a test may cost a file: half of a surrogate pair has no UTF-8.
    content = (part.encode("utf-8", "backslashreplace") for part in parts)
    if is_stream(path):
        _write_into(path, content)
    else:
        _replace_file(Path(REAL.realpath(path)), content)


def is_stream(path: Path) -> bool:
    """Whether a path names what must not be replaced: a device, a FIFO or an open file."""
    folder = REAL.realpath(path.parent)
    if folder == "/dev" or folder.startswith("/proc/"):  # /dev/stdout may be a regular file
        return True
    mode = _mode(path)
    return mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    """Type and permissions of what a path leads to; ``None`` if there is nothing."""
    try:
        return REAL.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write_into(path: Path, content: Iterable[bytes]) -> None:
    # Opening a FIFO that nobody reads would wait for ever; this flag makes it an error.
    descriptor = REAL.os_open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    with REAL.open(descriptor, "wb") as file:
        file.writelines(content)


def _replace_file(path: Path, content: Iterable[bytes]) -> None:
    make_folder(path.parent)
    mode = _mode(path)
    temporary = path.parent / f"{_temporary_prefix(path)}{uuid.uuid4().hex[:12]}.tmp"
    try:
        with REAL.open(temporary, "xb") as file:
            file.writelines(content)
        if mode is not None:
            REAL.chmod(temporary, stat.S_IMODE(mode))
        REAL.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def append(path: Path, text: str) -> None:
    """Append ``text`` (UTF-8) to a file, all of it or nothing; a kill may leave a part of it.

    A missing file and missing parent folders are created.

    Raises:
        OSError: The file cannot be written; it is as long as before.
    """
    content = text.encode("utf-8", "backslashreplace")
    make_folder(path.parent)
    with REAL.open(path, "ab", buffering=0) as file:
        size = file.tell()
        try:
            while content:  # a disk that becomes full takes a part
                content = content[file.write(content) :]
        except BaseException:
            with suppress(OSError):  # the first error says more
                file.truncate(size)
            raise


def _temporary_prefix(path: Path) -> str:
    """Of the temporary files beside a file, whose own name may be as long as names can be."""
    return f".energy-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}-"


def remove_temporaries(path: Path) -> None:
    """Remove what a process that was killed while it wrote a file has left beside it."""
    path = Path(REAL.realpath(path))
    for other in list_folder(path.parent) if is_there(path.parent) else ():
        if other.name.startswith(_temporary_prefix(path)) and other.suffix == ".tmp":
            remove(other)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents.

    Raises:
        OSError: It cannot be created.
    """
    if _mode(folder) is not None:
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):  # another process was faster
        REAL.mkdir(folder)


def remove(path: Path) -> None:
    """Remove a file, if there is one."""
    with suppress(FileNotFoundError):
        REAL.unlink(path)


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: It cannot be read.
    """
    with REAL.open(path, "rb") as file:
        content: bytes = file.read()
    return content


def is_there(path: Path) -> bool:
    """Whether a file or folder exists."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def list_folder(path: Path) -> list[Path]:
    """What is in a folder, sorted by name; nothing if it is a file.

    Raises:
        OSError: The folder cannot be read.
    """
    return [path / name for name in sorted(REAL.listdir(path))] if is_folder(path) else []


def check_file(path: Path, option: str) -> None:
    """Check that a file can be written; nothing is left behind.

    Args:
        path: The file. Its folder need not exist yet.
        option: What stands before the file in the option that names it, for the error.

    Raises:
        UsageError: The file cannot be written, or is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{option}{path}: {os.strerror(errno.EISDIR)}; name a file")
    if not is_stream(path):
        _try_folder(Path(REAL.realpath(path)).parent, f"{option}{path}", "a file")
    elif not os.access(path, os.W_OK):
        _refuse(f"{option}{path}", os.strerror(errno.EACCES), "a file")


def check_files(files: Mapping[str, Path], option: str) -> None:
    """Check that all outputs of a session can be written, before it measures for hours.

    Args:
        files: By format.
        option: What stands before the format in the option.

    Raises:
        UsageError: One cannot be written, is a folder, or has the ending of code or of settings:
            ``--energy-json test_models.py`` would replace the tests.
    """
    for name, path in files.items():
        if path.suffix in SOURCES:
            raise UsageError(
                f"{option}{name}:{path}: a file that ends with {path.suffix} is code or settings,"
                " and would be replaced; name a file for the output"
            )
        check_file(path, f"{option}{name}:")


def check_apart(outputs: Mapping[str, Path], inputs: Iterable[Path]) -> None:
    """Check that a command replaces none of the files that it reads, nor one of its own.

    Args:
        outputs: The files to write, by option.
        inputs: The files that it reads.

    Raises:
        UsageError: An output is one of the inputs, or another output.
    """
    read = {REAL.realpath(path): path for path in inputs}
    written: dict[str, str] = {}
    for option, path in outputs.items():
        if is_stream(path):
            continue
        place = REAL.realpath(path)
        if place in read:
            raise UsageError(f"{option} {path}: this file is read, and would be lost; name another")
        if (other := written.setdefault(place, option)) != option:
            raise UsageError(f"{other} and {option} both write {path}; name two files")


def check_folder(path: Path, option: str) -> None:
    """Check that a folder can be written to, as :func:`check_file` does for a file."""
    _try_folder(path, f"{option}{path}", "a folder")


def not_written(path: Path, error: OSError) -> str:
    """The message for a file that could not be written although its check had passed."""
    if error.errno == errno.ENXIO:
        return f"could not write {path}: no process reads this FIFO; start its reader first"
    return f"could not write {path}: {error.strerror or error}"


def _try_folder(folder: Path, setting: str, kind: str) -> None:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    temporary = existing / f".energy-{uuid.uuid4().hex[:12]}.tmp"
    try:
        # Permissions alone do not show a full or read-only file system.
        with REAL.open(temporary, "xb"):
            pass
    except OSError as error:
        _refuse(setting, error.strerror or str(error), kind)
    remove(temporary)


def _refuse(setting: str, cause: str, kind: str) -> None:
    raise UsageError(f"{setting}: {cause}; name {kind} that can be written") from None
