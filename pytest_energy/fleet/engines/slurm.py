"""The engine ``slurm``: a job array for each kind of accelerator, by submitit.

The project and its folder ``.energy`` must lie on a file system that the nodes share. Slurm's own
accounting is not needed: a job that is in no queue and has left no result has died. While the
controller does not answer, nothing is known, so the fleet waits; running jobs do not need it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import EnergyError, UsageError
from pytest_energy.fleet.engine import EngineRequest, Outcome, Started, Task
from pytest_energy.fleet.shard import run_shard
from pytest_energy.model.files import is_there, write_atomically

POLL_S: Final = 2.0
"""Seconds between two questions to the controller, which is shared by all users of the cluster."""
LONGEST_OUTAGE_S: Final = 1800.0
"""So long a submission waits for a controller that does not answer."""
RESULT_DELAY_S: Final = 30.0
"""So long a result may be under way on a shared file system after its job has left the queue."""
ANSWER_S: Final = 60.0
"""So long a command of Slurm may take: its own limit for a controller is shorter."""
NO_ANSWER: Final = re.compile(
    "contact slurm controller|communication connection failure|socket timed out|"
    "unexpected message received|slurm_persist_conn|connection refused|timed out",
    re.IGNORECASE,
)
T = TypeVar("T")


class ControllerError(EnergyError):
    """The controller of Slurm does not answer."""


class SlurmEngine:
    """Runs shards as jobs of Slurm.

    Args:
        request: The options are those of ``sbatch`` in their long form, such as ``partition``,
            ``account``, ``qos``, ``time`` or ``cpus-per-task``.

    Raises:
        UsageError: Slurm is not installed here, or an option is one that the engine sets itself.
    """

    def __init__(self, request: EngineRequest) -> None:
        if own := request.options.keys() & {"gres", "array", "output", "error", "chdir"}:
            raise UsageError(f"--engine-option {min(own)}: the engine 'slurm' sets it itself")
        self._root = request.root
        self._folder = request.folder
        self._options = dict(request.options)
        self._jobs: dict[str, Any] = {}
        self._begun: set[str] = set()
        self._left_s: dict[str, float] = {}
        """When a job without a result was found to be in no queue."""

    def check(self, accelerators: Sequence[str]) -> None:
        """Check that each accelerator exists.

        Raises:
            UsageError: One does not.
        """
        kinds = self._kinds()
        for name in accelerators:
            if name.lower() not in kinds:
                there = ", ".join(sorted(kinds.values())) or "none"
                raise UsageError(f"no accelerator {name} in this cluster of Slurm; it has {there}")

    def _kinds(self) -> dict[str, str]:
        """The types of GPU that nodes have, by their names in lower case."""
        options = (
            ["--partition", partition] if (partition := self._options.get("partition")) else []
        )
        listed = _ask("sinfo", "--noheader", "--format=%G", *options)
        kinds = re.findall(r"gpu:([^:,(\s]+):", listed)
        return {kind.lower(): kind for kind in kinds}

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks; those that an earlier process has submitted are taken over."""
        for task in tasks:
            if task.shard not in self._jobs and is_there(self._note(task.shard)):
                self._jobs[task.shard] = self._job(self._note(task.shard).read_text("utf-8"))
        new = [task for task in tasks if task.shard not in self._jobs]
        for accelerator in dict.fromkeys(task.accelerator for task in new):
            self._submit_array([task for task in new if task.accelerator == accelerator])

    def _job(self, job_id: str) -> Any:
        return submitit.SlurmJob(self._folder, job_id)

    def _note(self, shard: str) -> Path:
        """The file with the id of the job that runs a shard."""
        return self._folder / f"{shard}.job"

    def _submit_array(self, tasks: Sequence[Task]) -> None:
        executor = self._executor(tasks[0].accelerator)

        def queue() -> list[Any]:
            try:
                with executor.batch():
                    jobs = [executor.submit(run_shard, task, self._root) for task in tasks]
            except (FailedJobError, FailedSubmissionError) as error:
                raise _refusal(str(error).strip()) from None
            return jobs

        for task, job in zip(tasks, _patiently(queue), strict=True):
            self._jobs[task.shard] = job
            write_atomically(self._note(task.shard), job.job_id)

    def _executor(self, accelerator: str) -> Any:
        executor = submitit.SlurmExecutor(self._folder)
        gres = f"gpu:{self._kinds()[accelerator.lower()]}:1"
        executor.update_parameters(
            job_name="pytest-energy",
            gres=gres,
            time=None,  # that of the partition
            stderr_to_stdout=True,
            use_srun=False,
            wckey=None,
            additional_parameters=self._options,
        )
        return executor

    def poll(self, timeout_s: float) -> list[Started | Outcome]:
        """What happened since the last call."""
        CLOCK.sleep(max(timeout_s, POLL_S))
        try:
            queued = self._queue()
        except ControllerError:
            queued = None
        # Results are looked for after the queue was asked: what has left it has written them.
        ended = [*self._results(), *([] if queued is None else self._died(queued))]
        for outcome in ended:
            del self._jobs[outcome.shard]
            self._begun.discard(outcome.shard)
            self._left_s.pop(outcome.shard, None)
            self._note(outcome.shard).unlink(missing_ok=True)
        return [*self._started(queued or {}), *ended]

    def _queue(self) -> dict[str, tuple[str, str]]:
        """The state and the node of each of the user's jobs that is queued or running, by id."""
        me = str(os.getuid())
        listed = _ask("squeue", "--noheader", "--array", f"--user={me}", "--format=%i|%F_%K|%T|%N")
        queue = {}
        for line in listed.splitlines():
            job_id, in_array, state, node = line.strip().split("|")
            queue[job_id] = queue[in_array] = state, node
        return queue

    def _started(self, queue: dict[str, tuple[str, str]]) -> list[Started]:
        started = []
        for shard, job in self._jobs.items():
            state, node = queue.get(job.job_id, ("", ""))
            if state == "RUNNING" and shard not in self._begun:
                self._begun.add(shard)
                started.append(Started(shard, f"{node}, job {job.job_id}"))
        return started

    def _results(self) -> list[Outcome]:
        return [
            _outcome(shard, job)
            for shard, job in self._jobs.items()
            if job.paths.result_pickle.exists()
        ]

    def _died(self, queue: dict[str, tuple[str, str]]) -> list[Outcome]:
        died = []
        for shard, job in self._jobs.items():
            if job.job_id in queue or job.paths.result_pickle.exists():
                self._left_s.pop(shard, None)
            elif CLOCK.monotonic() - self._left_s.setdefault(shard, CLOCK.monotonic()) > (
                RESULT_DELAY_S
            ):
                reason = f"job {job.job_id} of Slurm ended without a result"
                died.append(Outcome(shard, output=job.stdout() or "", reason=reason))
        return died

    def close(self) -> None:
        """Cancel all jobs and wait until they have left the queue."""
        jobs = [job.job_id for job in self._jobs.values()]
        if not jobs:
            return
        _patiently(lambda: _ask("scancel", *jobs))
        for shard in self._jobs:
            self._note(shard).unlink(missing_ok=True)
        self._jobs.clear()
        while _patiently(lambda: self._queue().keys() & set(jobs)):
            CLOCK.sleep(POLL_S)


