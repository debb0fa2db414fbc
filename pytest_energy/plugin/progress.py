"""Live progress on the last line of a terminal, gone without a trace when it is done.

It is written only between rounds, never between the edges of a window: writing costs energy too,
and the terminal may be drawn by the very machine that is measured. The cursor is saved before and
restored after the text (DECSC, EL, DECRC of ECMA-48 and the VT100), so that pytest's own line goes
on where it stopped.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import pytest

from pytest_energy.report.numbers import energy

SHORTEST_INTERVAL_S = 0.25
"""At most four updates a second."""
DRAW = "\0337{}\033[K\0338"
"""Save the cursor, write, erase to the end of the line, restore the cursor."""


@dataclass
class Progress:
    """Shows how far a benchmark is; :meth:`clear` before anything else writes to that line."""

    write: Callable[[str], object]
    columns_left: Callable[[], int]
    """Columns between the cursor and the right edge of the terminal."""
    clock: Callable[[], float] = time.monotonic
    _next_s: float = float("-inf")
    _shown: bool = False

    def update(
        self, benchmark: str, round: int, rounds: int | None, passes: int, joules: float | None
    ) -> None:
        """Show one state, unless the last one is younger than :data:`SHORTEST_INTERVAL_S`.

        Args:
            benchmark: Its test's node id.
            round: The round that begins now, from 1; 0 is the warm-up.
            rounds: How many rounds there will be, where that is known.
            passes: Passes of each round.
            joules: Joules measured so far, where any were.
        """
        now = self.clock()
        if now < self._next_s:
            return
        self._next_s = now + SHORTEST_INTERVAL_S
        self.show(describe(benchmark, round, rounds, passes, joules))

    def show(self, text: str) -> None:
        """Show a text in place of what is shown."""
        self.write(DRAW.format(cut(" " + text, self.columns_left())))
        self._shown = True

    def clear(self) -> None:
        """Take away what is shown."""
        if self._shown:
            self.write(DRAW.format(""))
        self._shown = False
        self._next_s = float("-inf")


@dataclass
class Sent:
    """Progress that a worker sends, since nobody sees its own terminal."""

    send: Callable[[str | None], object]

    def update(
        self, benchmark: str, round: int, rounds: int | None, passes: int, joules: float | None
    ) -> None:
        """Tell of a round that begins: as :meth:`Progress.update`, but of every one."""
        self.send(brief(benchmark, round, rounds))

    def clear(self) -> None:
        """Tell that nothing is measured any more."""
        self.send(None)


class Together:
    """What several workers are at, on one line; told by other threads than the one that writes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.RLock()
        self._running: dict[str, str] = {}

    def tell(self, worker: str, state: str | None) -> None:
        """A worker is at something, or at nothing any more."""
        with self._lock:
            self._running.pop(worker, None)
            if state is not None:
                self._running[worker] = state
            self._show()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A stretch in which others write to the terminal."""
        with self._lock:
            self._progress.clear()
            yield
            self._show()

    def _show(self) -> None:
        if self._running:
            states = sorted(self._running.items())
            self._progress.show(" · ".join(f"{worker} {state}" for worker, state in states))
        else:
            self._progress.clear()


def brief(benchmark: str, round: int, rounds: int | None) -> str:
    """A state in few words: the test's name and its round."""
    name = benchmark.rpartition("/")[2].partition("::")[2] or benchmark
    return f"{name} {round}" + (f"/{rounds}" if rounds else "") if round else f"{name} warm-up"


def describe(
    benchmark: str, round: int, rounds: int | None, passes: int, joules: float | None
) -> str:
    """A state in words, what matters most first, because the end may be cut off."""
    parts = [f"round {round}" + (f"/{rounds}" if rounds else "") if round else "warm-up"]
    if round:
        parts[0] += f" of {passes:,} passes"
    if joules is not None:
        parts.append(energy(joules))
    return " · ".join([*parts, benchmark])


def cut(text: str, columns: int) -> str:
    """``text`` within ``columns`` cells, control characters taken out."""
    text = "".join(character for character in text if character.isprintable())
    if len(text) <= columns:
        return text
    return text[: columns - 1] + "…" if columns > 1 else ""


def on_terminal(config: pytest.Config) -> Progress | None:
    """Progress for this session, or ``None`` where nobody would see it as it is meant.

    That is: output into a pipe or file, a terminal that knows no cursor, ``-q``, no terminal
    reporter, or an xdist worker, whose output nobody sees.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    in_worker = hasattr(config, "workerinput")
    if reporter is None or in_worker or config.get_verbosity() < 0:
        return None
    if not reporter.isatty or os.environ.get("TERM", "dumb") == "dumb":
        return None
    terminal = config.get_terminal_writer()

    def write(text: str) -> None:
        with _uncaptured(config):
            terminal.write_raw(text, flush=True)

    return Progress(write, lambda: terminal.fullwidth - terminal.width_of_current_line - 1)


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """A stretch in which output reaches the terminal although a test's output is captured."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    return manager.global_and_fixture_disabled() if manager else nullcontext()
