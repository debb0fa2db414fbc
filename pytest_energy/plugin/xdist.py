"""Sessions with pytest-xdist: workers measure, each on a GPU of its own; the controller reports.

A worker keeps its results in a file of its own, in a folder that the controller names, and writes
it after each benchmark. The controller puts the files together when the workers have ended, also
where one was killed. Where the controller itself is killed the folder stays, and
``pytest-energy merge`` reads it.
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
from pytest_energy.model.files import check_file, not_written
from pytest_energy.model.json_files import save_run
from pytest_energy.model.result import Run
from pytest_energy.model.workers_merge import merge_workers, read_spool, worker_file
from pytest_energy.plugin.gpu_locks import Claim, claim_gpu, lock_folder, visible_gpus
from pytest_energy.plugin.progress import Sent, Together, on_terminal
from pytest_energy.plugin.reporter import Reporter, ran_all
from pytest_energy.plugin.xdist_scheduling import CardScheduling, boards_of_baselines
from pytest_energy.settings import Settings

SPOOL = "energy_spool"
"""The key under which the controller tells its workers where to leave their results."""
CHANNEL = "energy_channel"
"""The key of execnet's channel on which a worker tells its board, what it is at, or why it ends."""


def is_controller(config: pytest.Config) -> bool:
    """Whether the tests of this session run in other processes."""
    distributed = config.getoption("dist", "no") != "no" and not config.option.collectonly
    return distributed and not hasattr(config, "workerinput")


@dataclass(frozen=True)
class Worker:
    """What a session in a worker has instead of the whole machine and the results file."""

    settings: Settings
    claim: Claim | None
    """``None`` where NVML shows no GPU."""
    progress: Sent
    announce: Callable[[list[str]], None]
    """Tells the controller what pytest would have told on a terminal after collection."""
    report: Callable[[Run, str | None], None]
    """Tells the controller of results that are not where it looks for them."""
    refusal: Refusal


@dataclass(frozen=True)
class Refusal:
    """Tells why a worker refuses to measure: xdist tells the controller only that it ended."""

    send: Callable[[Mapping[str, str]], None]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_finish(self) -> Generator[None, None, None]:
        """Hand on what is wrong with a meter, a baseline or a marker."""
        try:
            yield
        except pytest.UsageError as error:
            self.send({"refused": str(error)})
            raise


