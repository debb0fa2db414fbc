"""A fleet of three kinds of simulated cards on this machine, from the command to the page.

The sessions of the shards are forks of this process: each new interpreter would import all anew.
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_benchmark.plugin  # noqa: F401 - imported before the forks, as some below
import scipy.special  # noqa: F401

import pytest_energy.against.messages
import pytest_energy.measuring.forward_passes
import pytest_energy.plugin.alternation.cards
import pytest_energy.plugin.measuring_hooks
import pytest_energy.plugin.results_lock
import pytest_energy.plugin.simulated
import pytest_energy.plugin.xdist
import pytest_energy.report.ci.code_quality
import pytest_energy.report.html.render
import pytest_energy.report.text.markdown  # noqa: F401
from pytest_energy.cli import main
from pytest_energy.fleet import collection, shard
from pytest_energy.fleet.collection import Suite, collect
from pytest_energy.fleet.engine import Outcome
from pytest_energy.fleet.engines.local import LocalEngine
from pytest_energy.fleet.plan import RunFolder
from pytest_energy.meters.nvml import opening
from pytest_energy.meters.nvml.devices.selection import Device
from pytest_energy.meters.nvml.opening import open_instruments
from pytest_energy.meters.nvml.sources.collector import RingCollector
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor
from pytest_energy.model.json_files import load_run
from pytest_energy.model.result import Run
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE
from pytest_energy.simulation.load import Load
from pytest_energy.testing import PROFILES, SimulatedNvml
from tests.virtual import virtual_machine

CARDS = {"H100": ("hopper", 300.0), "A100": ("ga100", 200.0), "RTX4090": ("ada", 225.0)}
"""By kind, the simulated card and its watts."""
MODULES = "abcd"
SECONDS = {"short": 0.05, "long": 0.1}
TEST = """
import os, signal, time
from pathlib import Path

def note(what):
    with Path("log.txt").open("a") as log:
        log.write(f"{{os.environ['KIND']}} {name} {{what}}\\n")

def test_short(energy):
    note("short")
    energy(time.sleep, 0.05)

def test_long(energy):
    note("long")
    energy(time.sleep, 0.1)
    trap = Path("trap")
    if os.environ["KIND"] == "A100" and trap.exists():
        trap.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if "{name}" == "d" and Path("hold").exists():
        signal.pause()
