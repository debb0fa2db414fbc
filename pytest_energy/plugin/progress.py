"""Live progress on the last line of a terminal; it leaves no trace when it ends.

Progress is written between rounds only, never inside an energy window: writing costs energy, too,
and the measured machine may also draw the terminal. The cursor is saved before the text and
restored after it (DECSC, EL and DECRC of ECMA-48 and the VT100), so pytest's own line continues
where it stopped.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import pytest
from _pytest.terminal import TerminalReporter  # exported by newer versions of pytest only

from pytest_energy.report.numbers import energy, rough

T = TypeVar("T")

SHORTEST_INTERVAL_S = 0.25
"""At most four updates a second."""
DRAW = "\0337{}\033[K\0338"
"""Save the cursor, write, erase to the end of the line, restore the cursor."""


@dataclass
class ProgressLine:
    """Shows how far a benchmark is. Call :meth:`clear` before anything else writes to that line."""

    write: Callable[[str], object]
    columns_left: Callable[[], int]
    """Columns between the cursor and the right edge of the terminal."""
    clock: Callable[[], float] = time.monotonic
    _next_s: float = float("-inf")
    _shown: bool = False

    def update(
        self,
        benchmark: str,
        round: int,
        rounds: int | None,
        passes: int | None,
        joules: float | None,
        left_s: float | None = None,
    ) -> None:
        """Show the state of a benchmark, unless the last one is too recent to be replaced.

        Args:
            benchmark: The node id of its test.
            round: The round that begins now, from 1; 0 is the warm-up.
            rounds: The number of rounds, if it is known.
            passes: Passes per round.
            joules: Joules measured so far; ``None`` if none were.
            left_s: Seconds until the last round ends, if they are known.
        """
        now = self.clock()
        if now < self._next_s:
            return
        self._next_s = now + SHORTEST_INTERVAL_S
        self.show(describe(benchmark, round, rounds, passes, joules, left_s))

    def show(self, text: str) -> None:
        """Replace the shown text."""
        self.write(DRAW.format(cut(" " + text, self.columns_left())))
        self._shown = True

    def clear(self) -> None:
        """Remove the shown text."""
        if self._shown:
            self.write(DRAW.format(""))
        self._shown = False
        self._next_s = float("-inf")


@dataclass
class WorkerProgress:
    """Sends the progress of a worker to the controller, since a worker has no terminal."""

    send: Callable[[str | None], object]
    """Sends a state; ``None`` if nothing is measured."""

    def update(
        self,
        benchmark: str,
        round: int,
        rounds: int | None,
        passes: int | None,
        joules: float | None,
        left_s: float | None = None,
    ) -> None:
        """Send the state of a benchmark; see :meth:`ProgressLine.update`."""
        self.send(describe_briefly(benchmark, round, rounds))

    def show(self, text: str) -> None:
        """Send another state."""
        self.send(text)

    def clear(self) -> None:
        """Send that nothing is measured any more."""
        self.send(None)


class WorkersProgress(Generic[T]):
    """Shows the states of all workers on one line.

    Args:
        line: The line.
        compose: Makes one text of the states, by worker.
    """

    def __init__(self, line: ProgressLine, compose: Callable[[Mapping[str, T]], str]) -> None:
        self._line = line
        self._compose = compose
        # The states arrive in other threads, while pytest writes in the main thread.
        self._lock = threading.RLock()
        self._states: dict[str, T] = {}

    def set_state(self, worker: str, state: T | None) -> None:
        """Show the state of a worker; ``None`` if it measures nothing."""
        with self._lock:
            self._states.pop(worker, None)
            if state is not None:
                self._states[worker] = state
            self._show()

    def clear(self) -> None:
        """Remove the line until a state changes."""
        with self._lock:
            self._line.clear()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the line while something else writes to the terminal."""
        with self._lock:
            self._line.clear()
            yield
            self._show()

    def _show(self) -> None:
        if self._states:
            self._line.show(self._compose(self._states))
        else:
            self._line.clear()


def side_by_side(states: Mapping[str, str]) -> str:
    """``gw0 test_a 1/3 · gw1 test_b warm-up``."""
    return " · ".join(f"{worker} {state}" for worker, state in sorted(states.items()))


def describe_briefly(benchmark: str, round: int, rounds: int | None) -> str:
    """Describe a state in few words: the name of the test and its round."""
    name = name_of(benchmark)
    return f"{name} {_counted(round, rounds)}" if round else f"{name} warm-up"


def name_of(benchmark: str) -> str:
    """The name of a test without its file."""
    return benchmark.rpartition("/")[2].partition("::")[2] or benchmark


def forecast_line(benchmark: str, duration_s: float, joules: float | None) -> str:
    """What a benchmark will cost: ``about 4 min, 70 kJ: test_generate``."""
    cost = (
        rough(duration_s) if joules is None else f"{rough(duration_s)}, {energy(joules, digits=2)}"
    )
    return f"about {cost}: {name_of(benchmark)}"


def describe(
    benchmark: str,
    round: int,
    rounds: int | None,
    passes: int | None,
    joules: float | None,
    left_s: float | None = None,
) -> str:
    """Describe a state, the most important part first, because the end may be cut off."""
    parts = [_step(round, rounds, passes)]
    if left_s is not None:
        parts.append(f"{rough(left_s)} left")
    if joules is not None:
        parts.append(energy(joules))
    return " · ".join([*parts, benchmark])


def _step(round: int, rounds: int | None, passes: int | None) -> str:
    if not round:
        return "warm-up"
    if rounds is None and passes is None:
        return f"window {round}"
    of_passes = f" of {passes:,} passes" if passes and passes > 1 else ""
    return f"round {_counted(round, rounds)}{of_passes}"


def _counted(round: int, rounds: int | None) -> str:
    return f"{round}/{rounds}" if rounds else f"{round}"


def cut(text: str, columns: int) -> str:
    """Shorten ``text`` to ``columns`` cells, and remove control characters."""
    text = "".join(character for character in text if character.isprintable())
    if len(text) <= columns:
        return text
    return text[: columns - 1] + "…" if columns > 1 else ""


def terminal_progress(config: pytest.Config) -> ProgressLine | None:
    """Return the progress line of this session; ``None`` if it could not be shown properly.

    It is not shown in a pipe or file, on a terminal without a movable cursor, with ``-q``, without
    the terminal reporter, and in an xdist worker, whose output nobody sees.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    in_worker = hasattr(config, "workerinput")
    if not isinstance(reporter, TerminalReporter):  # another plugin's need not have a screen
        return None
    if in_worker or config.get_verbosity() < 0:
        return None
    if not reporter.isatty or os.environ.get("TERM", "dumb") == "dumb":
        return None
    terminal = config.get_terminal_writer()
    # Old versions have no `write_raw`, and `write` counts the text as part of pytest's own line.
    write_raw = getattr(terminal, "write_raw", terminal._file.write)

    def write(text: str) -> None:
        with uncaptured(config):
            write_raw(text)
            terminal.flush()

    return ProgressLine(write, lambda: terminal.fullwidth - terminal.width_of_current_line - 1)


def uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Let output reach the terminal while pytest captures the output of a test."""
    manager = config.pluginmanager.get_plugin("capturemanager")
    return manager.global_and_fixture_disabled() if manager else nullcontext()
