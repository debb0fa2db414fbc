"""Devices for workers: one each, released by the operating system, windows in turns."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pytest_energy.errors import UsageError
from pytest_energy.model.measurement import Environment
from pytest_energy.plugin.gpu_locks import (
    LOCKS,
    PROCESSORS,
    Gpu,
    boards_of,
    claim_gpu,
    lock_folder,
    show_only,
    turn,
)
from pytest_energy.testing import SimulatedNvml

GPUS = tuple(Gpu(f"GPU-{name}", name) for name in "abc")

HOLD = """
import sys
from pathlib import Path
from pytest_energy.plugin.gpu_locks import Gpu, claim_gpu, turn
folder = Path(sys.argv[1])
claim = claim_gpu([Gpu("GPU-a", "a")], 0, folder)
with turn(["a"], folder):
    print(claim.lock is not None, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that claims the first GPU, and holds it and its turn until it is killed."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLD, str(tmp_path)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def two_cards(monkeypatch):
    """A machine with two cards, of which CUDA shows both."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")  # put back afterwards, whatever is set
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with SimulatedNvml("turing", "turing") as machine:
        yield machine


def test_the_process_sees_just_the_devices_that_are_named(two_cards):
    """In the order in which they are named, so that the first one is cuda:0."""
    show_only(["1"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == two_cards.uuid(1)
    show_only([two_cards.uuid(1)[:12], "0"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == f"{two_cards.uuid(1)},{two_cards.uuid(0)}"


def test_where_none_are_named_cuda_decides(two_cards):
    """Nothing is set; a name that no device has is told when the meter is opened."""
    show_only(None)
    show_only(["7"])
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_devices_are_named_before_cuda_is_in_use(two_cards, monkeypatch):
    """Afterwards another choice cannot be had; the one that is in force is no error."""
    cuda = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    show_only(["0", "1"])
    told = f"--energy-devices=1: CUDA is in use .* CUDA_VISIBLE_DEVICES={two_cards.uuid(1)}"
    with pytest.raises(UsageError, match=told):
        show_only(["1"])


def test_sessions_share_one_folder_of_locks_unless_told_otherwise(tmp_path, monkeypatch):
    """Without the variable it is that of the user, for all sessions of the machine."""
    monkeypatch.setenv(LOCKS, str(tmp_path))
    assert lock_folder() == tmp_path
    monkeypatch.delenv(LOCKS)
    assert lock_folder() == lock_folder() != tmp_path


def test_workers_get_the_devices_in_their_order(tmp_path):
    """Three workers on three GPUs have one each, by their numbers."""
    claims = [claim_gpu(GPUS, worker, tmp_path) for worker in (1, 0, 2)]
    assert [claim.gpu.uuid for claim in claims] == ["GPU-b", "GPU-a", "GPU-c"]


def test_another_session_keeps_its_device(tmp_path, hold):
    """A GPU that another process has is left to it while there is a free one."""
    hold()
    assert claim_gpu(GPUS, 0, tmp_path).gpu.uuid == "GPU-b"


def test_device_of_a_killed_worker_is_free(tmp_path, hold):
    """A worker that is killed leaves no lock behind: its GPU goes to the next one, at once."""
    process = hold()
    process.kill()
    process.wait()
    claim = claim_gpu(GPUS, 0, tmp_path)
    assert claim.gpu.uuid == "GPU-a"
    assert claim.lock is not None
    with turn(["a"], tmp_path):
        pass


def test_more_workers_than_devices_share(tmp_path):
    """The fourth worker of three GPUs shares the first one."""
    claims = [claim_gpu(GPUS, worker, tmp_path) for worker in range(4)]
    assert claims[3].gpu.uuid == "GPU-a"
    assert claims[3].lock is None


def test_turns_on_one_device_never_overlap(tmp_path):
    """While one has its turn, the others wait."""
    inside, most = set(), []

    def work(number):
        for _ in range(3):
            with turn(["a"], tmp_path):
                inside.add(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_turns_on_two_devices_do_not_wait(tmp_path):
    """A turn on one GPU does not hold up another GPU."""
    with turn(["a"], tmp_path), turn(["b"], tmp_path):
        pass


class Meter:
    def __init__(self, channels, **context):
        self.channels = channels
        self.environment = Environment(context=context)


@pytest.mark.parametrize(
    ("meter", "boards"),
    [
        (Meter(("gpu0", "gpu1"), board=["a", "b"]), ("a", "b")),
        (Meter(("gpu0", "cpu"), board=["a"]), ("a", PROCESSORS)),
        (Meter(("cpu", "dram")), (PROCESSORS,)),
        (None, ()),
    ],
    ids=["gpus", "gpu-and-cpu", "cpu", "nothing"],
)
def test_meter_says_what_it_needs_for_itself(meter, boards):
    """GPUs are taken one by one, processors as a whole, and nothing where nothing measures."""
    assert boards_of(meter) == boards
