"""The helper process when it is interrupted, silent, or left behind."""

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

from pytest_energy.meters import helper_process
from pytest_energy.meters.helper_process import HelperLostError, HelperProcess
from pytest_energy.meters.rapl.turnover import WrapCounter

COUNTER = "pytest_energy.meters.rapl.turnover"
QUESTION = "0 0"
"""Asks for the microjoules since the helper's first look, at which the counter was at 0."""


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[tuple[Path, HelperProcess]]:
    """A counter at 0, and a helper that reads it when asked."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    with closing(HelperProcess(COUNTER, ["3600", str(path), "99"])) as helper:
        assert helper.ask(QUESTION) == [0]
        yield path, helper


@contextmanager
def forked() -> Iterator[None]:
    """A child process that inherits all open files and continues to run."""
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
    """A forked process has the helper's input open as well; it must not keep pytest running."""
    _, helper = answering
    with forked():
        if stopped:
            helper._process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        helper.close()
        helper.close()
    assert time.monotonic() - began_s < helper_process.END_S
    assert helper._process.returncode == -signal.SIGKILL


def test_silence_ends_it(
    answering: tuple[Path, HelperProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one timeout, a silent helper is not waited for again."""
    monkeypatch.setattr(helper_process, "ANSWER_S", 0.2)
    _, helper = answering
    helper._process.send_signal(signal.SIGSTOP)
    with pytest.raises(HelperLostError, match=r"did not answer for 0\.2 s"):
        helper.ask(QUESTION)
    assert helper._process.poll() == -signal.SIGKILL
    with pytest.raises(HelperLostError, match="has ended"):
        helper.ask(QUESTION)


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(
    answering: tuple[Path, HelperProcess],
) -> None:
    """A signal handler that raises, such as that of pytest-timeout, may interrupt a question."""
    path, helper = answering

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("interrupted")

    helper._process.send_signal(signal.SIGSTOP)  # so that the signal comes before the answer
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError, match="interrupted"):
            helper.ask(QUESTION)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    path.write_text("5")
    helper._process.send_signal(signal.SIGCONT)
    assert helper.ask(QUESTION) == [5]
    path.write_text("9")
    assert helper.ask(QUESTION) == [9]


PARENT = """
import os, sys, time
from pathlib import Path
from pytest_energy.meters.rapl.turnover import WrapCounter

counter = WrapCounter([(Path(sys.argv[1]), 99)], 3600.0)
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
    """A killed parent does not close the pipes that its forked child keeps open."""
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
            assert _ends(helper, 60.0)
        finally:
            if child:
                os.kill(child, signal.SIGKILL)


POLLING = """
import os, sys
from pytest_energy.meters import helper_process

vars(os).pop("pidfd_open", None)
helper_process.PARENT_S = 0.05
try:
    helper_process.Questions(sys.argv[1]).next()
except EOFError:
    print("has ended")
"""


def test_a_system_that_does_not_tell_of_the_end_is_asked() -> None:
    """Without a file for the end of a process, the helper looks after its parent by itself."""
    ended = str(os.getppid())  # no parent of the new process
    command = [sys.executable, "-c", POLLING, ended]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"has ended\n"


def test_totals_of_one_that_is_silent_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrap counter returns None and does not wait."""
    path = tmp_path / "energy_uj"
    path.write_text("0")
    with closing(WrapCounter([(path, 99)], 3600.0)) as counter:
        assert counter.since(0.0, [0]) == [0]
        monkeypatch.setattr(helper_process, "ANSWER_S", 0.2)
        counter._helper._process.send_signal(signal.SIGSTOP)
        assert counter.since(0.0, [0]) is None


def _ends(pid: int, limit_s: float) -> bool:
    """Whether a process ends within a time limit, reaped or not."""
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
