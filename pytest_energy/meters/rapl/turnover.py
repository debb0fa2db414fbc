"""A helper process that counts how often energy counters turn over.

RAPL's counters hold some minutes of a busy processor: from the edges of a longer window alone one
cannot tell how often they began anew. The helper looks at them so seldom that it costs nothing, and
so often that no turn escapes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pytest_energy.meters.helper_process import HelperLostError, HelperProcess, Questions


class TurnCounter:
    """Microjoules of counters since it was started, turns included."""

    def __init__(self, counters: Sequence[tuple[Path, int]], period_s: float) -> None:
        """Start the helper and wait until it has looked for the first time.

        Args:
            counters: File and largest value of each counter; after that value comes 0.
            period_s: How often to look at them: at least once a turn.
        """
        told = [argument for path, range_uj in counters for argument in (str(path), str(range_uj))]
        self._helper = HelperProcess(__name__, [str(period_s), *told])
        self.totals_uj()

    def totals_uj(self) -> list[int] | None:
        """What each counter has gone on since the start; ``None`` where the helper has ended."""
        try:
            totals: list[int] = self._helper.ask("totals")
        except HelperLostError:
            return None
        return totals

    def close(self) -> None:
        """End the helper; safe to call twice."""
        self._helper.close()


def serve(questions: Questions, period_s: float, counters: Sequence[tuple[Path, int]]) -> None:
    """Look at the counters each ``period_s`` and whenever asked.

    Raises:
        EOFError: Nobody asks any more.
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
    told = [(Path(path), int(top)) for path, top in zip(*[iter(rest)] * 2, strict=True)]
    with suppress(EOFError, OSError, ValueError):  # nobody asks, or the meter finds the same fault
        serve(Questions(parent), float(period), told)