"""
OPTIONS = ("--energy-rounds=3", "--energy-passes=10", "-p", "no:cacheprovider")


def read_rings(devices: Sequence[Device], sensors: Mapping[str, PowerSensor]) -> RingCollector:
    """Collect samples as for short windows, without a helper process for each session."""
    return RingCollector(sensors)


class Fork:
    """As much of ``Popen`` as a shard needs; the child has one card, on the virtual clock."""

    kinds: dict[str, str]
    """The kind of each card by its UUID."""
    locks: Path

    def __init__(self, command: list[str], *, cwd: Path, env: dict[str, str], **others: Any):
        self._status: int | None = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            self.pid = os.fork()
        if not self.pid:
            status = 70
            try:
                os.setsid()
                for descriptor in (1, 2):
                    os.dup2(others["stdout"].fileno(), descriptor)
                os.chdir(cwd)
                status = self._run(command[command.index("pytest") + 1 :], env)
            finally:
                os._exit(status)

    def _run(self, arguments: list[str], environment: dict[str, str]) -> int:
        gc.freeze()  # each session collects garbage several times; that of this process is large
        os.environ.clear()
        os.environ.update(environment)
        uuid = environment["CUDA_VISIBLE_DEVICES"]
        kind = self.kinds[uuid]
        # In its machine of one card, each card of a kind has the same UUID.
        locks = {LOCK_FOLDER_VARIABLE: str(self.locks / uuid)}
        os.environ |= {"KIND": kind, "CUDA_VISIBLE_DEVICES": "0", **locks}
        opening.open_instruments = partial(open_instruments, collect=read_rings)
        os.environ.update(Load(power_w=CARDS[kind][1]).to_environment())
        warnings.resetwarnings()
        with os.fdopen(1, "w", closefd=False) as sys.stdout, virtual_machine(CARDS[kind][0]):
            sys.stderr = sys.__stdout__ = sys.__stderr__ = sys.stdout
            return int(pytest.main(arguments))

    def poll(self) -> int | None:
        """The exit status, as of ``Popen``; ``None`` while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end."""
        begin_s = time.monotonic()
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() - begin_s > timeout:
                raise subprocess.TimeoutExpired("pytest", timeout)
            time.sleep(0.02)
        return status


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project on a machine with four cards of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(shard, "Popen", Fork)
    Path("pytest.ini").write_text("[pytest]\n")
    for name in MODULES:
        Path(f"test_{name}.py").write_text(TEST.format(name=name))
    tests = tuple(f"test_{name}.py::test_{length}" for name in MODULES for length in SECONDS)
    suite = Suite(tmp_path, tmp_path / "pytest.ini", tests, ())
    monkeypatch.setattr(collection, "collect", lambda tests, options: suite)
    kinds = [kind for kind in CARDS for _ in range(4)]
    with SimulatedNvml(*(CARDS[kind][0] for kind in kinds)) as machine:
        Fork.kinds = {machine.uuid(device): kind for device, kind in enumerate(kinds)}
        Fork.locks = tmp_path / "locks"
        yield tmp_path


def joules(run: Run) -> dict[tuple[str, str], float]:
    """The joules of each benchmark by machine and id."""
    return {
        (
            str(result.measured_in(run.environment).identity["device"]),
            result.id,
        ): result.energy.value
        for result in run.benchmarks
        if result.energy
    }


def measured(folder: Path) -> Counter[str]:
    """How often each test was measured on each kind."""
    return Counter((folder / "log.txt").read_text().splitlines())


def test_a_killed_shard_costs_nothing(rack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three kinds, twelve shards, one killed: the results are those of one machine of each kind."""
    (rack / "trap").touch()
    accelerators = [f"--accelerator={kind}:4" for kind in CARDS]
    status = main(["fleet", "run", *accelerators, "--engine=local", "--", *OPTIONS])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "12 shards on H100, A100, RTX4090 by local" in printed
    assert "killed by SIGKILL; it runs again" in printed
    run = load_run(Path(".energy/results.json"))
    assert run.run.complete
    found = joules(run)
    assert len(found) == len(run.benchmarks) == len(CARDS) * len(MODULES) * len(SECONDS)
    for kind, (card, power_w) in CARDS.items():
        for (device, test), energy_j in found.items():
            if device == PROFILES[card].name:
                duration_s = SECONDS[test.rpartition("_")[2]]
                assert energy_j == pytest.approx(power_w * duration_s, rel=0.005), (kind, test)
    again = {entry for entry, number in measured(rack).items() if number > 1}
    assert {entry.partition(" ")[0] for entry in again} == {"A100"}
    (again_in,) = {entry.split()[1] for entry in again} - set("x")
    assert len(again) == 2, f"only module {again_in}, which was lost, is measured again"
    page = Path(".energy/report.html").read_text()
    assert all(PROFILES[card].name in page for card, _ in CARDS.values())


