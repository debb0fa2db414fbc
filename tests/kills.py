"""Sessions that are killed at random moments lose no finished result and leave nothing behind.

``python -m tests.kills --sessions 500`` says what became of each kind of end. A session is killed
at any moment from its start until it has written its files. Then the next session must have every
result that was finished, no process of the killed one may live, and no temporary file may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.plugin.scripted import install

KINDS = ("SIGKILL", "SIGTERM", "full disk", "closed terminal", "lost worker", "lost controller")
TESTS = 12
MARK = "PYTEST_ENERGY_KILLED_SESSION"
"""The variable by which processes of a killed session are known."""
PATIENCE_S = 120.0
"""Seconds in which a session and its processes must have ended, also on a machine that is busy: one
that lost a worker goes on to its end."""
FULL_TESTS = range(3, 6)
"""The tests during which the disk is full; what they found is written with the next result."""
SUITE = f"""
import time
import pytest
from scripted_meter import work

@pytest.mark.parametrize("case", range({TESTS}))
def test_it(energy, case):
    energy(work, 1)
    time.sleep(0.01)
"""
CONFTEST = """
import os

def pytest_energy_result(config, result):
    file = os.open("finished", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.getpid()} {result.id}\\n".encode())
    os.close(file)
"""
FULL = f"""
import resource

def pytest_runtest_setup(item):
    number = item.session.items.index(item)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soft = {{bytes}} if number in range({FULL_TESTS.start}, {FULL_TESTS.stop}) else hard
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
"""
SKIPPED = "def test_other(energy):\n    import pytest\n    pytest.skip('nothing to measure')\n"


class KilledSession:
    """A session in a folder of its own.

    Args:
        folder: An empty folder.
        kind: How it is killed.
        random: Draws the moment.
    """

    def __init__(self, folder: Path, kind: str, random: Random) -> None:
        self.folder = folder
        self._kind = kind
        self._random = random
        self._mark = f"{os.getpid()}-{folder.name}"
        install(folder)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_it.py").write_text(SUITE)

    def run(self) -> list[str]:
        """Run it, kill it and start the next one; return what is wrong."""
        if self._kind == "full disk":
            # Python ignores SIGXFSZ: a write beyond the limit fails as on a full disk.
            limit = FULL.format(bytes=self._random.randrange(2_000, 12_000))
            (self.folder / "conftest.py").write_text(CONFTEST + limit)
        workers = ("-n2",) if self._kind.startswith("lost") else ()
        controller, terminal = pty.openpty()
        session = self._start(*workers, output=terminal)
        os.close(terminal)
        os.set_blocking(controller, False)
        self._wait_and_kill(session, controller)
        faults = self._living(session.pid)
        finished = self._finished()
        (self.folder / "conftest.py").write_text("")
        (self.folder / "test_it.py").write_text(SKIPPED)
        with (self.folder / "next.log").open("w") as log:
            if self._start(output=log.fileno()).wait():
                faults.append((self.folder / "next.log").read_text()[-2000:])
        return [*faults, *self._lost(finished), *self._left()]

    def _start(self, *arguments: str, output: int) -> subprocess.Popen[bytes]:
        plugins = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:anyio")
        measuring = ("--energy", "--energy-meter=scripted", "--energy-passes=20")
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *measuring, *plugins, *arguments],
            cwd=self.folder,
            env={**os.environ, MARK: self._mark, "PYTHONPATH": str(self.folder)},
            stdin=output,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def _wait_and_kill(self, session: subprocess.Popen[bytes], terminal: int) -> None:
        full = self._kind == "full disk"
        wanted = self._random.randrange(FULL_TESTS.stop + 1 if full else 0, TESTS + 1)
        while session.poll() is None and len(self._finished()) < wanted:
            _drain(terminal)
            time.sleep(0.002)
        # After the last test the files are written, which takes longer than a test.
        time.sleep(self._random.random() * (0.02 if wanted < TESTS else 0.5))
        if self._kind in ("SIGKILL", "full disk", "lost controller"):
            session.kill()
        elif self._kind == "SIGTERM":
            session.terminate()
        elif self._kind == "lost worker" and (workers := self._workers()):
            os.kill(self._random.choice(workers), signal.SIGKILL)
        if self._kind == "closed terminal":
            os.close(terminal)
            session.send_signal(signal.SIGHUP)  # as the system does for the leader of a terminal
        deadline = time.monotonic() + PATIENCE_S
        while session.poll() is None and time.monotonic() < deadline:
            if self._kind != "closed terminal":
                _drain(terminal)
            time.sleep(0.002)
        if self._kind != "closed terminal":
            os.close(terminal)

    def _records(self) -> list[tuple[int, str]]:
        """By finished result: the process that measured it, and its id."""
        path = self.folder / "finished"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [(int(pid), name) for pid, _, name in (line.partition(" ") for line in lines)]

    def _finished(self) -> set[str]:
        return {name for _, name in self._records()}

    def _workers(self) -> list[int]:
        pids = {pid for pid, _ in self._records()}
        return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())

    def _living(self, leader: int) -> list[str]:
        """Processes of the killed session that do not end; they are ended here."""
        deadline = time.monotonic() + PATIENCE_S
        while (pids := self._own_processes(leader)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return [f"process {pid} lived on" for pid in pids]

    def _own_processes(self, leader: int) -> list[int]:
        """The processes that have the mark, or are in the session of ``leader``: forks are."""
        mark = f"{MARK}={self._mark}".encode()
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                marked = mark in environment.split(b"\0")
                if marked or (environment and os.getsid(int(entry.name)) == leader):
                    pids.append(int(entry.name))
            except OSError:
                continue
        return pids

    def _lost(self, finished: set[str]) -> list[str]:
        path = self.folder / ".energy" / "results.json"
        results = json.loads(path.read_text())["benchmarks"] if path.exists() else []
        return [f"lost: {name}" for name in sorted(finished - {item["id"] for item in results})]

    def _left(self) -> list[str]:
        folder = self.folder / ".energy"
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        return [
            f"left: {name}"
            for name in sorted(names - {"results.json", "report.html", ".gitignore"})
        ]


def _drain(terminal: int) -> None:
    """Read what a session writes, or it would wait for a reader."""
    with suppress(OSError):
        os.read(terminal, 65536)


def kill_sessions(count: int, seed: int) -> int:
    """Kill so many sessions; print at once what is wrong, and return how many have faults."""
    random = Random(seed)
    faulty = 0
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        with tempfile.TemporaryDirectory(prefix="pytest-energy-kills-") as folder:
            if faults := KilledSession(Path(folder), kind, random).run():
                print(f"{number} ({kind})", *faults, sep="\n  ", flush=True)
                faulty += 1
        if number % 50 == 49:
            print(f"{number + 1} sessions killed", flush=True)
    return faulty


def main() -> int:
    """Kill sessions and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=500, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulty = kill_sessions(arguments.sessions, arguments.seed)
    kinds = Counter(KINDS[number % len(KINDS)] for number in range(arguments.sessions))
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    print(f"{arguments.sessions} sessions killed ({counts}): {faulty} with faults")
    return bool(faulty)


if __name__ == "__main__":
    raise SystemExit(main())
