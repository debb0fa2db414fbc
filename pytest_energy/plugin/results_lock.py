"""The lock on a results file, so that two sessions do not overwrite each other's results."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pytest_energy.errors import UsageError
from pytest_energy.model.files import check_file, is_stream, not_written, remove_temporaries
from pytest_energy.plugin.gpu_locks import lock_folder, unusable
from pytest_energy.session.journal import recover
from pytest_energy.settings import RESULTS_OPTION, Settings

RESULTS_LOCKS_VARIABLE: Final = "PYTEST_ENERGY_RESULTS_LOCKS"
"""Set by ``pytest-energy simulate``: each of its sessions has cards of its own, but not a results
file of its own. Empty if the user has named no folder of locks."""


def _folder() -> Path:
    named = RESULTS_LOCKS_VARIABLE in os.environ
    return lock_folder(RESULTS_LOCKS_VARIABLE) if named else lock_folder()


def lock_name(results: Path) -> str:
    """The name of the lock on a results file: it lies with the others, not beside the file."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(results))).hexdigest()
    return f"{digest[:16]}.results"


def hold_results(results: Path) -> Callable[[], None]:
    """Take the lock on a results file; it is free again when the process ends at the latest.

    Returns:
        What releases it. A device or FIFO has no lock.

    Raises:
        UsageError: Another session has it.
    """
    if is_stream(results):
        return lambda: None
    lock = FileLock(_folder() / lock_name(results))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(
            f"another session is writing {results}; wait until it has ended, or write another file"
            " with --energy-output=json:FILE"
        ) from None
    except OSError as error:
        raise unusable(_folder(), error) from None
    return lock.release


def recover_results(settings: Settings) -> str | None:
    """Assemble what an interrupted session has left; the lock on its results must be held.

    Returns:
        A sentence that says so; ``None`` if there is nothing.

    Raises:
        EnergyError: The journal cannot be read, or the results cannot be written.
    """
    try:
        for path in settings.output.values():
            remove_temporaries(path)
        return recover(settings.json)
    except OSError as error:
        check_file(settings.json, RESULTS_OPTION)  # its error names the option
        raise UsageError(not_written(settings.json, error)) from None
