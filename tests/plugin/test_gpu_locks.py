"""Locks on devices: workers reserve GPUs, windows never overlap, killed processes hold none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import UsageError
from pytest_energy.model.measurement import Environment
from pytest_energy.plugin import measuring_hooks
from pytest_energy.plugin.gpu_locks import (
    LOCK_FOLDER_VARIABLE,
    PROCESSORS,
    Gpu,
    HeldLocks,
    Holder,
    Waiting,
    device_lock,
    lock_folder,
    lock_names,
    reserve_gpu,
    show_only,
    state_of_wait,
)
from pytest_energy.testing import SimulatedNvml

GPUS = tuple(Gpu(f"GPU-{name}", name) for name in "abc")

HOLD = """
import sys
from pathlib import Path
from pytest_energy.plugin.gpu_locks import Gpu, device_lock, reserve_gpu
folder = Path(sys.argv[1])
reservation = reserve_gpu([Gpu("GPU-a", "a")], 0, folder)
with device_lock(["a"], folder):
    print(reservation.lock is not None, flush=True)
    sys.stdin.read()
"""


def test_what_is_published_for_those_who_wait_fails_no_test(tmp_path, monkeypatch):
    """A test may replace the functions of json; the folder of the locks may be gone."""
    monkeypatch.setattr("json.dumps", lambda *arguments: None)
    file = tmp_path / "holder"
    locks = HeldLocks(Holder(1, "test_it"), [tmp_path / "gone" / "holder", file])
    locks.expect(60.0)
    read = Holder.read(file)
    assert read is not None
    assert read.test == "test_it"


@pytest.fixture
def hold(tmp_path):
    """Start a process that reserves the first GPU and holds its device lock until it is killed."""
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
    """A machine with two cards; CUDA shows both."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "all")  # restored afterwards, whatever a test sets
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with SimulatedNvml("turing", "turing") as machine:
        yield machine


