"""The engine ``slurm``: a real Slurm of one host, with made-up accelerators and simulated cards."""

from __future__ import annotations

import itertools
import os
import pickle
import platform
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from pytest_energy.cli import main
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.fleet.engine import EngineRequest, Outcome, Task
from pytest_energy.fleet.plan import RunFolder
from pytest_energy.model.json_files import load_run
from pytest_energy.simulation.load import Load
from pytest_energy.testing import SimulatedNvml

submitit = pytest.importorskip("submitit", reason="the group `fleet` is not installed")

from submitit.core.utils import DelayedSubmission  # noqa: E402

from pytest_energy.fleet.engines import slurm  # noqa: E402 - needs submitit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
needs_slurm = pytest.mark.skipif(
    bool(MISSING) or os.getuid() != 0,
    reason=f"needs root and {', '.join(MISSING) or 'Slurm'}: apt-get install slurm-wlm munge",
)
CONFIGURATION = """
ClusterName=made-up
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
MessageTimeout=5
SchedulerParameters=sched_interval=1
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 CoresPerSocket=8 Gres=gpu:h100:1,gpu:a100:2
PartitionName=cards Nodes={host} Default=YES MaxTime=60 State=UP
"""
TEST = """
import os, time
from pathlib import Path

def test_it(energy):
    with Path("log.txt").open("a") as log:
        log.write(f"{name} {{os.environ['CUDA_VISIBLE_DEVICES']}}\\n")
    deadline_s = time.monotonic() + 120
    while not Path("outage-over.txt").exists():
        assert time.monotonic() < deadline_s, "the controller did not come back"
        time.sleep(0.1)
    energy(time.sleep, 0.005)
"""
OPTIONS = ("--energy-rounds=3", "--energy-passes=20", "-p", "no:cacheprovider")


