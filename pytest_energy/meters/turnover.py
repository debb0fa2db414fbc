"""A helper process that counts how often energy counters turn over.

RAPL's counters hold some minutes of a busy processor: from the edges of a longer window alone one
cannot tell how often they began anew. The helper looks at them so seldom that it costs nothing, and
so often that no turn escapes it. It reads files and its own input, imports nothing else of this
package, and ends when the process that started it ends or closes it.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class TurnCounter:
    """Microjoules of counters since it was started, turns included."""

    def __init__(self, counters: Sequence[tuple[Path, int]], period_s: float) -> None:
        """Start the helper and wait until it has looked for the first time.

        Args:
            counters: File and largest value of each counter; after that value comes 0.
            period_s: How often to look at them: at least once a turn.
        """
        told = [argument for path, range_uj in counters for argument in (str(path), str(range_uj))]
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(period_s), *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # an interrupt from the terminal is not for it
        )
        self.totals_uj()

    def totals_uj(self) -> list[int] | None:
        """What each counter has gone on since the start; ``None`` where the helper has ended."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(b"?")
            line = self._process.stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or was closed
            return None
        totals: list[int] | None = json.loads(line) if line else None
        return totals

    def close(self) -> None:
        """End the helper; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def serve(period_s: float, counters: Sequence[tuple[Path, int]]) -> None:
    """Look at the counters each ``period_s`` and whenever asked; end with standard input."""
    last = [_read_uj(path) for path, _ in counters]
    totals = [0] * len(counters)
    while True:
        asked, _, _ = select.select([0], [], [], period_s)
        for number, (path, range_uj) in enumerate(counters):
            now = _read_uj(path)
            totals[number] += (now - last[number]) % (range_uj + 1)
            last[number] = now
        if asked:
            if not os.read(0, 1):
                return
            print(json.dumps(totals), flush=True)


def _read_uj(path: Path) -> int:
    return int(path.read_text("ascii"))


if __name__ == "__main__":
    _, period, *rest = sys.argv
    serve(
        float(period), [(Path(path), int(top)) for path, top in zip(*[iter(rest)] * 2, strict=True)]
    )
