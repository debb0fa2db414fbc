"""One shard: a session of pytest in a process of its own, on the machine that an engine chose."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import Final

from pytest_energy.errors import EnergyError
from pytest_energy.fleet.engine import ENDED, Outcome, Task
from pytest_energy.model.files import is_there
from pytest_energy.model.json_files import dump_run
from pytest_energy.model.result import Run
from pytest_energy.session.journal import load_results

LONGEST_OUTPUT: Final = 200_000
"""Bytes that are kept of a session's output: its end."""
STOP_S: Final = 10.0
"""Seconds that a session has to end after Ctrl-C, before it is killed."""
OF_WHOLE_RUN: Final = frozenset({"GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITLAB_CI"})
"""Variables of CI that make a session write about a whole run, which a shard is not."""


class ShardSession:
    """The session of a shard.

    Args:
        task: The task.
        root: The root of the project on this machine.
        variables: For pytest, such as the card that it may use.
    """

    def __init__(self, task: Task, root: Path, variables: dict[str, str] | None = None) -> None:
        self._task = task
        self._tests_folder = root / task.folder
        self._temporary = TemporaryDirectory(prefix="pytest-energy-shard-")
        self._results = Path(self._temporary.name, "results.json")
        self._output = Path(self._temporary.name, "output.txt")
        outputs = [f"--energy-output=json:{self._results}", "--energy-output=html:none"]
        command = [sys.executable, "-m", "pytest", *task.arguments, "--energy", *outputs]
        surroundings = {
            name: value for name, value in os.environ.items() if name not in OF_WHOLE_RUN
        }
        with self._output.open("wb") as output:
            self._process = Popen(
                command,
                cwd=self._tests_folder,
                env={**task.environment, **surroundings, **(variables or {})},
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                preexec_fn=_end_with_parent(),
                # Ctrl-C in the terminal is for the fleet, which then stops its shards.
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Whether the session is over."""
        return self._process.poll() is not None

    def outcome(self) -> Outcome:
        """Wait for the end of the session and return what it found."""
        try:
            status = self._process.wait()
            return self._outcome(status)
        finally:
            self.stop()

    def _outcome(self, status: int) -> Outcome:
        output = self._output.read_bytes()[-LONGEST_OUTPUT:].decode("utf-8", "replace")
        run, fault = self._run()
        reason = fault
        if status < 0:
            reason = f"killed by {signal.Signals(-status).name}"
        elif status not in ENDED:
            errors = [line for line in output.splitlines() if line.startswith("ERROR")]
            reason = ": ".join([f"pytest ended with exit status {status}", *errors[:1]])
        return Outcome(
            self._task.shard,
            # Without its results, a session that measured has not finished.
            None if status < 0 or fault else status,
            None if run is None else dump_run(run),
            output,
            reason,
            {} if run is None else self._accepted(run),
        )

    def _run(self) -> tuple[Run | None, str]:
        """The results, with what is wrong with them."""
        try:
            return load_results(self._results), ""
        except FileNotFoundError:
            return None, ""
        except (EnergyError, OSError) as error:
            return None, f"its results cannot be read: {error}"

    def _accepted(self, run: Run) -> dict[str, str]:
        """The baselines that the session wrote: this machine may have only a copy of the tree."""
        root = self._tests_folder / self._task.root
        paths = [path for path in run.run.accepted if not Path(path).is_absolute()]
        return {path: (root / path).read_text("utf-8") for path in paths if is_there(root / path)}

    def stop(self) -> None:
        """End the session, and what it started, and remove its files."""
        for number, patience_s in ((signal.SIGINT, STOP_S), (signal.SIGKILL, None)):
            if not self.has_ended():
                with suppress(ProcessLookupError, TimeoutExpired):
                    os.killpg(self._process.pid, number)
                    self._process.wait(patience_s)
        self._temporary.cleanup()


def _end_with_parent() -> Callable[[], object]:
    """What a new process calls to be killed with the thread that started it.

    It must not measure on beside the session that replaces it. Source: prctl(2),
    ``PR_SET_PDEATHSIG``. The library is loaded before the fork, which holds no lock then.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)


def run_shard(task: Task, root: Path, variables: dict[str, str] | None = None) -> Outcome:
    """Run a shard to its end.

    Args:
        task: The task.
        root: The root of the project on this machine.
        variables: For pytest, such as the card that it may use.
    """
    return ShardSession(task, root, variables).outcome()
