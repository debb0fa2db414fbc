"""A process that answers beside this one: interrupted, silent, and left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import pytest

from pytest_energy.meters import helper_process as companion
from pytest_energy.meters.helper_process import HelperLostError, HelperProcess
from pytest_energy.meters.rapl.turnover import TurnCounter

COUNTER = "pytest_energy.meters.rapl.turnover"


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[tuple[Path, HelperProcess]]:
    """A counter that stands at 0, and a companion that looks at it when asked."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    with closing(HelperProcess(COUNTER, ["3600", str(path), "99"])) as asked:
        assert asked.ask("totals") == [0]
        yield path, asked


@contextmanager
def forked() -> Iterator[None]:
    """A child process that has all that this one has open, and lives on."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("stopped", [False, True])
def test_closing_waits_for_no_other_process(
    answering: tuple[Path, HelperProcess], stopped: bool
) -> None:
    """A forked process has the companion's input open, too: it must not keep pytest from ending."""
    _, asked = answering
    with forked():
        if stopped:
            asked._process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        asked.close()
        asked.close()
    assert time.monotonic() - began_s < companion.END_S
    assert asked._process.returncode == -signal.SIGKILL


def test_silence_ends_it(
    answering: tuple[Path, HelperProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not answer is not waited for, then or later."""
    monkeypatch.setattr(companion, "ANSWER_S", 0.2)
    _, asked = answering
    asked._process.send_signal(signal.SIGSTOP)
    with pytest.raises(HelperLostError, match=r"did not answer for 0\.2 s"):
        asked.ask("totals")
    assert asked._process.poll() == -signal.SIGKILL
    with pytest.raises(HelperLostError, match="has ended"):
        asked.ask("totals")


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(
    answering: tuple[Path, HelperProcess],
) -> None:
    """A signal's handler that raises, as that of pytest-timeout, may interrupt who asks."""
    path, asked = answering

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("interrupted")

    asked._process.send_signal(signal.SIGSTOP)  # so that the signal comes before the answer
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError, match="interrupted"):
            asked.ask("totals")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    path.write_text("5")
    asked._process.send_signal(signal.SIGCONT)
    assert asked.ask("totals") == [5]
    path.write_text("9")
    assert asked.ask("totals") == [9]


PARENT = """
import os, sys, time
from pathlib import Path
from pytest_energy.meters.rapl.turnover import TurnCounter

counter = TurnCounter([(Path(sys.argv[1]), 99)], 3600.0)
child = 0
if sys.argv[2] == "forks":
    child = os.fork()
    if child == 0:
        time.sleep(600)
print(counter._helper._process.pid, child, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("parent", ["forks", "is alone"])
def test_it_ends_with_who_started_it(tmp_path: Path, parent: str) -> None:
    """Killed, the parent closes nothing that a process forked from it keeps open."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path), parent], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        helper, child = map(int, process.stdout.readline().split())
        process.kill()
        process.wait()
        try:
            assert _ends(helper, companion.PARENT_S + 20)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)


def test_totals_of_one_that_is_silent_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter of turns says so rather than wait."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    with closing(TurnCounter([(path, 99)], 3600.0)) as counter:
        assert counter.totals_uj() == [0]
        monkeypatch.setattr(companion, "ANSWER_S", 0.2)
        counter._helper._process.send_signal(signal.SIGSTOP)
        assert counter.totals_uj() is None


def _ends(pid: int, limit_s: float) -> bool:
    """Whether a process has ended, be it reaped or not, before so many seconds have passed."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False