def test_the_process_sees_only_the_selected_devices(two_cards):
    """CUDA lists them in the order of the option, so the first one is cuda:0."""
    show_only(["1"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == two_cards.uuid(1)
    show_only([two_cards.uuid(1)[:12], "0"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == f"{two_cards.uuid(1)},{two_cards.uuid(0)}"


def test_without_a_selection_cuda_decides(two_cards):
    """The variable stays unset; opening the meter reports a device that does not exist."""
    show_only(None)
    show_only(["7"])
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_devices_are_selected_before_cuda_is_initialized(two_cards, monkeypatch):
    """Afterwards another selection is refused, and the one in force is accepted."""
    cuda = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    show_only(["0", "1"])
    message = (
        f"--energy-devices=1: this process has already .* CUDA_VISIBLE_DEVICES={two_cards.uuid(1)}"
    )
    with pytest.raises(UsageError, match=message):
        show_only(["1"])


def test_sessions_share_one_folder_of_locks_by_default(tmp_path, monkeypatch):
    """Without the variable all sessions of a user on this machine share one folder."""
    monkeypatch.setenv(LOCK_FOLDER_VARIABLE, str(tmp_path))
    assert lock_folder() == tmp_path
    monkeypatch.delenv(LOCK_FOLDER_VARIABLE)
    assert lock_folder() == lock_folder() != tmp_path


def test_workers_get_the_devices_in_their_order(tmp_path):
    """Three workers on three GPUs get one each, by their numbers."""
    reservations = [reserve_gpu(GPUS, worker, tmp_path) for worker in (1, 0, 2)]
    assert [reservation.gpu.uuid for reservation in reservations] == ["GPU-b", "GPU-a", "GPU-c"]


def test_another_session_keeps_its_device(tmp_path, hold):
    """A worker takes a free GPU before one that another process has reserved."""
    hold()
    assert reserve_gpu(GPUS, 0, tmp_path).gpu.uuid == "GPU-b"


def test_device_of_a_killed_worker_is_free(tmp_path, hold):
    """A killed worker leaves no lock behind, so the next worker gets its GPU at once."""
    process = hold()
    process.kill()
    process.wait()
    reservation = reserve_gpu(GPUS, 0, tmp_path)
    assert reservation.gpu.uuid == "GPU-a"
    assert reservation.lock is not None
    with device_lock(["a"], tmp_path):
        pass


def test_more_workers_than_devices_share(tmp_path):
    """The fourth worker of three GPUs shares the first one."""
    reservations = [reserve_gpu(GPUS, worker, tmp_path) for worker in range(4)]
    assert reservations[3].gpu.uuid == "GPU-a"
    assert reservations[3].lock is None


def test_locks_on_one_device_never_overlap(tmp_path):
    """While one thread holds the lock, the others wait."""
    inside, most = set(), []

    def work(number):
        for _ in range(3):
            with device_lock(["a"], tmp_path):
                inside.add(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_locks_on_two_devices_do_not_wait(tmp_path):
    """The lock on one GPU does not block another GPU."""
    with device_lock(["a"], tmp_path), device_lock(["b"], tmp_path):
        pass


def test_a_long_wait_names_who_measures(tmp_path, monkeypatch):
    """After five seconds the process and its test are named, and at last the limit is an error."""
    now, sentences, states = [0.0], [], []
    monkeypatch.setattr(CLOCK, "monotonic", lambda: now[0])
    monkeypatch.setattr(CLOCK, "time", lambda: 1e9 + now[0])

    def sleep(length_s):
        now[0] += length_s

    monkeypatch.setattr(CLOCK, "sleep", sleep)

    def say(sentence):
        assert 5 <= now[0] < 6
        sentences.append(sentence)

    owner = f"PID {os.getpid()}, test_it.py::test_first"
    with device_lock(["a"], tmp_path, Waiting("test_it.py::test_first")) as held:
        held.expect(200.0)
        held.expect(1.0)  # too short to be shown to anybody
        waiting = Waiting("test_second", say, limit_s=60.0, show=states.append)
        second = device_lock(["a"], tmp_path, waiting)
        with pytest.raises(UsageError, match=rf"{owner}.*--energy-wait-lock=60 seconds"), second:
            pass
    assert sentences == [f"waiting for a device that another session measures ({owner})"]
    assert 60 <= now[0] < 61
    ours = f"waiting for PID {os.getpid()}"
    assert states[0] == f"{ours}: 5 s, about 3 min left · test_it.py::test_first"
    assert states[-1] == f"{ours}: 55 s, about 2 min left · test_it.py::test_first"
    assert len(states) == 11
    with device_lock(["a"], tmp_path, Waiting("a comparison with main")) as held:
        held.expect_at_most("card 0", 1200.0)
        held.expect_at_most("card 1", 300.0)
        held.expect_at_most("card 0", 600.0)
        state = state_of_wait(Holder.read(tmp_path / "a.holder"), 120.0)
    assert state == f"{ours}: 2 min, at most 10 min left · a comparison with main"
    with device_lock(["a"], tmp_path, Waiting("test_second", say, limit_s=0.5)):
        pass
    assert not list(tmp_path.glob("*.holder"))


def test_a_session_says_for_whom_it_waits(project, monkeypatch):
    """The line is on the terminal while the test waits, with what the other one measures."""
    project.write("def test_it(energy):\n    energy(work, 1)")
    with device_lock(["scripted"], lock_folder(), Waiting("test_of_another")):
        monkeypatch.setattr(measuring_hooks, "lock_names", lambda meter: ["scripted"])
        monkeypatch.setattr("pytest_energy.plugin.gpu_locks.SILENT_S", 0.1)
        monkeypatch.setattr("pytest_energy.plugin.gpu_locks.POLL_S", 0.01)
        result = project.run("--energy-wait-lock=0.3")
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    assert f"energy: waiting for a device that another session measures (PID {os.getpid()}" in text
    assert "test_of_another" in text
    assert "--energy-wait-lock=0.3" in text


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
def test_the_meter_determines_the_locks(meter, boards):
    """Each GPU has a lock, all processors share one, and without a meter there is none."""
    assert lock_names(meter) == boards