def test_a_cancelled_run_goes_on_where_it_was(
    rack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C stops all shards; what had finished is not measured a second time."""
    (rack / "hold").touch()  # one shard does not end before Ctrl-C
    poll = LocalEngine.poll
    ended: list[str] = []

    def interrupted(engine: LocalEngine, timeout_s: float) -> Any:
        if ended:
            raise KeyboardInterrupt
        events = poll(engine, timeout_s)
        ended.extend(event.shard for event in events if isinstance(event, Outcome))
        return events

    monkeypatch.setattr(LocalEngine, "poll", interrupted)
    monkeypatch.setattr(shard, "STOP_S", 0.5)
    arguments = ["fleet", "run", "--accelerator=H100:2", "--engine=local", "--", *OPTIONS]
    assert main(arguments) == 2
    folder = RunFolder.find(None)
    assert f"Continue: pytest-energy fleet run --resume {folder.name}" in capsys.readouterr().out
    log = rack / "log.txt"
    before = log.read_text().splitlines()
    (rack / "hold").unlink()
    monkeypatch.setattr(LocalEngine, "poll", poll)
    finished = {shard for shard, state in folder.load_state().shards.items() if state.has_ended}
    assert finished >= set(ended)
    assert main(["fleet", "run", "--resume", folder.name]) == 0
    modules = {
        argument.removeprefix("test_").removesuffix(".py")
        for shard in folder.load_plan().shards
        if shard.name in finished
        for argument in shard.arguments
    }
    after = log.read_text().splitlines()[len(before) :]
    assert not {entry.split()[1] for entry in after} & modules
    assert len(joules(load_run(Path(".energy/results.json")))) == len(MODULES) * len(SECONDS)


def test_the_commands_of_the_page_run(rack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fleet of simulated cards of docs/fleet.md, its state, and a run that has all results."""
    text = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text("utf-8")
    (cards,) = re.findall(
        r"^\$ pytest-energy simulate .* -- pytest-energy (.*)", text, re.MULTILINE
    )
    assert main([*cards.split(), "--", *OPTIONS]) == 0
    assert "3 shards on H100, A100 by local" in capsys.readouterr().out
    status, resume = re.findall(r"^\$ pytest-energy (fleet (?:status|run --resume).*)", text, re.M)
    assert main(status.split()) == 0
    assert capsys.readouterr().out.count("passed · ") == 3
    words = resume.split()
    assert re.fullmatch(r"\d{8}-\d{6}", words[-1])
    assert main([*words[:-1], RunFolder.find(None).name]) == 0


ENGINE = """
from pytest_energy.fleet.engine import Started
from pytest_energy.fleet.shard import run_shard

class OneByOne:
    def __init__(self, request):
        request.refuse_unknown("one-by-one", "card")
        self.root = request.root
        self.variables = {"CUDA_VISIBLE_DEVICES": request.options["card"]}
        self.tasks = []

    def check(self, accelerators): ...

    def submit(self, tasks):
        self.tasks += tasks

    def poll(self, timeout_s):
        if not self.tasks:
            return []
        task = self.tasks.pop(0)
        return [Started(task.shard, "here"), run_shard(task, self.root, self.variables)]

    def close(self): ...
"""


def test_another_package_adds_an_engine(
    rack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found by its entry point, and has options of its own."""
    site = rack / "site"
    installed = site / "one_by_one-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: one-by-one\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(
        "[pytest_energy.engines]\none-by-one = one_by_one:OneByOne\n"
    )
    (site / "one_by_one.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(site)
    arguments = ["fleet", "run", "--accelerator=H100:2", "--engine=one-by-one"]
    assert main([*arguments, "--engine-option=cards=0"]) == 2
    refusal = "--engine-option cards: the engine 'one-by-one' knows card"
    assert refusal in capsys.readouterr().err
    assert main([*arguments, f"--engine-option=card={next(iter(Fork.kinds))}", "--", *OPTIONS]) == 0
    assert "8 benchmarks from 2 shards" in capsys.readouterr().out
    assert set(measured(rack).values()) == {1}


def test_a_missing_accelerator_names_those_there_are(
    rack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is planned then."""
    assert main(["fleet", "run", "--accelerator=L40S", "--engine=local"]) == 2
    assert "no accelerator L40S on this machine, which has NVIDIA H100" in capsys.readouterr().err
    assert not Path(".energy").exists()


def test_pytest_itself_collects_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard names whole modules, but single tests where the command line does."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in "ab":
        (tests / f"test_{name}.py").write_text("def test_x(): ...\n\ndef test_y(): ...\n")
    monkeypatch.chdir(tests)
    suite = collect(["test_a.py::test_y", "test_b.py"], ["-k", "test_y", "--energy-update"])
    assert suite.tests == ("tests/test_a.py::test_y", "tests/test_b.py::test_y")
    assert suite.configuration == tmp_path / "pytest.ini"
    assert suite.arguments("tests/test_a.py", tests) == ["test_a.py::test_y"]
    assert suite.arguments("tests/test_b.py", tests) == ["test_b.py"]
