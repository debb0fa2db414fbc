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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.devices import Claim, claim_gpu, lock_folder, visible_gpus
from pytest_energy.distributed import Ranks
from pytest_energy.measurement import save_run
from pytest_energy.reporting import Reporter, ran_all
from pytest_energy.settings import Settings
from pytest_energy.spool import combine, read_spool, worker_file

SPOOL = "energy_spool"
"""The key under which the controller tells its workers where to leave their results."""


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


def become_worker(settings: Settings, told: Mapping[str, Any]) -> Worker:
    """Take a GPU, let CUDA show only that one to this process, and write into the spool.

    Args:
        settings: Those of the session.
        told: What the controller gave to this worker (xdist's ``workerinput``).
    """
    name = str(told["workerid"])
    settings = replace(settings, json=worker_file(Path(told[SPOOL]), name))
    gpus = visible_gpus(settings.devices)
    if not gpus:
        return Worker(settings, None)
    claim = claim_gpu(gpus, _number(name), lock_folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = claim.gpu.uuid
    return Worker(replace(settings, devices=(claim.gpu.uuid,)), claim)


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
    settings = replace(settings, protocol="paper")
    if settings.scale == "auto":
        settings = replace(settings, scale="full" if gpus else "small")
    if not gpus or not ranks.measures:
        return settings
    return replace(settings, devices=ranks.devices([gpu.uuid for gpu in gpus]))


class Controller:
    """Names a folder to the workers, and makes one run of what they leave there."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._folder = settings.json.parent / f"workers-{uuid.uuid4().hex[:8]}"
        self._killed: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to leave its results."""
        node.workerinput[SPOOL] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Remember a worker that did not end by itself."""
        if error:
            self._killed.append(node.gateway.id)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Put the workers' results together, and report them as one run."""
        runs = read_spool(self._folder) if self._folder.exists() else {}
        if not runs:
            return
        run = combine(list(runs.values()), list(runs), self._killed)
        if not ran_all(session, exitstatus):
            run = run.model_copy(update={"run": run.run.model_copy(update={"complete": False})})
        save_run(run, self._settings.json)
        self._reporter.report(run)
        shutil.rmtree(self._folder)
