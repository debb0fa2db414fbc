"""The engine ``ray``: a task of Ray for each shard, on a node that has the accelerator.

The project is shipped to the nodes as the working directory of the runtime environment. The nodes
need pytest-energy and what the tests import, or get it by the option ``runtime_env``. If a node
dies, Ray itself runs its shards once more, elsewhere.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pytest_energy.errors import UsageError
from pytest_energy.fleet.engine import EngineRequest, Outcome, Started, Task
from pytest_energy.fleet.shard import run_shard
from pytest_energy.settings import OUTPUT_FOLDER

OPTIONS: Final = ("address", "runtime_env")
PREFIX: Final = "accelerator_type:"
"""Of the resource by which Ray knows that a node has a kind of accelerator."""
NOT_SHIPPED: Final = (".git/", ".venv/", f"{OUTPUT_FOLDER}/")
ANSWER_S: Final = 10.0
"""Seconds that the head of a cluster may take to answer."""
CANCEL_S: Final = 15.0
"""Seconds to wait for tasks that were cancelled."""


class RayEngine:
    """Runs shards on a cluster of Ray.

    Args:
        request: The options are ``address`` of the cluster, by default that of ``RAY_ADDRESS`` or
            of this machine, and ``runtime_env``, a file with a runtime environment as JSON.

    Raises:
        UsageError: An option is unknown, or there is no cluster.
    """

    def __init__(self, request: EngineRequest) -> None:
        request.refuse_unknown("ray", *OPTIONS)
        address = request.options.get("address") or os.environ.get("RAY_ADDRESS") or "auto"
        environment = {
            "working_dir": str(request.root),
            "excludes": list(NOT_SHIPPED),
            **_runtime_environment(request.options.get("runtime_env")),
        }
        _check_answer(address)
        try:
            ray.init(
                address=address,
                runtime_env=environment,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, ValueError, RayError) as error:
            raise _no_cluster(address, error) from None
        # On the node of this process: another one may die.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote  # typed for decorators only
        self._board = remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self._measure = remote(measure)
        self._running: dict[Any, Task] = {}

    def check(self, accelerators: Sequence[str]) -> None:
        """Check that each accelerator exists.

        Raises:
            UsageError: One does not.
        """
        for name in accelerators:
            _resource_of(name)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks; those of an earlier process have ended with it."""
        for task in tasks:
            options = {"num_gpus": 1, "accelerator_type": _resource_of(task.accelerator)}
            queued = self._measure.options(**options, max_retries=1, name=task.shard)
            self._running[queued.remote(task, self._board)] = task

    def poll(self, timeout_s: float) -> list[Started | Outcome]:
        """What happened since the last call."""
        ended, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        # Asked after the wait: what has ended has begun before.
        started = [Started(*begun) for begun in ray.get(self._board.take.remote())]
        return [*started, *(_outcome(self._running.pop(task), task) for task in ended)]

    def close(self) -> None:
        """Cancel all tasks and leave the cluster."""
        for task in self._running:
            # A forced cancellation kills the worker, and the session of pytest dies with it.
            ray.cancel(task, force=True)
        if tasks := list(self._running):
            ray.wait(tasks, num_returns=len(tasks), timeout=CANCEL_S)
        self._running.clear()
        ray.shutdown()


class Board:
    """An actor that notes which shards have begun, and where."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, str]] = []

    def note(self, shard: str, machine: str) -> None:
        """Note that a shard begins."""
        self._begun.append((shard, machine))

    def take(self) -> list[tuple[str, str]]:
        """What has begun since the last call."""
        begun, self._begun = self._begun, []
        return begun


def measure(task: Task, board: Any) -> Outcome:
    """Run a shard in the working directory, which is a copy of the project."""
    node = ray.get_runtime_context().get_node_id()[:8]
    ray.get(board.note.remote(task.shard, f"{platform.node()}, node {node}"))
    return run_shard(task, Path.cwd())


def _check_answer(address: str) -> None:
    """Ask before Ray does, which tries for minutes and prints its log.

    Raises:
        UsageError: Nobody answers at ``HOST:PORT``.
    """
    if match := re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:([0-9]+)", address):
        try:
            socket.create_connection((match[1], int(match[2])), ANSWER_S).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, error) from None


def _no_cluster(address: str, error: Exception) -> UsageError:
    return UsageError(
        f"--engine=ray: no cluster at {address} ({_first_line(error)}); start one with"
        " ray start --head, or name one by --engine-option address=HOST:PORT"
    )


def _runtime_environment(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        environment = json.loads(Path(file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--engine-option runtime_env={file}: {error}") from None
    if not isinstance(environment, dict):
        raise UsageError(f"--engine-option runtime_env={file}: expected a JSON object")
    return environment


def _resource_of(accelerator: str) -> str:
    """The kind of accelerator as the cluster spells it.

    Raises:
        UsageError: No node has it.
    """
    resources = ray.cluster_resources()
    kinds = [name.removeprefix(PREFIX) for name in resources if name.startswith(PREFIX)]
    for kind in map(str, kinds):
        if kind.lower() == accelerator.lower():
            return kind
    there = ", ".join(sorted(kinds)) or "none"
    raise UsageError(f"no accelerator {accelerator} in the cluster of Ray, which has {there}")


def _outcome(task: Task, ended: Any) -> Outcome:
    try:
        outcome: Outcome = ray.get(ended)
    except RayError as error:
        return Outcome(task.shard, reason=_first_line(error))
    return outcome


def _first_line(error: Exception) -> str:
    """What happened, without Ray's advice."""
    name = type(error).__name__
    return f"{name}: {str(error).strip().partition(chr(10))[0]}"
