"""A helper process that counts how often energy counters wrap around.

RAPL's counters wrap around after some minutes of a busy processor. The readings at the edges of a
longer window do not show how often they did. The helper reads the counters so rarely that its
energy does not matter, and often enough to see each wrap. It keeps what it has read, so that it is
asked only after windows in which a counter may have wrapped around, never at the edges of others.
"""

from __future__ import annotations

import sys
from bisect import bisect
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_energy.clocks import CLOCK
from pytest_energy.meters.helper_process import HelperLostError, HelperProcess, Questions


class WrapHistory:
    """Readings of counters over time, and the microjoules between them with all wraps."""

    def __init__(self, ranges_uj: Sequence[int], counts: Sequence[int], time_s: float) -> None:
        """Begin with the first reading; see :meth:`look`."""
        self._ranges_uj = tuple(ranges_uj)
        self._times_s = [time_s]
        self._counts = [list(counts)]
        self._totals = [[0] * len(counts)]

    def look(self, counts: Sequence[int], time_s: float) -> None:
        """Add a reading that was finished at ``time_s``; no counter wrapped twice since the last.

        The moment is that after the reading, so that a later moment has a later reading.
        """
        spent = self._forward(self._counts[-1], counts)
        self._totals.append([old + new for old, new in zip(self._totals[-1], spent, strict=True)])
        self._times_s.append(time_s)
        self._counts.append(list(counts))

    def since(self, time_s: float, counts: Sequence[int]) -> list[int]:
        """Microjoules of each counter up to the last look.

        Args:
            time_s: A moment just before ``counts`` were read, on the clock of the looks.
            counts: The counters' values then.
        """
        before = max(0, bisect(self._times_s, time_s) - 1)
        began = zip(self._totals[before], self._forward(self._counts[before], counts), strict=True)
        return [
            last - earlier - spent
            for last, (earlier, spent) in zip(self._totals[-1], began, strict=True)
        ]

    def _forward(self, before: Sequence[int], after: Sequence[int]) -> list[int]:
        pairs = zip(before, after, self._ranges_uj, strict=True)
        return [(now - last) % (range_uj + 1) for last, now, range_uj in pairs]


class WrapCounter:
    """Microjoules of counters with all wraps, from the helper process."""

    def __init__(self, counters: Sequence[tuple[Path, int]], period_s: float) -> None:
        """Start the helper and wait for its first reading.

        Args:
            counters: File and largest value of each counter; the next value is 0.
            period_s: Time between two readings; at most the shortest possible wrap.
        """
        arguments = [text for path, range_uj in counters for text in (str(path), str(range_uj))]
        self._helper = HelperProcess(__name__, [str(period_s), *arguments])
        self.since(CLOCK.perf_counter(), [0] * len(counters))

    def since(self, time_s: float, counts: Sequence[int]) -> list[int] | None:
        """Microjoules of each counter up to now; see :meth:`WrapHistory.since`.

        ``None`` if the helper has ended.
        """
        try:
            totals: list[int] = self._helper.ask(" ".join(map(str, (time_s, *counts))))
        except HelperLostError:
            return None
        return totals

    def close(self) -> None:
        """End the helper; safe to call twice."""
        self._helper.close()


def serve(questions: Questions, period_s: float, counters: Sequence[tuple[Path, int]]) -> None:
    """Read the counters every ``period_s`` and at each question.

    Raises:
        EOFError: The measured process has ended.
    """
    history = WrapHistory([top for _, top in counters], _read_uj(counters), CLOCK.perf_counter())
    while True:
        question = questions.next(period_s)
        history.look(_read_uj(counters), CLOCK.perf_counter())
        if question is not None:
            time_s, *counts = question.text.split()
            question.answer(history.since(float(time_s), [int(count) for count in counts]))


def _read_uj(counters: Sequence[tuple[Path, int]]) -> list[int]:
    return [int(path.read_text("ascii")) for path, _ in counters]


if __name__ == "__main__":
    _, parent, period, *rest = sys.argv
    counters = [(Path(path), int(top)) for path, top in zip(*[iter(rest)] * 2, strict=True)]
    # The measured process has ended, or it finds the same fault when it reads the counters.
    with suppress(EOFError, OSError, ValueError):
        serve(Questions(parent), float(period), counters)
