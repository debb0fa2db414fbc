"""Sessions with pytest-xdist or torchrun: which process measures what, and which one reports.

With pytest-xdist each worker measures on its own GPU. It has its own journal and results file, in a
folder that the controller names. The controller merges the files when the workers have ended, even
if one was killed. If the controller itself is killed the folder stays, and the next session or
``pytest-energy report`` assembles its results.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.measuring.torchrun import Ranks
from pytest_energy.model.files import check_files, not_written
from pytest_energy.model.json_files import save_run
from pytest_energy.model.result import Run
from pytest_energy.model.workers_merge import merge_workers, worker_file
from pytest_energy.plugin.gpu_locks import Reservation, lock_folder, reserve_gpu, visible_gpus
from pytest_energy.plugin.items.unpassed import unpassed_tests
from pytest_energy.plugin.progress import (
    WorkerProgress,
    WorkersProgress,
    side_by_side,
    terminal_progress,
)
from pytest_energy.plugin.reporter import Reporter, fail_session, ran_all
from pytest_energy.plugin.xdist_scheduling import CardScheduling, boards_of_baselines
from pytest_energy.session.energy_session import keeps_earlier
from pytest_energy.session.journal import load_workers, workers_prefix
from pytest_energy.session.suite_shift import finish
from pytest_energy.settings import OUTPUT_OPTION, Settings

SPOOL = "energy_spool"
"""The key of the workers' input for the folder of their results."""
CHANNEL = "energy_channel"
"""The key of the workers' input for the execnet channel on which a worker sends messages."""


def is_controller(config: pytest.Config) -> bool:
    """Whether other processes run the tests of this session."""
    distributed = config.getoption("dist", "no") != "no" and not config.option.collectonly
    return distributed and not hasattr(config, "workerinput")


@dataclass(frozen=True)
class Worker:
    """What the session in a worker uses instead of the whole machine and the terminal."""

    settings: Settings
    reservation: Reservation | None
    """``None`` if NVML shows no GPU."""
    progress: WorkerProgress
    announce: Callable[[list[str]], None]
    """Sends the lines that pytest would print after collection."""
    report: Callable[[Run, str | None], None]
    """Sends why the results of the worker could not be saved."""
    errors: WorkerErrors


@dataclass(frozen=True)
class WorkerErrors:
    """Sends the error that ends a worker, since xdist only says that the worker has ended."""

    send: Callable[[Mapping[str, str]], None]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_finish(self) -> Generator[None, None, None]:
        """Send an error of a meter, a baseline or a marker."""
        try:
            yield
        except pytest.UsageError as error:
            self.send({"error": str(error)})
            raise


def start_worker(settings: Settings, worker_input: Mapping[str, Any]) -> Worker:
    """Reserve a GPU, and make CUDA show only that GPU to this process.

    Args:
        settings: The settings of the session.
        worker_input: What the controller passed to this worker (xdist's ``workerinput``).
    """
    name = str(worker_input["workerid"])
    settings = settings.writing(json=worker_file(Path(worker_input[SPOOL]), name))
    send = worker_input[CHANNEL].send
    reservation = None
    if gpus := visible_gpus(settings.devices):
        reservation = reserve_gpu(gpus, _number(name), lock_folder())
        os.environ["CUDA_VISIBLE_DEVICES"] = reservation.gpu.uuid
        send({"board": reservation.gpu.board})
        settings = replace(settings, devices=(reservation.gpu.uuid,))
    return Worker(
        settings,
        reservation,
        progress=WorkerProgress(lambda state: send({"state": state})),
        announce=lambda lines: send({"announced": "\n".join(lines)}),
        report=lambda run, unsaved: send({"unsaved": unsaved}),
        errors=WorkerErrors(send),
    )


def _number(worker: str) -> int:
    digits = re.search(r"\d+$", worker)
    return int(digits[0]) if digits else 0


def torchrun_settings(settings: Settings, ranks: Ranks) -> Settings:
    """Return the settings of one of several processes that torchrun started.

    The process that measures uses the GPUs of all processes on its host.

    Raises:
        UsageError: The process that measures does not see all of these GPUs.
    """
    gpus = visible_gpus(settings.devices)
    # One process can neither shorten the rounds of the others nor repeat them.
    settings = replace(settings, protocol="fixed")
    if settings.scale == "auto":
        # All processes must agree, and those without a meter do not know what is measured.
        settings = replace(settings, scale="full" if gpus else "small")
    if not gpus or not ranks.measures:
        return settings
    return replace(settings, devices=ranks.devices([gpu.uuid for gpu in gpus]))


