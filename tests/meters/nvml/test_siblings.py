"""Whose processes are on a GPU, where workers of one session measure."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_energy.meters.nvml.processes import others


@pytest.fixture
def sibling():
    """A process with the same parent as the one that asks in these tests."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def ask(pid, **environment):
    """What a child of this process says of ``pid``."""
    code = f"from pytest_energy.meters.nvml.processes import others; print(*others([{pid}]))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("variable", ["PYTEST_XDIST_WORKER", "LOCAL_RANK"])
def test_siblings_of_a_worker_are_no_strangers(sibling, variable):
    """A worker's siblings may have a context on its GPU: they take turns with it."""
    assert ask(sibling, **{variable: "1"}) == ""


def test_siblings_of_another_process_are_strangers(sibling):
    """Without workers, what merely has the same parent is another user of the GPU."""
    assert ask(sibling) == str(sibling)


def test_descendants_are_ours(sibling):
    """What a process has started is its own."""
    assert others([sibling]) == frozenset()
