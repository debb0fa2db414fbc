"""A forked process is what a started one is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.forks import VARIABLE
from tests.virtual import virtual_machine

FACTS = """
import json, os, signal, sys, time
from pathlib import Path

def test_facts():
    before_s = time.monotonic()
    time.sleep(0.01)
    facts = {
        "forked": "forks.py" in str(sys.orig_argv),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "folder": os.getcwd(),
        "arguments": sys.argv[1:],
        "paths": sys.path,
        "variables": dict(os.environ),
        "read": sys.stdin.read(),
        "terminal": sys.stdout.isatty(),
        "slept": time.monotonic() - before_s >= 0.01,
        "handler": str(signal.getsignal(signal.SIGINT)),
    }
    Path("facts.json").write_text(json.dumps(facts))
    print("a line")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)
"""


def run(folder: Path, fork: str) -> dict[str, Any]:
    """The facts of a process that ends by a signal."""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:energy", "test_facts_of_a_process.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "library"), VARIABLE: fork},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        output, _ = process.communicate("a text", timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert "a line" in output
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    assert facts.pop("pid") == facts.pop("session") == process.pid
    assert facts.pop("parent") == os.getpid()
    assert facts["variables"].pop(VARIABLE) == fork
    return facts


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("clock", ["real", "virtual"])
def test_a_fork_is_like_a_started_process(tmp_path: Path, clock: str) -> None:
    """It is a child with the same streams, paths, variables, arguments, signals and status."""
    (tmp_path / "test_facts_of_a_process.py").write_text(FACTS)
    with virtual_machine() if clock == "virtual" else nullcontext() as machine:
        begun_s = machine.now_s() if machine else 0.0
        forked, started = run(tmp_path, "yes"), run(tmp_path, "no")
        if machine:
            assert machine.now_s() - begun_s >= 0.02  # both have slept on its clock
    assert forked.pop("forked") is True
    assert started.pop("forked") is False
    assert forked == started


ENDING = """
import atexit, threading

def after_the_main_thread():
    threading.main_thread().join()
    print("a thread")

def test_that_fails():
    atexit.register(print, "an exit handler")
    threading.Thread(target=after_the_main_thread).start()
    assert False
"""


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("fork", ["yes", "no"])
def test_a_process_ends_with_its_threads_handlers_and_status(tmp_path: Path, fork: str) -> None:
    """A fork takes no modules apart at its end, and does all else that Python does."""
    (tmp_path / "test_ending.py").write_text(ENDING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:energy", "test_ending.py"],
        cwd=tmp_path,
        env={**os.environ, VARIABLE: fork},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert done.stdout.splitlines()[-2:] == ["a thread", "an exit handler"]
    assert done.stderr == ""


IMPORTED = """
import subprocess, sys

def test_torch_is_imported_already():
    print("imported", "torch" in sys.modules)

def test_what_it_starts_is_forked_as_well():
    words = [sys.executable, "-m", "pytest", "-sqk", "already", "-p", "no:energy", __file__]
    subprocess.run(words, check=True)
"""


@pytest.mark.usefixtures("forks")
def test_a_further_server_has_imported_torch(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Forks of the first server have not; the forks of a fork have what it has."""
    (tmp_path / "test_imported.py").write_text(IMPORTED)
    command = [sys.executable, "-m", "pytest", "-sq", "-p", "no:energy", "test_imported.py"]
    for imported in ("False", "True"):
        output = subprocess.check_output(command, cwd=tmp_path, text=True)
        assert output.count(f"imported {imported}") == 2
        request.getfixturevalue("torch_forks")
