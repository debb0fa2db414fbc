"""Live progress on the last line of a terminal, gone without a trace when it is done.

It is written only between rounds, never between the edges of a window: writing costs energy too,
and the terminal may be drawn by the very machine that is measured. The cursor is saved before and
restored after the text (DECSC, EL, DECRC of ECMA-48 and the VT100), so that pytest's own line goes
on where it stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from pytest_energy.report.format import energy

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
        text = describe(benchmark, round, rounds, passes, joules)
        self.write(DRAW.format(cut(" " + text, self.columns_left())))
        self._shown = True

    def clear(self) -> None:
        """Take away what is shown."""
        if self._shown:
            self.write(DRAW.format(""))
        self._shown = False
        self._next_s = float("-inf")


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
