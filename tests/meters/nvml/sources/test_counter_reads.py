"""What reading costs a counter, and the steps in which it counts: measured when it is opened."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.meters.base import Meter, MeterRequest
from pytest_energy.meters.nvml import opening
from pytest_energy.meters.nvml.sources.counter_reads import ALIKE, CounterReads, with_reading
from pytest_energy.meters.nvml.sources.joules import Joules
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import SimulatedNvml
from pytest_energy.uncertainty.gum import combine, expand
from tests.virtual import measure_window, virtual_machine

NO_TRACES = MeterRequest(traces=False, wait_idle_s=0.1)


def errors_j(machine: SimulatedNvml, meter: Meter, count: int) -> list[tuple[float, float]]:
    """The error and the stated uncertainty of some windows."""
    seen = []
    for _ in range(count):
        edge = meter.begin()
        with machine.load(60.0):
            time.sleep(0.1)
        reading = meter.end(edge)
        true_j = machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)
        stated_j = expand(combine(reading.budget.values()))
        seen.append((reading.channels["gpu0"] - true_j, stated_j))
    return seen


def test_the_loss_of_a_read_is_measured_and_added() -> None:
    """A counter that loses 2 mJ with each read: neither idle power nor joules fall short."""
    with virtual_machine("turing") as machine:
        machine.configure(counter_loss_j=0.002)
        meter = open_meter("nvml", NO_TRACES)
        errors = errors_j(machine, meter, 5)
        meter.close()
    (loss_j,) = meter.info.details["loss_per_read_j"]
    assert loss_j == pytest.approx(0.002, rel=0.3)
    assert meter.idle_power_w["gpu0"].value == pytest.approx(8.0, rel=0.1)
    assert all(abs(error_j) <= 2 * stated_j for error_j, stated_j in errors)


def test_what_reading_lost_is_shared_by_the_rounds() -> None:
    """All are corrected by the same loss: the term does not become smaller with more rounds."""
    reader = CounterReads(lambda: 1.0)
    reader.loss_j, reader.unsure_j = 0.01, 0.002
    budget = with_reading(Joules(300.0, {"edges": 0.02, "settling": 0.03}), reader).budget
    assert budget["settling"] == pytest.approx(math.hypot(0.03, 20 * 0.002), rel=1e-3)
    assert budget["resolution"] < 0.01


@pytest.mark.parametrize("loss_j", [0.005, 0.02])
def test_a_counter_that_loses_by_reading_is_corrected_and_not_refused(
    loss_j: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All reads count, also those beside the search for ticks; the power at rest is the true one.

    Before the loss was added, 20 mJ made 4 W of the 20 W of a resting 4090.
    """
    with virtual_machine("ada") as machine:
        machine.configure(counter_loss_j=loss_j)
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(300.0))
        time.sleep(5.0)
        meter = open_meter("nvml", NO_TRACES)
        readings = [measure_window(machine, meter, 300.0, 0.5) for _ in range(4)]
        meter.close()
    (measured_j,) = meter.info.details["loss_per_read_j"]
    assert measured_j == pytest.approx(loss_j, rel=0.02)
    assert meter.idle_power_w["gpu0"].value == pytest.approx(20.0, rel=0.005)
    for reading, true_j in readings:
        assert reading.valid
        # What all windows share is drawn once a session, and may be several times its uncertainty.
        assert abs(reading.channels["gpu0"] - true_j) < 0.1
        assert combine(reading.budget.values()) < 0.05


def test_what_equal_rounds_round_alike_is_shared_by_them() -> None:
    """Three rounds of equal joules may agree, and be wrong by half a step: it is not averaged."""
    values = iter([1.0, 3.0, 4.0, 7.0, 9.0])
    reader = CounterReads(lambda: next(values))
    for _ in range(5):
        reader()
    budget = with_reading(Joules(300.0, {"edges": 0.02, "settling": 0.0}), reader).budget
    assert expand(budget["settling"]) == pytest.approx(0.527, abs=1e-3)
    assert combine((budget["settling"], budget["resolution"])) == pytest.approx(math.sqrt(6 / 12))


def test_a_counter_without_loss_is_left_as_it_is() -> None:
    """Usual counters have no loss and steps of a millijoule; both are in the results."""
    with virtual_machine("turing") as machine:
        machine.set_power(8.1373)  # so that no tick's joules are a round number
        meter = open_meter("nvml", NO_TRACES)
        meter.close()
    assert meter.info.details["loss_per_read_j"] == [0.0]
    assert meter.info.details["counter_step_j"] == [0.001]


def test_large_steps_widen_the_interval() -> None:
    """A counter of 100 mJ steps is known as such, and its windows state what that costs."""
    with virtual_machine("turing") as machine:
        machine.configure(counter_step_mj=100)
        meter = open_meter("nvml", NO_TRACES)
        errors = errors_j(machine, meter, 10)
        meter.close()
    assert meter.info.details["counter_step_j"] == [0.1]
    assert sum(abs(error_j) <= stated_j for error_j, stated_j in errors) >= 8


def test_most_rounds_that_agree_are_near() -> None:
    """Of rounds of a part of a step that all read none of it, 95 % are within what is shared."""
    drawn = random.Random(1)
    parts = [drawn.random() for _ in range(100_000)]
    agreeing = [f for f in parts if all(drawn.random() > f for _ in range(3))]
    held = sum(f <= expand(ALIKE) for f in agreeing) / len(agreeing)
    assert held == pytest.approx(0.95, abs=0.005)


@given(st.integers(1, 1000), st.lists(st.integers(0, 10**6), min_size=1))
def test_all_values_are_multiples_of_the_step(step: int, counts: list[int]) -> None:
    """The step divides every value that was seen, and the counter's own step divides it."""
    values = iter(counts)
    reader = CounterReads(lambda: next(values) * step / 1e3)
    for _ in counts:
        reader()
    seen_mj = round(reader.step_j * 1e3)
    assert all(count * step % seen_mj == 0 for count in counts)
    assert seen_mj == 1 or seen_mj % step == 0


@pytest.mark.parametrize(("step", "moves", "seen"), [(2, 8, 1), (2, 25, 2), (1000, 3, 1000)])
def test_a_step_by_chance_is_not_believed(step: int, moves: int, seen: int) -> None:
    """Some values that happen to be even show no step of 2 mJ; many of them do."""
    values = iter(range(moves + 1))
    reader = CounterReads(lambda: next(values) * step / 1e3)
    for _ in range(moves + 1):
        reader()
    assert reader.step_j == pytest.approx(seen / 1e3)


def test_lost_joules_do_not_make_a_counter_move() -> None:
    """Between two updates, reads give the same value, or each would look like a tick."""
    values = iter([1.0, 1.0, 1.0, 2.0, 2.0])
    reader = CounterReads(lambda: next(values))
    reader.loss_j = 0.25
    assert [reader() for _ in range(5)] == [1.0, 1.0, 1.0, 2.75, 2.75]
