"""One benchmark in several processes: the measuring process, and the sum of all hosts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import UsageError
from pytest_energy.measuring.protocol import Plan
from pytest_energy.measuring.torchrun import Ranks, in_step, in_step_plan, ranks_of, sum_hosts
from pytest_energy.model.measurement import Reason, ReasonCode, Round

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def measured(energy_j, **fields):
    """Return the round of a host."""
    values = {
        "start": 10.0,
        "duration_s": 2.0,
        "passes": 1,
        "budget": {"resolution": 0.1},
        "channels": {} if energy_j is None else {"gpu0": energy_j},
    }
    return Round(**{**values, "energy_j": energy_j, **fields})


def test_torchrun_sets_the_ranks():
    """The variables of torchrun give rank and local rank."""
    assert ranks_of(TORCHRUN) == Ranks(rank=5, world_size=8, local_rank=1, local_world_size=4)


@pytest.mark.parametrize(
    "environ",
    [{}, {**TORCHRUN, "WORLD_SIZE": "1"}, {**TORCHRUN, "RANK": ""}],
    ids=["alone", "one-process", "incomplete"],
)
def test_a_single_process_is_not_distributed(environ):
    """Without torchrun, or with one process, nothing is distributed."""
    assert ranks_of(environ) is None


def test_one_process_a_host_measures_and_one_reports():
    """Of two hosts with two processes each, two measure, and one of them reports."""
    places = [Ranks(rank, 4, rank % 2, 2) for rank in range(4)]
    assert [place.measures for place in places] == [True, False, True, False]
    assert [place.reports for place in places] == [True, False, False, False]


def test_only_devices_in_use_are_measured():
    """Two processes on a host with four GPUs use the first two."""
    assert Ranks(0, 2, 0, 2).devices(["a", "b", "c", "d"]) == ("a", "b")


def test_a_device_without_a_measuring_process_is_refused():
    """The error says that the measuring process sees fewer GPUs than there are processes."""
    with pytest.raises(UsageError, match=r"2 processes .* sees 1 GPU"):
        Ranks(0, 2, 0, 2).devices(["a"])


def test_one_host_is_its_own_sum():
    """The round of a single host stays as it is, its channels included."""
    alone = measured(3.0)
    assert sum_hosts([alone]) is alone


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=5))
def test_hosts_add_up(energies):
    """Joules add up, and so do the channels; independent uncertainties add in quadrature."""
    total = sum_hosts([measured(energy_j) for energy_j in energies])
    assert math.isclose(total.energy_j, math.fsum(energies))
    assert math.isclose(sum(total.channels.values()), total.energy_j)
    assert total.channels.keys() == {f"host{n}.gpu0" for n in range(len(energies))}
    assert math.isclose(total.budget["resolution"], 0.1 * math.sqrt(len(energies)))


def test_host_without_joules_leaves_no_sum():
    """If one host has no reading the sum is unknown, and the reason stays."""
    reason = Reason(code=ReasonCode.DEVICE_LOST, message="gpu0 is lost")
    total = sum_hosts([measured(1.0), measured(None, reasons=[reason])])
    assert total.energy_j is None
    assert total.uncertainty_j is None
    assert total.reasons == [reason]


def test_sum_lasts_as_long_as_the_slowest():
    """A round begins with its first host and lasts as long as its slowest."""
    total = sum_hosts([measured(1.0, start=5.0), measured(1.0, start=4.0, duration_s=3.0)])
    assert (total.start, total.duration_s) == (4.0, 3.0)


def test_plan_leaves_nothing_to_the_clocks():
    """All processes run equally many passes, whatever their clocks say."""
    plan = in_step_plan(Plan(passes=7, rounds=2, warmup_s=1.0, max_time_s=5.0))
    assert plan == Plan(passes=7, rounds=2, warmup_s=0.0, max_time_s=5.0, in_step=True)


def test_processes_without_a_group_are_refused():
    """Without a process group the error says what to call."""
    with pytest.raises(UsageError, match="init_process_group"):
        in_step(lambda passes: None, lambda: None)(1)
