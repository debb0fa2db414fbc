"""What counter and power of a Grace Hopper module cover."""

from __future__ import annotations

from dataclasses import replace

import pynvml
import pytest

from pytest_energy.meters.base import Meter, MeterRequest, Reading
from pytest_energy.meters.nvml.devices.scopes import ENERGY_BY_SCOPE
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import PROFILES, SimulatedNvml
from tests.virtual import measure_load, virtual_machine

IDLE_W, EXTRA_W = 80.0, 100.0


def measured(machine: SimulatedNvml) -> tuple[Meter, Reading, float]:
    """A meter, a loaded window and the true joules of its GPU."""
    meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
    return (meter, *measure_load(machine, meter, 400.0, 0.6))


@pytest.mark.usefixtures("quick_opening")
@pytest.mark.parametrize("counter_scope", [0, 1])
@pytest.mark.parametrize("samples_scope", [0, 1])
def test_the_gpus_joules_are_read_by_their_scope(counter_scope: int, samples_scope: int) -> None:
    """Whatever the readings without a scope cover, joules and traces are those of the GPU."""
    # The helper process that polls a sensor needs the real clock.
    create = SimulatedNvml if samples_scope else virtual_machine
    with create(replace(PROFILES["grace-hopper"], counter_tick_s=0.02)) as machine:
        machine.configure(counter_scope=counter_scope, samples_scope=samples_scope)
        meter, reading, true_j = measured(machine)
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.05)
    # On the real clock, the moments of some ticks of 20 ms are off by milliseconds.
    assert meter.idle_power_w["gpu0"].value == pytest.approx(IDLE_W, abs=0.25 * EXTRA_W)
    assert meter.environment.identity["scope"] == "gpu"
    source = "helper-process" if samples_scope else "driver-ring"
    assert [trace.source for trace in reading.traces] == [source]
    assert reading.conditions["gpu0.counted_j"] < true_j * 1.3


@pytest.mark.parametrize(("counter_scope", "name"), [(0, "gpu"), (1, "module")])
def test_a_counter_without_a_scope_is_told_by_its_power(counter_scope: int, name: str) -> None:
    """A driver without field 191: joules of the module are never called the GPU's."""
    with virtual_machine("grace-hopper") as machine:
        machine.configure(counter_scope=counter_scope)
        machine.fail(
            "nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_NOT_SUPPORTED, field=ENERGY_BY_SCOPE
        )
        meter, reading, true_j = measured(machine)
    extra_j = EXTRA_W * reading.duration_s * counter_scope
    assert reading.channels["gpu0"] == pytest.approx(true_j + extra_j, rel=0.05)
    assert meter.environment.identity["scope"] == name
    missing = str(meter.info.details["missing"])
    assert ("energy of the GPU alone" in missing) == (name == "module")
    assert not [reason for reason in reading.reasons if reason.fatal]


def test_a_card_without_a_module_has_no_scope() -> None:
    """The identity of all other cards is as it was."""
    with virtual_machine("hopper"):
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1, traces=False))
        meter.close()
    assert "scope" not in meter.environment.identity