class OneHostSlurm:
    """Slurm's daemons, with a configuration of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o700)
        (folder / "munge/key").write_bytes(os.urandom(1024))
        (folder / "munge/key").chmod(0o400)
        for number in range(3):  # character devices, since Slurm accepts nothing else
            os.mknod(folder / f"card{number}", 0o666 | 0o020000, os.makedev(1, 3))
        text = CONFIGURATION.format(
            host=platform.node().partition(".")[0], folder=folder, ports=free_ports(2)
        )
        (folder / "slurm.conf").write_text(text)
        (folder / "gres.conf").write_text(
            f"Name=gpu Type=h100 File={folder}/card0 Flags=nvidia_gpu_env\n"
            f"Name=gpu Type=a100 File={folder}/card[1-2] Flags=nvidia_gpu_env\n"
        )

    def start(self) -> None:
        """Start all daemons, and wait for the node."""
        munge = self._folder / "munge"
        names = {
            "key-file": "key",
            "pid-file": "munged.pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{name}={munge / file}" for name, file in names.items()]
        subprocess.run(["munged", "--force", f"--socket={munge / 'socket'}", *options], check=True)
        self.start_controller()
        subprocess.run(["slurmd"], check=True)
        deadline_s = time.monotonic() + 60
        while "idle" not in self.ask("sinfo", "--noheader", "--format=%T"):
            if time.monotonic() > deadline_s:
                log = (self._folder / "slurmctld.log").read_text()
                raise TimeoutError(f"no node is idle after 60 s: {log[-500:]}")
            time.sleep(0.2)

    def start_controller(self) -> None:
        """Start the controller, which finds its state again."""
        subprocess.run(["slurmctld"], check=True)

    def stop(self, daemon: str) -> None:
        """End a daemon."""
        try:
            os.kill(int((self._folder / f"{daemon}.pid").read_text()), 15)
        except (FileNotFoundError, ProcessLookupError):
            return

    def end(self) -> None:
        """End all daemons."""
        for daemon in ("slurmd", "slurmctld", "munge/munged"):
            self.stop(daemon)

    @staticmethod
    def ask(*command: str) -> str:
        """The answer of a command; empty if it has none yet."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def free_ports(number: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as sockets:
        opened = [sockets.enter_context(socket.socket()) for _ in range(number)]
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in opened]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneHostSlurm]:
    """A Slurm with an H100 and two A100."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    # Jobs get the variables of who submits them, so all see the same machine.
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    for name, value in Load(power_w=150).to_environment().items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        stack.enter_context(SimulatedNvml("hopper", "ga100", "ga100"))
        try:
            slurm_host = OneHostSlurm(folder)
            stack.callback(slurm_host.end)
            slurm_host.start()
        except (OSError, subprocess.CalledProcessError) as error:  # a container may not allow it
            pytest.skip(f"Slurm does not start here: {error}")
        yield slurm_host


def assert_taken_over(engine: slurm.SlurmEngine) -> None:
    """Another process that resumes the run submits nothing that is in the queue."""
    folder = RunFolder.find(None)
    plan = folder.load_plan()
    tasks = [plan.task(shard) for shard in plan.shards if shard.name in engine._jobs]
    other = slurm.SlurmEngine(EngineRequest(Path(plan.project), folder.engine.absolute()))
    other.submit(tasks)
    assert {name: job.job_id for name, job in other._jobs.items()} == {
        name: job.job_id for name, job in engine._jobs.items()
    }


@needs_slurm
def test_an_outage_of_the_controller_costs_nothing(
    cluster: OneHostSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """It ends while jobs run, and comes back; each test is measured once on its card."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    for name in "ab":
        (project / f"test_{name}.py").write_text(TEST.format(name=name))
    monkeypatch.chdir(project)
    poll, outages = slurm.SlurmEngine.poll, iter(["resume", "stop", "wait", "start"])

    def with_outage(engine: slurm.SlurmEngine, timeout_s: float) -> Any:
        if engine._begun:
            match next(outages, None):
                case "stop":
                    cluster.stop("slurmctld")
                    time.sleep(2)
                case "resume":
                    assert_taken_over(engine)
                case "start":
                    cluster.start_controller()
                    (project / "outage-over.txt").touch()
        return poll(engine, timeout_s)

    monkeypatch.setattr(slurm.SlurmEngine, "poll", with_outage)
    accelerators = ["--accelerator=H100", "--accelerator=a100:2"]
    engine = ["--engine=slurm", "--engine-option=partition=cards"]
    status = main(["fleet", "run", *accelerators, *engine, "--", *OPTIONS])
    assert status == 0, capsys.readouterr().out
    run = load_run(Path(".energy/results.json"))
    kinds = Counter(
        result.measured_in(run.environment).identity["device"] for result in run.benchmarks
    )
    assert sorted(kinds.values()) == [2, 2]
    log = (project / "log.txt").read_text().splitlines()
    assert sorted(line for line in log if line.endswith(" 0")) == ["a 0", "b 0"]
    assert len(log) == len(set(log)) == 4
    assert next(outages, None) is None, "the controller came back"
    assert main(["fleet", "run", "--accelerator=L40S", *engine]) == 2
    assert "no accelerator L40S in this cluster of Slurm; it has a100, h100" in (
        capsys.readouterr().err
    )


