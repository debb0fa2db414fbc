"""A helper process beside the measured one, and the protocol between the two.

Questions and answers are lines of text. Each question has a mark that its answer repeats. If a
signal interrupts the wait for an answer, that answer is not taken for the one to a later question.
"""

from __future__ import annotations

import math
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from json import dumps, loads  # a test may replace json.dumps
from typing import Any

from pytest_energy.clocks import CLOCK

ANSWER_S = 20.0
"""Longer than any answer takes: the samples of a day are written within seconds."""
END_S = 5.0
"""A process that has not ended by then waits for a broken driver; it is abandoned."""
PARENT_S = 5.0
"""How often a helper checks that its parent process is alive, where the system does not tell."""


class HelperLostError(Exception):
    """The helper no longer answers; the text says why, as a predicate after the helper's name."""


class HelperProcess:
    """The asking end, in the measured process; the helper ends when this process ends.

    Forked children of this process share the pipes. Therefore neither asking nor closing waits for
    the end of a pipe.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        """Start ``python -m module``; its first argument is for :class:`Questions`.

        Raises:
            HelperLostError: This system has none.
        """
        if sys.platform == "win32":
            raise HelperLostError("is not available on Windows, which cannot wait for pipes")
        self._unread = bytearray()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            start_new_session=True,  # Ctrl-C must reach the parent only, which then ends the helper
        )

    def ask(self, question: str) -> Any:
        """Ask a question and return the answer.

        Raises:
            HelperLostError: The helper has ended, or did not answer for :data:`ANSWER_S`.
        """
        assert self._process.stdin is not None
        mark = str(CLOCK.monotonic_ns())
        try:
            self._process.stdin.write(f"{mark} {question}\n".encode())
        except (BrokenPipeError, ValueError):  # the helper has ended, or was closed
            raise self._gone() from None
        while True:
            answered, _, answer = self._line().partition(b" ")
            if answered == mark.encode():
                return loads(answer)

    def close(self) -> None:
        """End the helper; safe to call twice."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        while (end := self._unread.find(b"\n")) < 0:
            if not select.select([self._process.stdout], [], [], ANSWER_S)[0]:
                self.close()
                raise HelperLostError(f"did not answer for {ANSWER_S:g} s, and was ended")
            received = self._process.stdout.read(1 << 20)
            if not received:
                raise self._gone()
            self._unread += received
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def _gone(self) -> HelperLostError:
        return HelperLostError(f"has ended (exit status {self._process.poll()})")


@dataclass(frozen=True)
class Question:
    """A question that waits for its answer."""

    text: str
    mark: str

    def answer(self, value: object) -> None:
        """Answer with values that JSON can express."""
        print(self.mark, dumps(value), flush=True)


class Questions:
    """The answering end, in the helper: questions come from standard input."""

    def __init__(self, parent: str) -> None:
        """Take questions from the parent process with this PID."""
        self._parent = int(parent)
        self._inputs = (0, *_end_of(self._parent))
        self._unread = b""

    def next(self, pause_s: float = math.inf) -> Question | None:
        """The next question; ``None`` if there is none within ``pause_s``.

        Raises:
            EOFError: The input or the parent process has ended.
        """
        until_s = CLOCK.monotonic() + pause_s
        while b"\n" not in self._unread:
            left_s = max(0.0, until_s - CLOCK.monotonic())
            ready, _, _ = select.select(self._inputs, [], [], min(left_s, PARENT_S))
            received = os.read(0, 4096) if 0 in ready else b""
            # A forked child keeps the pipe open after the parent's end: its PID is checked, too.
            if (ready and not received) or os.getppid() != self._parent:
                raise EOFError
            if not ready and left_s <= PARENT_S:
                return None
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        mark, _, text = line.decode().partition(" ")
        return Question(text, mark)


def _end_of(pid: int) -> tuple[int, ...]:
    """What becomes readable when a process ends, on systems that offer it: Linux 5.3 or newer."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            return (os.pidfd_open(pid),)
    return ()