def become_worker(settings: Settings, told: Mapping[str, Any]) -> Worker:
    """Take a GPU, let CUDA show only that one to this process, and write into the spool.

    Args:
        settings: Those of the session.
        told: What the controller gave to this worker (xdist's ``workerinput``).
    """
    name = str(told["workerid"])
    settings = replace(settings, json=worker_file(Path(told[SPOOL]), name))
    send = told[CHANNEL].send
    progress = Sent(lambda state: send({"state": state}))

    def announce(lines: list[str]) -> None:
        send({"announced": "\n".join(lines)})

    def report(run: Run, unsaved: str | None) -> None:
        send({"unsaved": unsaved})

    gpus = visible_gpus(settings.devices)
    if not gpus:
        return Worker(settings, None, progress, announce, report, Refusal(send))
    claim = claim_gpu(gpus, _number(name), lock_folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = claim.gpu.uuid
    send({"board": claim.gpu.board})
    settings = replace(settings, devices=(claim.gpu.uuid,))
    return Worker(settings, claim, progress, announce, report, Refusal(send))


def _number(worker: str) -> int:
    found = re.search(r"\d+$", worker)
    return int(found[0]) if found else 0


def take_place(settings: Settings, ranks: Ranks) -> Settings:
    """The settings of one of several processes that torchrun started.

    All of them take the same scale, which a process without a meter could not tell; the one that
    measures takes the GPUs of its host's processes.

    Raises:
        UsageError: It does not see all of them.
    """
    gpus = visible_gpus(settings.devices)
    # One process cannot decide for the others how much is run, nor to run it again.
    settings = replace(settings, protocol="fixed")
    if settings.scale == "auto":
        settings = replace(settings, scale="full" if gpus else "small")
    if not gpus or not ranks.measures:
        return settings
    return replace(settings, devices=ranks.devices([gpu.uuid for gpu in gpus]))


class Controller:
    """Tells workers where to leave their results, gives them tests, and makes one run of it all.

    Raises:
        UsageError: The results cannot be written, or there can be no locks.
    """

    def __init__(self, config: pytest.Config, settings: Settings, reporter: Reporter) -> None:
        check_file(settings.json, "--energy-json")
        lock_folder()
        self._settings = settings
        self._reporter = reporter
        self._folder = settings.json.parent / f"workers-{uuid.uuid4().hex[:8]}"
        self._killed: list[str] = []
        self._workers = 0
        self._boards: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._announced: dict[str, str] = {}
        self._unsaved: list[str] = []
        self._config = config
        terminal = on_terminal(config)
        self._progress = Together(terminal) if terminal else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to leave its results, and listen to it."""
        self._workers += 1
        channel = node.gateway.newchannel()
        channel.setcallback(partial(self._hear, node.gateway.id))
        node.workerinput |= {SPOOL: str(self._folder), CHANNEL: channel}

    def _hear(self, worker: str, told: dict[str, str | None]) -> None:
        """Take in what a worker tells; in a thread that receives what all of them send."""
        if board := told.get("board"):
            self._boards[worker] = board
        if refused := told.get("refused"):
            self._refused[worker] = refused
        if announced := told.get("announced"):
            self._announced[worker] = announced
        if unsaved := told.get("unsaved"):
            self._unsaved.append(unsaved)
        if self._progress and "state" in told:
            self._progress.tell(worker, told["state"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> CardScheduling | None:
        """Give tests to workers by their cards, unless another way was asked for."""
        if config.getoption("dist") != "load":
            return None
        wanted = boards_of_baselines(BaselineStore(self._settings.baselines))
        return CardScheduling(self._workers, wanted, self._boards)

    @pytest.hookimpl(optionalhook=True, wrapper=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> Generator[None, None, None]:
        """Remember a worker that did not end by itself; end as one that refused to measure."""
        if refused := self._refused.get(node.gateway.id):
            raise pytest.UsageError(refused)
        if error:
            self._killed.append(node.gateway.id)
        if self._progress:
            self._progress.tell(node.gateway.id, None)
        with self._aside():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, None, None]:
        """Make room for what pytest writes; before it, say what workers have told."""
        with self._aside():
            self._write_announced()
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, None, None]:
        """Make room for what pytest writes."""
        with self._aside():
            yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, None, None]:
        """Make room for what pytest writes."""
        with self._aside():
            yield

    def _write_announced(self) -> None:
        """What each worker tells of its meter and of tolerances; what several tell, once."""
        told = [
            line for one in sorted(self._announced) for line in self._announced[one].split("\n")
        ]
        self._announced.clear()
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or not told or self._config.option.verbose < 0:
            return
        terminal.ensure_newline()
        for line in dict.fromkeys(told):
            terminal.write_line(line)

    def _aside(self) -> AbstractContextManager[None]:
        return self._progress.aside() if self._progress else nullcontext()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Put the workers' results together, and report them as one run."""
        runs = read_spool(self._folder) if self._folder.exists() else {}
        if not runs:
            return
        run = merge_workers(list(runs.values()), list(runs), self._killed)
        if not ran_all(session, exitstatus):
            run = run.model_copy(update={"run": run.run.model_copy(update={"complete": False})})
        try:
            save_run(run, self._settings.json)
        except OSError as error:
            told = not_written(self._settings.json, error)
            self._unsaved.append(f"{told}; the workers' results stay in {self._folder}")
        self._reporter.report(run, "; ".join(self._unsaved) or None)
        if not self._unsaved:
            shutil.rmtree(self._folder)
