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
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import submitit
from submitit.core.utils import (
    DelayedSubmission,
    FailedJobError,
    FailedSubmissionError,
    UncompletedJobError,
    temporary_save_path,
)

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
NO_CONFIGURATION: Final = re.compile("configuration source|slurm.conf", re.IGNORECASE)
REMEDY: Final = "run the fleet on a login node of Slurm"
JOB_NAME: Final = "pytest-energy-"
"""Begins the name of an array of jobs; the rest is its own."""
ALIVE: Final = "PENDING,CONFIGURING,RUNNING,SUSPENDED"
"""States of jobs that have not ended, nor are about to."""
OWN_OPTIONS: Final = frozenset({"array", "chdir", "error", "gres", "job-name", "output"})
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
        if own := request.options.keys() & OWN_OPTIONS:
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
        try:
            kinds = self._kinds()
        except ControllerError as error:
            raise EnergyError(f"{error}; try again once sinfo lists the nodes") from None
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
            if task.shard not in self._jobs and (job_id := self._noted_job(task)):
                self._begin(task, job_id)
        new = [task for task in tasks if task.shard not in self._jobs]
        for accelerator in dict.fromkeys(task.accelerator for task in new):
            self._submit_array([task for task in new if task.accelerator == accelerator])

    def _begin(self, task: Task, job_id: str) -> None:
        self._jobs[task.shard] = submitit.SlurmJob(self._folder, job_id)
        write_atomically(self._note(task.shard), job_id)

    def _note(self, shard: str) -> Path:
        """The file with the id of the job that runs a shard.

        Before the controller has answered, it has the name of the array, the shard's place in it,
        and the number of its shards.
        """
        return self._folder / f"{shard}.job"

    def _noted_job(self, task: Task) -> str | None:
        """The id of the job that an earlier process has submitted for a task."""
        if not is_there(self._note(task.shard)):
            return None
        noted = self._note(task.shard).read_text("utf-8")
        if not noted.startswith(JOB_NAME):
            return noted
        name, place, number = noted.split()
        job_ids = _patiently(lambda: self._accepted(name, int(number)))
        if not job_ids:
            return None
        self._hand_over(task, job_ids[int(place)])
        return job_ids[int(place)]

    def _accepted(self, name: str, number: int) -> list[str]:
        """The ids of the jobs of an array that the controller has; none if it has no such array."""
        listed = _ask("squeue", "--noheader", f"--name={name}", f"--states={ALIVE}", "--format=%F")
        arrays = sorted(set(listed.split()), key=int)
        # submitit makes no array for a single job.
        return [
            array if number == 1 else f"{array}_{place}"
            for array in arrays[:1]
            for place in range(number)
        ]

    def _hand_over(self, task: Task, job_id: str) -> None:
        """Write what a job runs, for which it waits a minute: submitit does once it has the id."""
        path = submitit.SlurmJob(self._folder, job_id).paths.submitted_pickle
        if is_there(path):
            return
        with temporary_save_path(path) as temporary:
            DelayedSubmission(run_shard, task, self._root).dump(temporary)

    def _submit_array(self, tasks: Sequence[Task]) -> None:
        name = f"{JOB_NAME}{uuid.uuid4().hex[:12]}"
        executor = self._executor(tasks[0].accelerator, name)
        for place, task in enumerate(tasks):
            write_atomically(self._note(task.shard), f"{name} {place} {len(tasks)}")

        def queue() -> list[str]:
            # The controller may have accepted the array and have answered sbatch too late.
            if job_ids := self._accepted(name, len(tasks)):
                for task, job_id in zip(tasks, job_ids, strict=True):
                    self._hand_over(task, job_id)
                return job_ids
            try:
                with executor.batch():
                    jobs = [executor.submit(run_shard, task, self._root) for task in tasks]
            except (FailedJobError, FailedSubmissionError) as error:
                raise _refusal(str(error)) from None
            return [job.job_id for job in jobs]

        for task, job_id in zip(tasks, _patiently(queue), strict=True):
            self._begin(task, job_id)

    def _executor(self, accelerator: str, name: str) -> Any:
        executor = submitit.SlurmExecutor(self._folder)
        gres = f"gpu:{_patiently(self._kinds)[accelerator.lower()]}:1"
        executor.update_parameters(
            job_name=name,
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
        raise UsageError(f"--engine=slurm: no command {command[0]} here; {REMEDY}") from None
    except subprocess.TimeoutExpired:
        raise ControllerError(
            f"--engine=slurm: no answer of {command[0]} in {ANSWER_S:g} s"
        ) from None
    except subprocess.CalledProcessError as error:
        raise _refusal(error.stderr) from None
    return answer.stdout


def _refusal(text: str) -> EnergyError:
    """The error for what a command of Slurm has printed."""
    words = "--engine=slurm: " + "; ".join(text.splitlines()).strip("; ")
    if NO_CONFIGURATION.search(text):
        return UsageError(f"{words}; {REMEDY}")
    return ControllerError(words) if NO_ANSWER.search(text) else EnergyError(words)


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
