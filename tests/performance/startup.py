"""Measure how much the plugin adds to the start of pytest if it is not used.

Run it by hand: ``python tests/performance/startup.py``. It starts pytest in an empty folder,
alternately with and without the plugin. It prints the medians, their difference and the heavy
modules that were imported.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time

PAIRS = 40
HEAVY = ("torch", "pynvml", "jinja2", "codecarbon", "pydantic", "scipy", "numpy")
ASK = f"""
import json, sys, pytest
pytest.main(["-q"])
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


def start(folder: str, *arguments: str) -> float:
    """Time that pytest takes to find no test, in seconds."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


def imported(folder: str) -> list[str]:
    """Heavy modules that a session without ``--energy`` imports."""
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [str(name) for name in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = [(start(folder), start(folder, "-p", "no:energy")) for _ in range(PAIRS)]
        heavy = imported(folder)
    with_s, without_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    added_s = statistics.median(ours - theirs for ours, theirs in pairs)
    print(f"with the plugin         {with_s * 1e3:7.1f} ms")
    print(f"without the plugin      {without_s * 1e3:7.1f} ms")
    print(f"added                   {added_s * 1e3:7.1f} ms (median of {PAIRS} pairs)")
    print(f"heavy modules imported  {', '.join(heavy) or 'none'}")


if __name__ == "__main__":
    main()
