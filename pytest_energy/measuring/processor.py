"""On which processor a short slice runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STAY: Final = 16
"""So many slices run on one processor before the next one is taken."""
TASKS: Final = Path("/proc/self/task")
"""Linux: a folder for each thread of this process."""


@contextmanager
def same_processor(slice_number: int) -> Iterator[None]:
    """Run the body on the processor that all processes take for the slice of this number.

    The processors of a busy machine differ in speed by a third, for seconds. Two processes that the
    system keeps on two of them would differ as much. A process of several threads is left alone: a
    thread that the body starts would not leave this processor.
    """
    processors = _usable()
    if len(processors) < 2:
        yield
        return
    # A container may lose processors meanwhile; then the system chooses, as it would without this.
    with suppress(OSError):
        os.sched_setaffinity(0, {processors[slice_number // STAY % len(processors)]})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, processors)


def _usable() -> list[int]:
    """The processors to choose from; none if this process must not be moved."""
    if not TASKS.is_dir() or len(list(TASKS.iterdir())) > 1:
        return []
    return sorted(os.sched_getaffinity(0))
