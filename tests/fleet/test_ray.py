"""The engine ``ray``: a real cluster of several nodes on this machine, with simulated cards."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.cli import main
from pytest_energy.errors import UsageError
from pytest_energy.fleet.engine import EngineRequest, find_engine
from pytest_energy.plugin.gpu_locks import LOCK_FOLDER_VARIABLE
from pytest_energy.simulation.load import Load
from pytest_energy.testing import PROFILES, SimulatedNvml

# Else Ray starts each worker by the command of `uv` that has started these tests, in a copy of the
# project without its pyproject.toml. Ray reads this when it is imported.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
pytest.importorskip("ray", reason="the group `fleet` is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

KINDS = {"H100": "hopper", "A100": "ga100"}
TEST = """
import os, time
from pathlib import Path

SHARED = Path({shared!r})

def test_it(energy):
    card = os.environ["NODE"]
    with (SHARED / "begun.txt").open("a") as log:
        log.write(f"{name} {{card}}\\n")
    if card == "A100-0":
        time.sleep(300)  # until its node is killed
    while card == "A100-1" and "A100-0" not in (SHARED / "begun.txt").read_text():
        time.sleep(0.1)  # the other shard goes to the other node
    energy(time.sleep, 0.005)
"""
OPTIONS = ("--energy-rounds=3", "--energy-passes=20", "-p", "no:cacheprovider")


class RayCluster:
    """A head without cards, and nodes with one simulated card each."""

    def __init__(self, machines: ExitStack, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._machines = machines
        self._folder = folder
        self.cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0}
        )
        self.nodes: dict[str, Any] = {}

    def add(self, kind: str, number: int) -> None:
        """Add a node with a card of a kind."""
        machine = self._machines.enter_context(SimulatedNvml(PROFILES[KINDS[kind]]))
        name = f"{kind}-{number}"
        self.nodes[name] = self.cluster.add_node(
            num_cpus=1,
            num_gpus=1,
            resources={f"accelerator_type:{kind}": 1},
            env_vars={
                **machine.environment(),
                **Load(power_w=150).to_environment(),
                # Both A100 have the same UUID, so that their tests would wait for one another.
                LOCK_FOLDER_VARIABLE: str(self._folder / name),
                "NODE": name,
            },
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RayCluster]:
    """An H100 and two A100."""
    with ExitStack() as machines:
        nodes = RayCluster(machines, tmp_path / "locks")
        try:
            for kind, number in (("H100", 0), ("A100", 0), ("A100", 1)):
                nodes.add(kind, number)
            nodes.cluster.wait_for_nodes()
            yield nodes
        finally:
            nodes.cluster.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "x"])
def test_an_address_without_a_cluster_is_named(address: str, tmp_path: Path) -> None:
    """At once: Ray itself tries for minutes."""
    request = EngineRequest(tmp_path, tmp_path / "engine", {"address": address})
    with pytest.raises(UsageError, match=f"no cluster at {address} .*; start one with ray start"):
        find_engine("ray")(request)


def test_a_node_that_dies_costs_nothing(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Its shards run again on another node of the kind; all others are measured once."""
    project, shared = tmp_path / "project", tmp_path / "shared"
    shared.mkdir()
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    for name in "ab":
        test = TEST.format(shared=str(shared), name=name)
        (project / f"test_{name}.py").write_text(test)
    monkeypatch.chdir(project)
    begun = shared / "begun.txt"

    def kill() -> None:
        while not (begun.exists() and "A100-0" in begun.read_text()):
            if (shared / "ended").exists():
                return
            time.sleep(0.1)
        cluster.cluster.remove_node(cluster.nodes["A100-0"], allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    accelerators = ["--accelerator=h100", "--accelerator=A100:2"]
    engine = ["--engine=ray", f"--engine-option=address={cluster.cluster.address}"]
    status = main(["fleet", "run", *accelerators, *engine, "--", *OPTIONS])
    (shared / "ended").touch()
    killer.join()
    printed = capsys.readouterr().out
    assert status == 0, printed
    results = json.loads((project / ".energy/results.json").read_text())
    kinds = Counter(
        (item.get("identity") or results["environment"]["identity"])["device"]
        for item in results["benchmarks"]
    )
    assert sorted(kinds.values()) == [2, 2], kinds
    measured = Counter(begun.read_text().splitlines())
    assert set(measured.values()) == {1}, measured
    assert "it runs again" in printed
    assert sum("A100" in line for line in measured) == 3, "only the shard that was lost runs twice"
    assert main(["fleet", "run", "--accelerator=L40S", *engine]) == 2
    assert "no accelerator L40S in the cluster of Ray, which has" in capsys.readouterr().err