def _outcome(shard: str, job: Any) -> Outcome:
    try:
        outcome: Outcome = job.result()
    except (FailedJobError, UncompletedJobError) as error:
        last = str(error).strip().splitlines()[-1:]
        return Outcome(shard, output=str(error), reason=f"job {job.job_id}: {' '.join(last)}")
    return outcome


def _ask(*command: str) -> str:
    """The answer of a command of Slurm.

    Raises:
        ControllerError: The controller does not answer.
        UsageError: There is no Slurm here.
        EnergyError: The command is refused; the text says why.
    """
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=ANSWER_S
        )
    except FileNotFoundError:
        raise UsageError(
            f"--engine=slurm: no command {command[0]} here; run the fleet on a login node of Slurm"
        ) from None
    except subprocess.TimeoutExpired:
        raise ControllerError(f"{command[0]}: no answer in {ANSWER_S:g} s") from None
    except subprocess.CalledProcessError as error:
        raise _refusal(f"{command[0]}: {error.stderr.strip()}") from None
    return answer.stdout


def _refusal(text: str) -> EnergyError:
    return ControllerError(text) if NO_ANSWER.search(text) else EnergyError(text)


def _patiently(ask: Callable[[], T]) -> T:
    """Ask again while the controller does not answer.

    Raises:
        ControllerError: It did not for half an hour.
    """
    deadline_s = CLOCK.monotonic() + LONGEST_OUTAGE_S
    waits_s = 0.0
    while True:
        try:
            return ask()
        except ControllerError as error:
            if CLOCK.monotonic() > deadline_s:
                raise
            if not waits_s:
                print(f"waiting for the controller of Slurm ({error})", file=sys.stderr)
            waits_s = min(60.0, 2 * waits_s or POLL_S)
            CLOCK.sleep(waits_s)
