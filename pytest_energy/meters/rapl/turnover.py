"""A helper process that counts how often energy counters wrap around.

RAPL's counters wrap around after some minutes of a busy processor. The readings at the edges of a
longer window do not show how often they did. The helper reads the counters so rarely that its
energy does not matter, and often enough to see each wrap.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_energy.meters.helper_process import HelperLostError, HelperProcess, Questions


class WrapCounter:
    """Microjoules of counters since the helper was started, with all wraps."""

    def __init__(self, counters: Sequence[tuple[Path, int]], period_s: float) -> None:
        """Start the helper and wait for its first reading.

        Args:
            counters: File and largest value of each counter; the next value is 0.
            period_s: Time between two readings; at most the shortest possible wrap.
        """
        arguments = [text for path, range_uj in counters for text in (str(path), str(range_uj))]
        self._helper = HelperProcess(__name__, [str(period_s), *arguments])
        self.totals_uj()

    def totals_uj(self) -> list[int] | None:
        """Microjoules of each counter since the start; ``None`` if the helper has ended."""
        try:
            totals: list[int] = self._helper.ask("totals")
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
    last = [_read_uj(path) for path, _ in counters]
    totals = [0] * len(counters)
    while True:
        question = questions.next(period_s)
        for number, (path, range_uj) in enumerate(counters):
            now = _read_uj(path)
            totals[number] += (now - last[number]) % (range_uj + 1)
            last[number] = now
        if question is not None:
            question.answer(totals)


def _read_uj(path: Path) -> int:
    return int(path.read_text("ascii"))


if __name__ == "__main__":
    _, parent, period, *rest = sys.argv
    counters = [(Path(path), int(top)) for path, top in zip(*[iter(rest)] * 2, strict=True)]
    # The measured process has ended, or it finds the same fault when it reads the counters.
    with suppress(EOFError, OSError, ValueError):
        serve(Questions(parent), float(period), counters)
