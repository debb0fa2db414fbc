"""Temporary folders that the next comparison removes if their session was killed.

The session holds a lock in each of its folders until it ends, however it ends. A process number
would not do: containers that share a folder for temporary files number their processes alike.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

PREFIX: Final = "pytest-energy-"
LOCK: Final = "session.lock"
YOUNG_S: Final = 60.0
"""A folder that was just made may not be locked yet."""


@contextmanager
def session_folder(kind: str) -> Iterator[Path]:
    """A temporary folder, which is removed at the end whatever happens.

    Args:
        kind: What it is for, in its name.
    """
    prefix = f"{PREFIX}{kind}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        with FileLock(folder / LOCK):
            yield folder


def remove_leftovers() -> None:
    """Remove the folders of sessions that were killed before they could do it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        lock = folder / LOCK
        try:
            if not lock.is_file() or time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):  # another user's, or its session is alive
            continue