COMMANDS = {
    "srun": "",
    "sinfo": "echo gpu:h100:2",
    "scancel": 'echo "$@" >>cancelled',
    "sbatch": """
        sed -n 's/^#SBATCH --job-name=//p' "$1" >>accepted
        echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv' >&2
        exit 1""",
    "squeue": """
        [ ! -e outage ] || { echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1; }
        for option; do
            case $option in --name=*) grep -nx "${option#--name=}" accepted | cut -d : -f 1; esac
        done
        exit 0""",
}
"""Stand-ins for commands of Slurm. The number of a job is its line in the file ``accepted``."""
TASKS = [Task(f"h100-{number}", "H100", (f"test_{number}.py",)) for number in (1, 2)]


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineRequest:
    """A cluster that accepts what is submitted, but whose answer comes too late."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/bash\ncd {tmp_path}\n{script}\n")
        (commands / name).chmod(0o755)
    (tmp_path / "accepted").touch()
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm.CLOCK, "sleep", lambda length_s: None)
    return EngineRequest(tmp_path, tmp_path / "engine")


def assert_submitted_once(engine: slurm.SlurmEngine, folder: Path) -> None:
    """Each task has its place in the one array that the controller has."""
    assert len((folder / "accepted").read_text().splitlines()) == 1
    assert [job.job_id for job in engine._jobs.values()] == ["1_0", "1_1"]
    submissions = [
        DelayedSubmission.load(job.paths.submitted_pickle) for job in engine._jobs.values()
    ]
    assert [submission.args[0] for submission in submissions] == TASKS


def test_an_array_whose_answer_came_too_late_is_not_submitted_again(
    silent: EngineRequest, tmp_path: Path
) -> None:
    """It is found by its name, which no other has."""
    engine = slurm.SlurmEngine(silent)
    engine.submit(TASKS)
    assert_submitted_once(engine, tmp_path)


def test_an_array_that_nobody_waited_for_is_taken_over(
    silent: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C came before the controller's answer; the next process finds the array."""
    engine = slurm.SlurmEngine(silent)
    with monkeypatch.context() as patch:
        patch.setattr(slurm.CLOCK, "sleep", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            engine.submit(TASKS)
    engine = slurm.SlurmEngine(silent)
    engine.submit(TASKS)
    assert_submitted_once(engine, tmp_path)
    engine.close()
    assert (tmp_path / "cancelled").read_text() == "1_0 1_1\n"


def test_nothing_is_known_of_jobs_while_the_controller_is_silent(
    silent: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is: they run on, and what has ended has left its result."""
    engine = slurm.SlurmEngine(silent)
    engine.submit(TASKS)
    (tmp_path / "outage").touch()
    hours = itertools.count(step=3600)
    monkeypatch.setattr(slurm.CLOCK, "monotonic", lambda: float(next(hours)))
    assert [*engine.poll(0), *engine.poll(0), *engine.poll(0)] == []
    ended = Outcome("h100-2", 0)
    path = engine._jobs["h100-2"].paths.result_pickle
    path.write_bytes(pickle.dumps(("success", ended)))
    assert engine.poll(0) == [ended]
    (tmp_path / "outage").unlink()
    (died,) = [*engine.poll(0), *engine.poll(0)]
    assert died == Outcome("h100-1", reason="job 1_0 of Slurm ended without a result")


def test_submitit_carries_a_shard_and_its_outcome(tmp_path: Path) -> None:
    """By its executor for one machine: what is submitted is pickled, and so is what comes back."""
    (tmp_path / "test_it.py").write_text("def test_it(): ...\n")
    executor = submitit.LocalExecutor(tmp_path / "engine")
    task = Task("h100-1", "H100", ("test_it.py", "-p", "no:cacheprovider"))
    job = executor.submit(slurm.run_shard, task, tmp_path)
    outcome = job.result()
    assert isinstance(outcome, Outcome)
    assert (outcome.shard, outcome.exit_status) == ("h100-1", 0)


def test_what_the_engine_sets_itself_is_refused(tmp_path: Path) -> None:
    """An option of the user would replace it."""
    with pytest.raises(Exception, match="--engine-option gres: the engine 'slurm' sets it itself"):
        slurm.SlurmEngine(EngineRequest(tmp_path, tmp_path, {"gres": "gpu:1"}))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
            slurm.ControllerError,
        ),
        (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv",
            slurm.ControllerError,
        ),
        ("sbatch: error: invalid partition specified: gpus", EnergyError),
        ("sinfo: fatal: Could not establish a configuration source", UsageError),
    ],
)
def test_only_silence_of_the_controller_is_waited_for(text: str, kind: type[EnergyError]) -> None:
    """A refusal ends the run at once."""
    assert type(slurm._refusal(f"\n{text}\nmore\n")) is kind


def test_a_machine_without_slurm_is_told_where_to_go(
    silent: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is submitted; so is a controller that is silent, and a kind no node has."""
    engine = slurm.SlurmEngine(silent)
    with pytest.raises(UsageError, match=r"no accelerator L40S in this cluster .* it has h100"):
        engine.check(["H100", "L40S"])
    (tmp_path / "bin/sinfo").write_text(
        "#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1"
    )
    with pytest.raises(EnergyError, match="try again once sinfo lists the nodes"):
        engine.check(["H100"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no command sinfo here; run the fleet on a login node"):
        engine.check(["H100"])
