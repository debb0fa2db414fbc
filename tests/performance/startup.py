"""Measure what the plugin adds to a session without ``--energy``.

Run it by hand: ``python tests/performance/startup.py``. A session in a process of its own takes
300 ms of the processor, and on a shared machine 90 ms more or less. So this process imports pytest
and all of its plugins but this one, and forks each session, which then takes some 20 ms. Sessions
with and without the plugin alternate; the median of the differences has its 95 % interval.

The cost of the fixture is far below what two sessions differ by chance. So two sessions run in
turn, one test each, and the differences are those of such pairs of tests.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

START_PAIRS = 200
COLLECTION_PAIRS = 15
FIXTURE_SESSIONS = 5
TESTS = 2000
QUIET = ("-q", "-p", "no:cacheprovider")
OURS = """
import pytest

@pytest.mark.parametrize("case", range({count}))
def test_it(energy, case):
    energy(abs, 1)
"""
THEIRS = """
import pytest

@pytest.fixture
def own():
    return lambda function, *arguments: function(*arguments)

@pytest.mark.parametrize("case", range({count}))
def test_it(own, case):
    own(abs, 1)
"""
HEAVY = ("torch", "pynvml", "jinja2", "codecarbon", "pydantic", "scipy", "numpy")
ASK = f"""
import json, sys, pytest
pytest.main(["-q"])
print(json.dumps([name for name in {HEAVY} if name in sys.modules]))
"""


@dataclass(frozen=True)
class Added:
    """A median with the ends of its 95 % interval, all in milliseconds."""

    median: float
    low: float
    high: float


def forked_s(folder: Path, *arguments: str) -> float:
    """Seconds of the processor of a session in a fork of this process."""
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(pytest.main([*QUIET, *arguments]))
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 5):  # 5: no test in the folder
        raise SystemExit(f"pytest {' '.join(arguments)} in {folder} ended with {code}")
    return usage.ru_utime + usage.ru_stime


class InTurn:
    """Runs each test of a session when its turn comes, and tells what it took.

    Args:
        turns: A pipe that has one byte for each turn.
        took: A pipe for the nanoseconds of the processor, eight bytes each.
    """

    def __init__(self, turns: int, took: int) -> None:
        self._turns = turns
        self._took = took

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Run a test, from its setup to its teardown and its reports."""
        os.read(self._turns, 1)
        began = time.process_time_ns()
        outcome = yield
        os.write(self._took, (time.process_time_ns() - began).to_bytes(8, "big"))
        return outcome


class Stepped:
    """A session in a fork of this process, which runs one test at each call of ``step_ms``."""

    def __init__(self, folder: Path) -> None:
        turns, self._turn = os.pipe()
        self._took, took = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._turn)
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os._exit(pytest.main([*QUIET], plugins=[InTurn(turns, took)]))
        os.close(turns)
        os.close(took)

    def step_ms(self) -> float:
        """Run the next test; milliseconds of the processor."""
        os.write(self._turn, b".")
        took = os.read(self._took, 8)
        if not took:
            raise SystemExit("a session ended before its last test")
        return int.from_bytes(took, "big") / 1e6

    def end(self) -> None:
        """Wait for the end of the session, after its last test."""
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise SystemExit(f"a session ended with {os.waitstatus_to_exitcode(status)}")
        os.close(self._turn)
        os.close(self._took)


def fixture_ms(ours: Path, theirs: Path) -> tuple[Added, Added]:
    """What the fixture adds to the first test of a session, and to each further one."""
    first, further = [], []
    for _ in range(FIXTURE_SESSIONS):
        sessions = Stepped(ours), Stepped(theirs)
        pairs = []
        for number in range(TESTS):
            in_turn = sessions if number % 2 else sessions[::-1]
            took = {session: session.step_ms() for session in in_turn}
            pairs.append(took[sessions[0]] - took[sessions[1]])
        for session in sessions:
            session.end()
        first.append(pairs[0])
        further += pairs[1:]
    return Added(statistics.median(first), min(first), max(first)), of_median(further)


def added_ms(ours: Callable[[], float], theirs: Callable[[], float], pairs: int) -> Added:
    """The median difference of two costs in seconds, measured in turn."""
    differences = []
    for number in range(pairs):
        if number % 2:
            with_s, without_s = ours(), theirs()
        else:
            without_s, with_s = theirs(), ours()
        differences.append(1e3 * (with_s - without_s))
    return of_median(differences)


def of_median(values: list[float]) -> Added:
    """The median, and its interval by ranks (normal approximation of the binomial)."""
    ordered, count = sorted(values), len(values)
    rank = max(int((count - 1.96 * count**0.5) / 2), 0)
    return Added(statistics.median(ordered), ordered[rank], ordered[-1 - rank])


def collected_ms(ours: Path, theirs: Path) -> Added:
    """What the plugin adds to the collection of a test that uses the fixture."""
    session = added_ms(
        lambda: forked_s(ours, "--collect-only"),
        lambda: forked_s(theirs, "--collect-only"),
        COLLECTION_PAIRS,
    )
    return Added(session.median / TESTS, session.low / TESTS, session.high / TESTS)


def imported(folder: Path) -> list[str]:
    """Heavy modules that a session without ``--energy`` imports."""
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [str(name) for name in json.loads(done.stdout.splitlines()[-1])]


def prepare(folder: Path) -> None:
    """Import what a session imports, but for this plugin.

    Raises:
        SystemExit: Something else has imported it.
    """
    # Else pytest compiles each module of a plugin anew at every start, to rewrite its assertions.
    sys.dont_write_bytecode = False
    (folder / "test_first.py").write_text(THEIRS.format(count=1))
    os.chdir(folder)
    with redirect_stdout(StringIO()):
        pytest.main([*QUIET, "-p", "no:energy"])
    if "pytest_energy" in sys.modules:
        raise SystemExit("another module than pytest has imported pytest_energy")
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all pages


def rows(root: Path) -> Iterator[tuple[str, Added]]:
    """What is added, in words and in milliseconds."""
    first, empty, ours, theirs = (root / name for name in ("first", "empty", "ours", "theirs"))
    for folder in (first, empty, ours, theirs):
        folder.mkdir()
    (ours / "test_ours.py").write_text(OURS.format(count=TESTS))
    (theirs / "test_theirs.py").write_text(THEIRS.format(count=TESTS))
    prepare(first)
    started = partial(forked_s, empty), partial(forked_s, empty, "-p", "no:energy")
    yield f"start of pytest ({START_PAIRS} pairs)", added_ms(*started, START_PAIRS)
    yield (
        f"collection, for each of {TESTS:,} tests ({COLLECTION_PAIRS} pairs)",
        collected_ms(ours, theirs),
    )
    first_ms, further_ms = fixture_ms(ours, theirs)
    yield f"fixture, the first test of a session ({FIXTURE_SESSIONS} pairs, all)", first_ms
    yield f"fixture, each further test ({FIXTURE_SESSIONS * (TESTS - 1):,} pairs)", further_ms


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as name:
        heavy = imported(Path(name))
        print("| what | median | 95 % interval |\n|---|---|---|")
        for what, added in rows(Path(name)):
            interval = f"{added.low:+.3f} to {added.high:+.3f} ms"
            print(f"| {what} | {added.median:+.3f} ms | {interval} |", flush=True)
    print(f"\nHeavy modules that are imported: {', '.join(heavy) or 'none'}.")


if __name__ == "__main__":
    main()
