"""One side of a comparison as a child process: started, asked, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent
from typing import IO, Final

from pytest_energy.against.messages import Channel, SideConfig, SideRun, Started, Waiting
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.meters.nvml.devices.processes import SIDE_VARIABLE
from pytest_energy.model.comparison import SideName

START_MODULE: Final = "pytest_energy.plugin.alternation.side_start"
END_S: Final = 10.0
"""How long a side may take to end by itself."""
START_S: Final = 600.0
"""How long a side may take at least to import the tests and to open its meter."""
STACK_SIGNAL: Final = getattr(signal, "SIGUSR2", signal.SIGTERM)  # Windows has no sides
"""Upon which a side writes where it is; ``side_start`` registers it."""
STACK_S: Final = 1.0
"""How long a side that hangs may take for that."""
LOG_LINES: Final = 15
"""The last lines of a side's output that an error shows."""


class StoppedError(Exception):
    """The comparison was stopped while a side was at work."""


class RunningSides:
    """The sides that run: another thread can end all of them, and none starts afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sides: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Note a side that has started."""
        with self._lock:
            self._sides.add(process)
            if self.stopped:
                _kill(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Note that a side has ended."""
        with self._lock:
            self._sides.discard(process)

    def stop(self) -> None:
        """Kill all sides. A call that waits for one raises :class:`StoppedError`."""
        with self._lock:
            self.stopped = True
            for process in self._sides:
                _kill(process)


@dataclass(frozen=True)
class SidePlan:
    """How to start a side."""

    name: SideName
    python: str
    environment: Path | None
    """The folder of its own environment, if it has one."""
    tree: Path
    other: Path
    folder: Path
    """Where it starts."""
    paths: tuple[str, ...]
    arguments: tuple[str, ...]
    """Of pytest."""
    variables: Mapping[str, str]
    timeout_s: float | None
    """How long it may be silent; ``None`` for no limit."""
    alternates: bool = True
    """Whether another side measures the same tests in turn."""
    checks_imports: bool = True
    """Whether it must import the project from its tree."""
    running: RunningSides = field(default_factory=RunningSides)


@dataclass
class SideFailedError(EnergyError):
    """A side that crashed or hung; the text says which, how, and its last words."""

    side: SideName
    how: str
    log: str = ""

    def __str__(self) -> str:
        # Indented, since a side's own headings would look like those of the session.
        ending = f"; its last lines:\n{indent(self.log, '    ')}" if self.log else ""
        return f"the {self.side} side {self.how}{ending}"


@dataclass
class Side:
    """A running side. It works only between a question and its answer."""

    plan: SidePlan
    process: subprocess.Popen[bytes]
    channel: Channel
    output: IO[bytes]
    head_bytes: int = 0
    """Of the output, the part that the start has written: pytest's header."""

    @classmethod
    def start(cls, plan: SidePlan) -> Side:
        """Start the process, which imports and collects; :meth:`open` waits for it."""
        ours, theirs = socket.socketpair()
        config = SideConfig(
            plan.name,
            theirs.fileno(),
            str(plan.tree),
            str(plan.other),
            str(plan.environment) if plan.environment else None,
            plan.paths,
            plan.alternates,
            plan.checks_imports,
        )
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the side
        try:
            process = subprocess.Popen(
                # -P: the folder where it starts must not come before the side's own paths.
                [plan.python, "-P", "-m", START_MODULE, *plan.arguments],
                cwd=plan.folder,
                env={**plan.variables, SIDE_VARIABLE: config.dump()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C reaches the session only, which then ends its sides and their children.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            output.close()
            raise UsageError(
                f"the {plan.name} side cannot be started with {plan.python}: {error.strerror}"
            ) from None
        finally:
            theirs.close()
        plan.running.add(process)
        return cls(plan, process, Channel(ours), output)

    def open(self) -> Started:
        """Wait until the side has collected its tests, then let it open the meter.

        Raises:
            UsageError: It has ended instead, or imported the project from another tree.
        """
        try:
            limit_s = max(START_S, self.plan.timeout_s or START_S)
            self._answer(limit_s)
            self._send({"open": True})
            started = Started.model_validate(self._answer(limit_s))
            self.head_bytes = os.fstat(self.output.fileno()).st_size
        except SideFailedError as error:
            raise UsageError(f"--energy-against: {error}{self._hint(error)}") from None
        self.check_imports(started.elsewhere)
        return started

    def _hint(self, error: SideFailedError) -> str:
        if "No module named" in error.log and "pytest" in error.log:
            return (
                f"\ninstall pytest-energy for {self.plan.python}, for example by"
                " --energy-against-setup"
            )
        return ""

    def run(self, test: str, following: str | None, visit: int = 1) -> SideRun | Waiting:
        """Begin a test, until the side waits for its first window.

        Args:
            test: Its id.
            following: The test that runs next, for which fixtures are kept.
            visit: How often the test is measured, this time included; later visits are shorter.

        Raises:
            SideFailedError: The side crashed or hung.
            UsageError: It imported the project from another tree.
        """
        return self._ask({"run": test, "next": following, "visit": visit})

    def go_on(self, passes: int) -> SideRun | Waiting:
        """Let the side work until the end of its next window, or of the test.

        Args:
            passes: Of a window, for a side that runs as many as the other one.

        Raises:
            SideFailedError: The side crashed or hung.
            StoppedError: It was ended by :meth:`RunningSides.stop`.
            UsageError: It imported the project from another tree.
        """
        return self._ask({"go": passes})

    def _ask(self, question: dict[str, object]) -> SideRun | Waiting:
        self._send(question)
        answer = self._answer(self.plan.timeout_s)
        if "finished" not in answer:
            return Waiting(int(str(answer["waiting"])))
        finished = SideRun.model_validate(answer["finished"])
        self.check_imports(finished.elsewhere)
        return finished

    def _send(self, question: dict[str, object]) -> None:
        try:
            self.channel.send(question)
        except OSError:
            raise self._crashed() from None

    def _answer(self, limit_s: float | None) -> dict[str, object]:
        try:
            answer = self.channel.receive(limit_s)
        except TimeoutError:
            log = self._stack() or self.log()
            self.stop()
            how = f"gave no answer for {limit_s:g} s (--energy-against-timeout)"
            raise SideFailedError(self.plan.name, f"hung: it {how}", log) from None
        if answer is None:
            raise self._crashed()
        return answer

    def _crashed(self) -> SideFailedError:
        if self.plan.running.stopped:
            raise StoppedError
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.stop()
            return SideFailedError(self.plan.name, "closed its connection", self.log())
        return SideFailedError(self.plan.name, f"crashed: it {_describe(status)}", self.log())

    def check_imports(self, elsewhere: Mapping[str, str]) -> None:
        """Refuse a side that would measure the code of another tree.

        Raises:
            UsageError: It imported a module of the project from elsewhere.
        """
        if not elsewhere:
            return
        name, file = next(iter(elsewhere.items()))
        raise UsageError(
            f"--energy-against: the {self.plan.name} side imported {name} from {file}, not from its"
            f" own tree {self.plan.tree}; nothing can be compared. Give each side an environment of"
            " its own (--energy-against-setup), or let pytest import from the tree (the ini option"
            " pythonpath)"
        )

    def log(self) -> str:
        """The last lines of what the side wrote, without its header once it has started."""
        self.output.seek(self.head_bytes)
        text = self.output.read().decode("utf-8", "replace")
        return "\n".join(text.rstrip().splitlines()[-LOG_LINES:])

    def _stack(self) -> str:
        """Where a side hangs, innermost call first; empty if it cannot tell."""
        written = os.fstat(self.output.fileno()).st_size
        with suppress(ProcessLookupError):
            self.process.send_signal(STACK_SIGNAL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STACK_S)
        self.output.seek(written)
        text = self.output.read().decode("utf-8", "replace")
        return "\n".join(text.rstrip().splitlines()[:LOG_LINES])

    def close(self) -> None:
        """End the side, by force if it does not end by itself."""
        with suppress(OSError, subprocess.TimeoutExpired):
            # Wherever the side waits, also for its turn in a test, it ends with the session.
            self.channel.finish()
            self.process.wait(END_S)
        self.stop()
        self.plan.running.remove(self.process)
        self.channel.close()
        self.output.close()

    def stop(self) -> None:
        """Kill the side and all processes that it started."""
        _kill(self.process)
        self.process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _describe(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    if -status == signal.SIGKILL:
        return "was ended by SIGKILL, as the system does when memory runs out"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
