"""Whose processes are on a GPU when workers of one session measure."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from pytest_energy.meters.nvml.devices.processes import others


@pytest.fixture
def sibling():
    """A process with the same parent as the process that checks for others."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def foreign_to_child(pid, **environment):
    """The other processes that a child of this process finds in ``pid``."""
    code = (
        f"from pytest_energy.meters.nvml.devices.processes import others; print(*others([{pid}]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("variable", ["PYTEST_XDIST_WORKER", "LOCAL_RANK"])
def test_siblings_of_a_worker_are_no_strangers(sibling, variable):
    """A worker's siblings may have a context on its GPU: they wait for each other."""
    assert foreign_to_child(sibling, **{variable: "1"}) == ""


def test_siblings_of_another_process_are_strangers(sibling):
    """Without workers, a process with the same parent is another user of the GPU."""
    assert foreign_to_child(sibling) == str(sibling)


STRANGERS = frozenset({4_000_001, 4_000_002})
"""PIDs that no process here has: by default, Linux assigns none as high."""


@pytest.fixture
def driver(tmp_path):
    """A file with the name of CUDA's driver library."""
    path = tmp_path / "libcuda.so.1"
    path.write_bytes(bytes(mmap.PAGESIZE))
    return path


@contextmanager
def mapped_here(path):
    """This process maps the file, like a process that uses the library."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        yield


@contextmanager
def mapped_by_a_child(path):
    """A child of this process maps the file."""
    code = (
        "import mmap, sys; file = open(sys.argv[1], 'rb');"
        "mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ); print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate()


@pytest.mark.parametrize("mapped", [mapped_here, mapped_by_a_child])
def test_in_a_container_one_unknown_number_is_that_of_who_uses_cuda(driver, mapped):
    """With any framework, since all load that library; a second PID belongs to a stranger."""
    with mapped(driver):
        assert others([4_000_001]) == frozenset()
        assert len(others(STRANGERS)) == 1


def test_in_a_container_who_does_not_use_cuda_is_not_on_the_device():
    """Then each PID belongs to a stranger."""
    assert others(STRANGERS) == STRANGERS


def test_who_is_listed_under_its_own_number_is_not_taken_for_another(driver):
    """NVML's PIDs are then those of this namespace, and the others belong to strangers."""
    with mapped_here(driver):
        assert others({os.getpid(), *STRANGERS}) == STRANGERS


def test_descendants_are_ours(sibling):
    """Children of this process belong to the session."""
    assert others([sibling]) == frozenset()