class Controller:
    """Gives the workers a folder for their results, assigns tests to them, and merges the results.

    Raises:
        UsageError: An output cannot be written, or the folder of the locks cannot be used.
    """

    def __init__(self, config: pytest.Config, settings: Settings, reporter: Reporter) -> None:
        check_files(settings.output, OUTPUT_OPTION)
        lock_folder()
        self._settings = settings
        self._reporter = reporter
        self._folder = settings.json.with_name(
            f"{workers_prefix(settings.json)}{uuid.uuid4().hex[:8]}"
        )
        self._killed: list[str] = []
        self._workers = 0
        self._boards: dict[str, str] = {}
        self._errors: dict[str, str] = {}
        self._announced: dict[str, str] = {}
        self._unsaved: list[str] = []
        self._config = config
        line = terminal_progress(config)
        self._progress = WorkersProgress(line, side_by_side) if line else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Pass the folder of the results to a worker, and receive its messages."""
        self._workers += 1
        channel = node.gateway.newchannel()
        channel.setcallback(partial(self._receive, node.gateway.id))
        node.workerinput |= {SPOOL: str(self._folder), CHANNEL: channel}

    def _receive(self, worker: str, message: dict[str, str | None]) -> None:
        """Take a message of a worker; execnet calls this in its receiving thread."""
        if board := message.get("board"):
            self._boards[worker] = board
        if error := message.get("error"):
            self._errors[worker] = error
        if announced := message.get("announced"):
            waiting = self._announced.get(worker)
            self._announced[worker] = f"{waiting}\n{announced}" if waiting else announced
        if unsaved := message.get("unsaved"):
            self._unsaved.append(unsaved)
        if self._progress and "state" in message:
            self._progress.set_state(worker, message["state"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> CardScheduling | None:
        """Assign tests to workers by their cards, unless user or project chose otherwise."""
        if config.getoption("dist") != "load" or self._has_own_scheduler():
            return None
        preferred = boards_of_baselines(BaselineStore(self._settings.baselines))
        return CardScheduling(self._workers, preferred, self._boards)

    def _has_own_scheduler(self) -> bool:
        """Whether the project or another plugin decides itself which worker runs which test."""
        hook = self._config.hook.pytest_xdist_make_scheduler
        return any(
            impl.plugin is not self and impl.plugin_name != "dsession"  # xdist's own
            for impl in hook.get_hookimpls()
        )

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> Generator[None, None, None]:
        """End with the error of a worker that cannot measure; note a worker that was killed."""
        if own_error := self._errors.get(node.gateway.id):
            raise pytest.UsageError(own_error)
        if error:
            self._killed.append(node.gateway.id)
        if self._progress:
            self._progress.set_state(node.gateway.id, None)
        with self._progress_hidden():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, None, None]:
        """Hide the progress while pytest writes; first print the header lines of the workers."""
        with self._progress_hidden():
            self._write_announced()
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, None, None]:
        """Hide the progress while pytest writes."""
        with self._progress_hidden():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, None, None]:
        """Hide the progress while pytest writes."""
        with self._progress_hidden():
            yield

    def _write_announced(self) -> None:
        """Print the header lines of the workers; equal lines of several workers once."""
        texts = [text for _, text in sorted(self._announced.items())]
        self._announced.clear()
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not texts or self._config.option.verbose < 0:
            return
        terminal.ensure_newline()
        for line in dict.fromkeys("\n".join(texts).split("\n")):
            terminal.write_line(line)

    def _progress_hidden(self) -> AbstractContextManager[None]:
        return self._progress.hidden() if self._progress else nullcontext()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Merge the results of the workers, and report them as one run."""
        runs = load_workers(self._folder) if self._folder.exists() else {}
        if not runs:
            return
        run = merge_workers(list(runs.values()), list(runs), self._killed)
        info: dict[str, Any] = {
            "complete": run.run.complete and ran_all(session, exitstatus),
            "unpassed": unpassed_tests(self._config),
            "exit_status": int(exitstatus),
        }
        run = run.model_copy(update={"run": run.run.model_copy(update=info)})
        run = finish(run, self._settings)
        fail_session(session, run)
        try:
            if not keeps_earlier(run, self._settings):
                save_run(run, self._settings.json)
        except OSError as error:
            why = not_written(self._settings.json, error)
            self._unsaved.append(f"{why}; the results of the workers stay in {self._folder}")
        self._reporter.report(run, "; ".join(self._unsaved) or None)
        if not self._unsaved:
            shutil.rmtree(self._folder)
