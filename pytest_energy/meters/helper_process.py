"""A process beside the measured one that is asked and answers, a line each: both its ends.

Each question carries a mark that its answer repeats. So an answer that nobody waited for, because
a signal interrupted who had asked, is never taken for that to a later question.
"""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

ANSWER_S = 20.0
"""Silence that no answer takes: the samples of a day are written within some seconds."""
END_S = 5.0
"""A process that the kernel cannot end so soon waits for a broken driver, and is left to it."""
PARENT_S = 5.0
"""How often a companion looks whether who started it lives."""


class HelperLostError(Exception):
    """A companion does not answer any more; the text says why, and goes after its name."""


class HelperProcess:
    """The asking end. The companion does nothing but what it is asked, and ends with this process.

    Processes that this one forks share the pipes: neither asking nor closing relies on their end.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        """Start ``python -m module``, whose :class:`Questions` take the first argument."""
        self._unread = bytearray()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    def ask(self, question: str) -> Any:
        """What it answers.

        Raises:
            HelperLostError: It has ended, or was silent for :data:`ANSWER_S` and was ended.
        """
        assert self._process.stdin is not None
        mark = str(time.monotonic_ns())
        try:
            self._process.stdin.write(f"{mark} {question}\n".encode())
        except (BrokenPipeError, ValueError):  # it has ended, or was closed
            raise self._gone() from None
        while True:
            answered, _, answer = self._line().partition(b" ")
            if answered == mark.encode():
                return json.loads(answer)

    def close(self) -> None:
        """End it; safe to call twice."""
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
            read = self._process.stdout.read(1 << 20)
            if not read:
                raise self._gone()
            self._unread += read
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def _gone(self) -> HelperLostError:
        return HelperLostError(f"has ended (exit status {self._process.poll()})")


@dataclass(frozen=True)
class Question:
    """One that waits for its answer."""

    text: str
    mark: str

    def answer(self, value: object) -> None:
        """Answer with plain JSON values."""
        print(self.mark, json.dumps(value), flush=True)


class Questions:
    """The answering end: standard input, as long as there is somebody to ask."""

    def __init__(self, parent: str) -> None:
        """Take questions from the process of that id."""
        self._parent = int(parent)
        self._unread = b""

    def next(self, pause_s: float = math.inf) -> Question | None:
        """The next question; ``None`` where there is none for ``pause_s``.

        Raises:
            EOFError: Nobody is left to ask: the input or the parent has ended.
        """
        until_s = time.monotonic() + pause_s
        while b"\n" not in self._unread:
            left_s = max(0.0, until_s - time.monotonic())
            told, _, _ = select.select([0], [], [], min(left_s, PARENT_S))
            read = os.read(0, 4096) if told else b""
            if (told and not read) or os.getppid() != self._parent:
                raise EOFError
            if not told and left_s <= PARENT_S:
                return None
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        mark, _, text = line.decode().partition(" ")
        return Question(text, mark)
