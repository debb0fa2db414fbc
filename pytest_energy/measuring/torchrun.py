"""One benchmark in several processes that torchrun started: which process measures what.

On each host the process with local rank 0 measures all GPUs that the processes of the host use. The
other processes run the same passes without measuring, so each device is counted once. After each
round all processes receive the sum of all hosts, and so decide alike how to go on. Only rank 0
compares, writes and reports.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_energy.errors import UsageError
from pytest_energy.measuring.protocol import Plan, Work
from pytest_energy.measuring.window import Window
from pytest_energy.model.measurement import Facts, Round
from pytest_energy.uncertainty.gum import combine, expand

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""The variables that torchrun sets, in the order of the fields of :class:`Ranks`."""


@dataclass(frozen=True)
class Ranks:
    """The rank of this process among those that run a benchmark together."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def measures(self) -> bool:
        """Whether this process measures the devices of its host."""
        return self.local_rank == 0

    @property
    def reports(self) -> bool:
        """Whether this process compares, writes and reports."""
        return self.rank == 0

    @property
    def hosts(self) -> int:
        """The number of hosts; all hosts have the same number of processes."""
        return self.world_size // self.local_world_size

    @property
    def workload(self) -> Facts:
        """Facts for the workload: results of other numbers of processes are not comparable."""
        return {"processes": self.world_size, "hosts": self.hosts}

    def devices(self, visible: Sequence[str]) -> tuple[str, ...]:
        """Return the visible GPUs that the processes of this host use, one per process.

        Raises:
            UsageError: There are more processes than visible GPUs.
        """
        if len(visible) < self.local_world_size:
            raise UsageError(
                f"{self.local_world_size} processes run on this host, but the process that"
                f" measures sees {len(visible)} GPU(s); give all processes the same"
                " CUDA_VISIBLE_DEVICES, and use the local rank as device index"
            )
        return tuple(visible[: self.local_world_size])


def ranks_of(environ: Mapping[str, str]) -> Ranks | None:
    """Return the rank that torchrun gave to this process; ``None`` if the process runs alone."""
    if not all(environ.get(name, "").isdigit() for name in VARIABLES):
        return None
    ranks = Ranks(*(int(environ[name]) for name in VARIABLES))
    return ranks if ranks.world_size > 1 else None


def in_step_plan(plan: Plan) -> Plan:
    """Remove from ``plan`` what each process would decide by its own clock.

    The window and the time limit stay: they then depend on the durations of the finished rounds,
    which all processes share.
    """
    return replace(plan, warmup_s=0.0, in_step=True)


def in_step(work: Work, synchronize: Callable[[], None]) -> Work:
    """Let all processes begin ``work`` together and leave it together.

    Both waits lie inside the window. So every device works only inside the window of the process
    that measures it.
    """

    def aligned(passes: int) -> None:
        group = process_group()
        group.barrier()
        work(passes)
        synchronize()
        group.barrier()

    return aligned


def process_group() -> Any:
    """Return ``torch.distributed``, which connects the processes.

    Raises:
        UsageError: The test has not initialized it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_initialized():
        raise UsageError(
            "torchrun started several processes that are not connected;"
            " call torch.distributed.init_process_group() before measuring"
        )
    return torch.distributed


def agree(window: Window, ranks: Ranks) -> Window:
    """Return the sum of what all hosts measured in this round; every process gets the same."""
    group = process_group()
    gathered: list[Round | None] = [None] * ranks.world_size
    group.all_gather_object(gathered, window.round if ranks.measures else None)
    hosts = [measured for measured in gathered if measured is not None]
    return replace(window, round=sum_hosts(hosts), revised=None)


def sum_hosts(hosts: Sequence[Round]) -> Round:
    """Add up the same round of several hosts, whose uncertainties are independent.

    Args:
        hosts: The round of each host, that of rank 0 first; at least one.
    """
    if len(hosts) == 1:
        return hosts[0]
    energies = [measured.energy_j for measured in hosts if measured.energy_j is not None]
    complete = len(energies) == len(hosts)
    causes = dict.fromkeys(cause for measured in hosts for cause in measured.budget)
    budget = {
        cause: combine(measured.budget.get(cause, 0.0) for measured in hosts) for cause in causes
    }
    return Round(
        start=min(measured.start for measured in hosts),
        duration_s=max(measured.duration_s for measured in hosts),
        passes=hosts[0].passes,
        energy_j=sum(energies) if complete else None,
        uncertainty_j=expand(combine(budget.values())) if complete else None,
        budget=budget,
        channels=_by_host([measured.channels for measured in hosts]),
        conditions=_by_host([measured.conditions for measured in hosts]),
        reasons=[reason for measured in hosts for reason in measured.reasons],
    )


def _by_host(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        f"host{number}.{name}": value
        for number, host in enumerate(values)
        for name, value in host.items()
    }
