"""One benchmark in several processes, started by torchrun: who measures what.

On each host the process of local rank 0 measures all the GPUs that the host's processes use, and
the others run the same passes and measure nothing: each device is counted once. After each round
all processes have the sum of all hosts, so that all decide alike how to go on. Rank 0 alone
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
"""What torchrun tells each process, in the order of the fields of :class:`Ranks`."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that run a benchmark together."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def measures(self) -> bool:
        """Whether this process measures its host's devices."""
        return self.local_rank == 0

    @property
    def reports(self) -> bool:
        """Whether this process compares, writes and reports."""
        return self.rank == 0

    @property
    def hosts(self) -> int:
        """How many hosts there are, each with as many processes."""
        return self.world_size // self.local_world_size

    @property
    def workload(self) -> Facts:
        """What makes a benchmark another one than in a single process."""
        return {"processes": self.world_size, "hosts": self.hosts}

    def devices(self, visible: Sequence[str]) -> tuple[str, ...]:
        """Those of the visible GPUs that this host's processes use, one each.

        Raises:
            UsageError: Fewer are visible than there are processes.
        """
        if len(visible) < self.local_world_size:
            raise UsageError(
                f"{self.local_world_size} processes run on this host, and the one that measures"
                f" sees {len(visible)} GPU(s): let all of them see all of their GPUs"
                " (one CUDA_VISIBLE_DEVICES for all, the local rank as index)"
            )
        return tuple(visible[: self.local_world_size])


def ranks_of(environ: Mapping[str, str]) -> Ranks | None:
    """The place that torchrun gave to this process; ``None`` where it runs alone."""
    if not all(environ.get(name, "").isdigit() for name in VARIABLES):
        return None
    ranks = Ranks(*(int(environ[name]) for name in VARIABLES))
    return ranks if ranks.world_size > 1 else None


def in_step_plan(plan: Plan) -> Plan:
    """``plan`` without what each process would decide by its own clock.

    The time limit stays: it cuts rounds by how long those so far took, on which all agree.
    """
    return replace(plan, warmup_s=0.0, lengthen=False)


def in_step(work: Work, synchronize: Callable[[], None]) -> Work:
    """``work`` that no process begins before all are there, or leaves before all are done.

    Both waits lie inside the window: the devices of all processes are then busy inside it only.
    """

    def aligned(passes: int) -> None:
        group = process_group()
        group.barrier()
        work(passes)
        synchronize()
        group.barrier()

    return aligned


def process_group() -> Any:
    """``torch.distributed``, over which the processes speak.

    Raises:
        UsageError: The test has not set it up.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_initialized():
        raise UsageError(
            "torchrun started several processes, and they cannot speak to one another:"
            " call torch.distributed.init_process_group() before measuring"
        )
    return torch.distributed


def agree(window: Window, ranks: Ranks) -> Window:
    """The sum of what all hosts measured in this round, the same in every process."""
    group = process_group()
    told: list[Round | None] = [None] * ranks.world_size
    group.all_gather_object(told, window.round if ranks.measures else None)
    hosts = [measured for measured in told if measured is not None]
    return replace(window, round=sum_hosts(hosts))


def sum_hosts(hosts: Sequence[Round]) -> Round:
    """One round out of those of several hosts, whose uncertainties are independent.

    Args:
        hosts: The same round as each host saw it, rank 0's first; at least one.
    """
    if len(hosts) == 1:
        return hosts[0]
    energies = [measured.energy_j for measured in hosts]
    known = [energy_j for energy_j in energies if energy_j is not None]
    whole = len(known) == len(hosts)
    causes = dict.fromkeys(cause for measured in hosts for cause in measured.budget)
    budget = {cause: combine(one.budget.get(cause, 0.0) for one in hosts) for cause in causes}
    return Round(
        start=min(measured.start for measured in hosts),
        duration_s=max(measured.duration_s for measured in hosts),
        passes=hosts[0].passes,
        energy_j=sum(known) if whole else None,
        uncertainty_j=expand(combine(budget.values())) if whole else None,
        budget=budget,
        channels=_by_host([measured.channels for measured in hosts]),
        conditions=_by_host([measured.conditions for measured in hosts]),
        reasons=[reason for measured in hosts for reason in measured.reasons],
    )


def _by_host(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        f"host{number}.{name}": value
        for number, told in enumerate(values)
        for name, value in told.items()
    }
