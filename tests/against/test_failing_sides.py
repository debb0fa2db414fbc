"""Sides that crash, hang or run out of memory: the result names them, and the rest goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.against.messages import Channel
from tests.against.conftest import TEST, Repository, walk_once

pytestmark = pytest.mark.slow

SUITE = """
import engine
from scripted_meter import work

def test_one(energy):
    energy(work, 0.01)

def test_it(energy):
    energy(engine.run)

def test_two(energy):
    energy(work, 0.02)
"""
SOUND = "from scripted_meter import work\ndef run():\n    work(0.01)\n"
FAULTY = "import os, signal, time\ndef run():\n    {fault}\n"
ONE, TWO = (TEST.rpartition("::")[0] + f"::test_{name}" for name in ("one", "two"))


@pytest.mark.parametrize(
    ("fault", "side", "words"),
    [
        ("os._exit(7)", "head", "the head side crashed: it ended with status 7"),
        ("os.abort()", "base", "the base side crashed: it was ended by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "base", "as the system does when memory runs out"),
        (
            "open({mark!r}, 'w').close(); time.sleep(1000)",
            "head",
            "the head side hung: it gave no answer for 1 s",
        ),
    ],
    ids=["exit", "abort", "kill", "hang"],
)
def test_a_side_that_ends_or_hangs_costs_its_own_benchmark_only(
    repository: Repository,
    killed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    side: str,
    words: str,
) -> None:
    """The benchmark is invalid and says why; a fresh pair measures the others.

    The sound side, which waits for its turn, ends by itself.
    """
    repository.write("benchmarks/test_it.py", SUITE)
    mark = repository.library / "hanging"
    faulty = FAULTY.format(fault=fault.format(mark=str(mark)))
    repository.write("engine.py", faulty if side == "base" else SOUND)
    repository.commit()
    repository.write("engine.py", faulty if side == "head" else SOUND)
    if "sleep" in fault:
        limit_while(mark, monkeypatch)
    comparing = walk_once(
        repository, ONE, TEST, TWO, against_timeout=1.0 if "sleep" in fault else 600.0
    )
    assert killed == (["head"] if "sleep" in fault else [])
    results = {result.id: result for result in comparing.final()}
    assert results[TEST].verdict.outcome == "invalid"
    assert results[TEST].verdict.fails is (side == "head")
    message = results[TEST].reasons[0].message
    assert words in message
    assert "test session starts" not in message
    if "hung" in words:
        assert 'engine.py", line' in message.splitlines()[2], "where it hangs comes first"
    for test in (ONE, TWO):
        (block,) = comparing.states[test].contests[test].blocks
        assert block.differences["energy_j"] == pytest.approx(0.0)


def limit_while(mark: Path, patch: pytest.MonkeyPatch) -> None:
    """Count the time while a side hangs only: on a busy machine any other answer may take longer.

    Args:
        mark: A file that the side makes just before it hangs.
        patch: Undoes this.
    """
    receive = Channel.receive

    def received(channel: Channel, timeout_s: float | None = None) -> dict[str, Any] | None:
        while not mark.exists():
            with suppress(TimeoutError):
                return receive(channel, 0.05)
        try:
            return receive(channel, timeout_s)
        except TimeoutError:
            mark.unlink()
            raise

    patch.setattr(Channel, "receive", received)


FULL = """
import atexit, os
from pathlib import Path
from scripted_meter import work
LOCK = Path({lock!r})

def run():
    if LOCK.exists() and LOCK.read_text() != str(os.getpid()):
        raise RuntimeError('CUDA out of memory')
    LOCK.write_text(str(os.getpid()))
    atexit.register(LOCK.unlink, missing_ok=True)
    work({seconds})
"""


def test_a_device_that_holds_one_side_only_alternates_whole_runs(repository: Repository) -> None:
    """A side that runs out of memory beside the other one runs alone, and the result says so."""
    lock = str(repository.library / "device")
    repository.write("engine.py", FULL.format(lock=lock, seconds=0.01))
    repository.commit()
    repository.write("engine.py", FULL.format(lock=lock, seconds=0.011))
    whole_runs: set[str] = set()
    (result,) = walk_once(repository, whole_runs=whole_runs).final()
    assert whole_runs == {TEST}
    assert result.comparison is not None
    assert result.comparison.alternated == "runs"
    assert result.comparison.blocks[0].differences["energy_j"] == pytest.approx(0.0953, abs=1e-4)
    assert any("whole runs" in note for note in result.verdict.notes)


@pytest.mark.parametrize(("side", "outcome"), [("base", "new"), ("head", None)])
def test_a_side_that_has_too_little_memory_even_alone_is_told(
    repository: Repository, side: str, outcome: str | None
) -> None:
    """On the base the benchmark is new; on the head its test fails as it would by itself."""
    starved = "def run():\n    raise MemoryError('CUDA out of memory')\n"
    repository.write("engine.py", starved if side == "base" else SOUND)
    repository.commit()
    repository.write("engine.py", starved if side == "head" else SOUND)
    comparing = walk_once(repository)
    if outcome:
        (result,) = comparing.final()
        assert result.verdict.outcome == outcome
        assert "out of memory" in result.verdict.notes[0]
    else:
        assert "out of memory" in (comparing.states[TEST].failure or "")


def test_a_file_that_skips_itself_on_the_base_is_told(repository: Repository) -> None:
    """Its benchmarks are new, with the reason, and the session says that nothing was compared."""
    repository.write(
        "benchmarks/test_it.py",
        "import pytest, engine\n"
        "if not engine.READY:\n    pytest.skip('no engine yet', allow_module_level=True)\n"
        "def test_it(energy):\n    energy(engine.run)\n",
    )
    repository.write("engine.py", SOUND + "READY = False\n")
    repository.commit()
    repository.write("engine.py", SOUND + "READY = True\n")
    comparing = walk_once(repository)
    (result,) = comparing.final()
    assert result.verdict.outcome == "new"
    assert "no engine yet" in result.verdict.notes[0]
    assert "Nothing was compared" in comparing.describe().notes[0]


def test_an_interrupted_session_ends_its_sides_and_removes_the_worktree(
    repository: Repository, tmp_path: Path
) -> None:
    """Ctrl-C in the middle of a window leaves no process and no tree behind."""
    mark = tmp_path / "measuring"
    fault = f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    repository.write("engine.py", FAULTY.format(fault=fault))
    repository.commit()
    with repository.start("--energy-against=HEAD") as process:
        wait_until(lambda: mark.exists() and mark.read_text())
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    assert len(repository.worktrees()) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is true; the time limit is that of a broken test."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
