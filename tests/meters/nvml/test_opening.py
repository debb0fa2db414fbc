"""Opening the meter: refusals with their reasons, and waiting for a free device."""

from __future__ import annotations

import os
from dataclasses import replace

import pynvml
import pytest

from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.nvml.devices.sensors import POWER_AVERAGE, POWER_INSTANT
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.testing import SimulatedNvml

NO_TRACES = MeterRequest(traces=False, wait_idle_s=0.1)


def refusal(request: MeterRequest = NO_TRACES) -> tuple[ReasonCode, str]:
    """Why the meter does not open."""
    with pytest.raises(MeterUnavailableError) as caught:
        open_meter("nvml", request)
    return caught.value.reason.code, str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, ReasonCode.NO_METER, "modprobe nvidia"),
        (pynvml.NVML_ERROR_NO_PERMISSION, ReasonCode.NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, ReasonCode.METER_FAILED, "reboot"),
        (pynvml.NVML_ERROR_UNKNOWN, ReasonCode.METER_FAILED, "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start_is_reported_with_its_remedy(
    code: int, reason: ReasonCode, remedy: str
) -> None:
    """Each failure of nvmlInit has its reason and its remedy."""
    with SimulatedNvml() as machine:
        machine.fail("nvmlInit", code)
        assert refusal()[0] is reason
        assert remedy in refusal()[1]


def test_a_missing_library_is_reported_with_its_remedy() -> None:
    """Without NVML: install a driver, or give the container its GPUs."""
    with SimulatedNvml(library=False):
        code, text = refusal()
    assert code is ReasonCode.NO_METER
    assert "--gpus all" in text


def test_neither_counter_nor_power_is_unsupported() -> None:
    """A MIG instance has no sensor: the message says to measure the whole GPU."""
    with SimulatedNvml("mig"):
        code, text = refusal()
    assert code is ReasonCode.UNSUPPORTED
    assert "whole GPU" in text


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        (("nvmlDeviceGetComputeRunningProcesses",), ["lists of processes"]),  # as WSL2 does
        (("nvmlDeviceGetTemperature",), ["temperature"]),
        (("nvmlDeviceGetEnforcedPowerLimit",), ["power limit"]),
        (("nvmlDeviceGetApplicationsClock",), ["applications clock"]),
        (("nvmlDeviceGetSamples",), ["driver's ring of power samples"]),
        (("nvmlDeviceGetSamples", "nvmlDeviceGetPowerUsage"), ["power sensor"]),
        (("nvmlDeviceGetMigMode", "nvmlDeviceGetEccMode", "nvmlDeviceGetClockInfo"), []),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_a_driver_fails_to_tell_is_missing(
    functions: tuple[str, ...], expected: list[str]
) -> None:
    """If everything except the energy fails, the meter opens and lists what is missing."""
    with SimulatedNvml("turing") as machine:
        fail_power_fields(machine)
        before = missing()
        for function in functions:
            machine.fail(function, pynvml.NVML_ERROR_UNKNOWN)
        assert [what for what in missing() if what not in before] == expected


def fail_power_fields(machine: SimulatedNvml) -> None:
    """Power is available by its own call only."""
    for field in (POWER_AVERAGE, POWER_INSTANT):
        machine.fail("nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_UNKNOWN, field=field)


def missing() -> list[str]:
    """The readings that the meter lists as missing."""
    meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
    meter.close()
    readings = meter.info.details["missing"]
    assert isinstance(readings, list)
    return [str(what).removeprefix("gpu0: ").partition(":")[0] for what in readings]


@pytest.mark.parametrize(
    ("card", "functions"),
    [
        ("turing", ("nvmlDeviceGetFieldValues",)),
        ("pascal", ("nvmlDeviceGetSamples", "nvmlDeviceGetPowerUsage")),
        ("turing", ("nvmlDeviceGetHandleByIndex",)),
    ],
    ids=["counter", "power without a counter", "device"],
)
def test_what_joules_stand_on_must_not_fail(card: str, functions: tuple[str, ...]) -> None:
    """The refusal has the driver's error; the device is not taken for one without a counter."""
    with SimulatedNvml(card) as machine:
        fail_power_fields(machine)
        for function in functions:
            machine.fail(function, pynvml.NVML_ERROR_UNKNOWN)
        code, text = refusal()
    assert code is ReasonCode.METER_FAILED
    assert "Unknown Error (999)" in text


def test_a_busy_device_is_waited_for() -> None:
    """The meter waits for another process that ends in time."""
    with SimulatedNvml("turing") as machine:
        machine.add_process(4_000_000, until_s=machine.now_s() + 0.3)
        open_meter("nvml", MeterRequest(traces=False, wait_idle_s=30)).close()


def test_a_device_that_stays_busy_is_refused() -> None:
    """The meter refuses and names a process that does not end."""
    with SimulatedNvml("turing") as machine:
        machine.add_process(4_000_000)
        code, text = refusal()
    assert code is ReasonCode.CONTENDED
    assert "4000000" in text


@pytest.mark.parametrize(("present", "opens"), [((1, 0), True), ((1, 1), True), ((2, 0), False)])
def test_so_many_others_as_the_limit_permits_are_not_waited_for(
    present: tuple[int, int], opens: bool
) -> None:
    """The limit applies when the meter is opened, and to each device separately."""
    request = replace(NO_TRACES, thresholds={"contended": 1})
    with SimulatedNvml("turing", "turing") as machine:
        for device, count in enumerate(present):
            for number in range(count):
                machine.add_process(4_000_000 + 10 * device + number, device, graphics=True)
        if opens:
            open_meter("nvml", request).close()
        else:
            assert refusal(request)[0] is ReasonCode.CONTENDED


def test_own_processes_are_no_others() -> None:
    """This process and its parent may use the device."""
    with SimulatedNvml("turing") as machine:
        machine.add_process(os.getpid())
        machine.add_process(os.getppid())
        open_meter("nvml", NO_TRACES).close()
