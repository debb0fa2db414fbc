"""Opening the meter: refusals with their reasons, and waiting for a free device."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pynvml
import pytest

from pytest_energy.meters.base import MeterRequest, MeterUnavailableError
from pytest_energy.meters.nvml import driver, opening
from pytest_energy.meters.nvml.devices.selection import Device, select_devices
from pytest_energy.meters.nvml.devices.sensors import POWER_AVERAGE, POWER_INSTANT
from pytest_energy.meters.nvml.devices.sleep import sleeping_gpus
from pytest_energy.meters.nvml.opening import open_instruments
from pytest_energy.meters.nvml.sources.collector import RingCollector
from pytest_energy.meters.nvml.sources.power_sensor import PowerSensor, power_sensor
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.testing import PROFILES, SimulatedNvml
from pytest_energy.uncertainty.gum import combine
from tests.virtual import measure_load, measure_window, virtual_machine

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
    with virtual_machine() as machine:
        machine.fail("nvmlInit", code)
        assert refusal()[0] is reason
        assert remedy in refusal()[1]


def test_a_missing_library_is_reported_with_its_remedy() -> None:
    """Without NVML: install a driver, or give the container its GPUs."""
    with virtual_machine(library=False):
        code, text = refusal()
    assert code is ReasonCode.NO_METER
    assert "--gpus all" in text


def test_neither_counter_nor_power_is_unsupported() -> None:
    """A MIG instance has no sensor: the message says to measure the whole GPU."""
    with virtual_machine("mig"):
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
    with virtual_machine("turing") as machine:
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
    with virtual_machine(card) as machine:
        fail_power_fields(machine)
        for function in functions:
            machine.fail(function, pynvml.NVML_ERROR_UNKNOWN)
        code, text = refusal()
    assert code is ReasonCode.METER_FAILED
    assert "Unknown Error (999)" in text


def test_a_busy_device_is_waited_for() -> None:
    """The meter waits for another process that ends in time."""
    with virtual_machine("turing") as machine:
        machine.add_process(4_000_000, until_s=machine.now_s() + 0.3)
        open_meter("nvml", MeterRequest(traces=False, wait_idle_s=30)).close()


def test_a_device_that_stays_busy_is_refused() -> None:
    """The meter refuses and names a process that does not end."""
    with virtual_machine("turing") as machine:
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
    with virtual_machine("turing", "turing") as machine:
        for device, count in enumerate(present):
            for number in range(count):
                machine.add_process(4_000_000 + 10 * device + number, device, graphics=True)
        if opens:
            open_meter("nvml", request).close()
        else:
            assert refusal(request)[0] is ReasonCode.CONTENDED


def test_the_refusal_names_processes_and_options() -> None:
    """Who uses the device, and the two options that help."""
    with virtual_machine("turing") as machine:
        machine.add_process(4_000_000, graphics=True, name="/opt/firefox/firefox -P me")
        machine.add_process(4_000_001)
        text = refusal()[1]
    assert "PID 4000000 (firefox), PID 4000001;" in text
    assert "--energy-validity-limit=contended=2" in text
    assert "--energy-devices" in text


@pytest.mark.parametrize(
    "command",
    [
        "/usr/lib/xorg/Xorg vt2 -displayfd 3",
        "/usr/bin/gnome-shell",
        "/usr/bin/kwin_wayland",
        "Xwayland",
        "mutter-x11-fram",
        "/nix/store/x-kwin-6.1/bin/.kwin_wayland-wrapped --xwayland",
        ".gnome-shell-wr",
    ],
)
@pytest.mark.parametrize("computes", [False, True], ids=["G", "C+G"])
def test_a_desktop_is_no_contention(command: str, computes: bool) -> None:
    """Display servers and compositors that draw are context, with their utilisation."""
    with virtual_machine("ada") as machine:
        machine.add_process(4_000_000, graphics=True, name=command, sm_percent=3)
        if computes:
            machine.add_process(4_000_000, name=command, sm_percent=3)
        meter = open_meter("nvml", NO_TRACES)
        edge = meter.begin()
        with machine.load(200.0):
            time.sleep(0.3)
        reading = meter.end(edge)
        meter.close()
    assert reading.valid
    assert not reading.reasons
    assert reading.conditions["gpu0.desktop_utilization"] == 0.03
    assert meter.environment.context["desktop"] == [command.split()[0].rpartition("/")[2]]


def test_a_busy_desktop_is_remarked_on() -> None:
    """A desktop that uses a part of the device is named, and the window stays valid."""
    with virtual_machine("ada") as machine:
        machine.add_process(4_000_000, graphics=True, name="/usr/bin/gnome-shell", sm_percent=30)
        meter = open_meter("nvml", NO_TRACES)
        edge = meter.begin()
        with machine.load(200.0):
            time.sleep(0.3)
        reading = meter.end(edge)
        meter.close()
    assert reading.valid
    assert [str(reason.message) for reason in reading.reasons] == [
        "gpu0: the desktop (gnome-shell) used 30% of the device"
    ]


@pytest.mark.parametrize(("name", "graphics"), [("/usr/bin/Xorg", False), ("/games/X-Plane", True)])
def test_other_programs_are_contention(name: str, graphics: bool) -> None:
    """A program that computes is no desktop, whatever its name, and a game that draws is none."""
    with virtual_machine("ada") as machine:
        machine.add_process(4_000_000, graphics=graphics, name=name)
        assert refusal()[0] is ReasonCode.CONTENDED


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PCI devices of a laptop: Intel graphics, awake, and an NVIDIA GPU that sleeps."""
    for address, vendor, status in (
        ("0000:00:02.0", "0x8086", "active"),
        ("0000:01:00.0", "0x10de", "suspended"),
    ):
        (tmp_path / address / "power").mkdir(parents=True)
        (tmp_path / address / "vendor").write_text(f"{vendor}\n")
        (tmp_path / address / "class").write_text("0x030000\n")
        (tmp_path / address / "power" / "runtime_status").write_text(f"{status}\n")
    monkeypatch.setattr(opening, "sleeping_gpus", lambda: sleeping_gpus(tmp_path))
    return tmp_path


def test_auto_does_not_wake_a_sleeping_gpu(laptop: Path) -> None:
    """Not one call of NVML is made, and the reason names the option that wakes it."""
    with virtual_machine("ada") as machine:
        code, text = refusal(replace(NO_TRACES, wake=False))
        assert machine.calls("nvmlInit") == 0
        open_meter("nvml", NO_TRACES).close()
    assert code is ReasonCode.NO_METER
    assert "0000:01:00.0 sleeps" in text
    assert "--energy-meter=nvml" in text


def test_one_gpu_awake_is_measured(laptop: Path) -> None:
    """With one GPU awake, as an external one, opening wakes nothing that must sleep."""
    (laptop / "0000:01:00.0" / "power" / "runtime_status").write_text("active\n")
    with virtual_machine("ada"):
        open_meter("nvml", replace(NO_TRACES, wake=False)).close()


@pytest.mark.parametrize("limited", [True, False])
def test_an_implausible_idle_power_is_refused(limited: bool) -> None:
    """593 W is no idle power, with a limit of 700 W or none; the refusal names the option."""
    with virtual_machine("hopper") as machine:
        if not limited:
            machine.configure(power_limit_mw=0, default_limit_mw=0)
        machine.set_power(593.0)
        code, text = refusal()
        assert code is ReasonCode.IMPLAUSIBLE_POWER
        assert "W while it should be idle" in text
        accepted = float(text.rpartition("implausible-power=")[2])
        request = replace(NO_TRACES, thresholds={"implausible-power": accepted})
        open_meter("nvml", request).close()


def test_a_low_power_cap_makes_no_idle_power_implausible() -> None:
    """The default limit counts where a lower one is enforced."""
    with virtual_machine("hopper") as machine:
        machine.configure(power_limit_mw=100_000)
        open_meter("nvml", NO_TRACES).close()


def test_own_processes_are_no_others() -> None:
    """This process and its parent may use the device."""
    with virtual_machine("turing") as machine:
        machine.add_process(os.getpid())
        machine.add_process(os.getppid())
        open_meter("nvml", NO_TRACES).close()


Windows = Callable[[float], list[dict[str, Any]]]


@pytest.fixture
def windows_with_own_load(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Measures three windows, the first before CUDA is in use, with a load of so many watts.

    Returns what the meter knows after opening, and after each window.
    """

    def measure(power_w: float) -> list[dict[str, Any]]:
        answers, loads = iter([False, True, True]), []
        with virtual_machine("turing") as machine:

            @contextmanager
            def load() -> Iterator[None]:
                loads.append(machine.now_s())
                if power_w < 0:
                    raise RuntimeError("out of memory")
                with machine.load(power_w):
                    yield

            monkeypatch.setattr(
                opening, "torch_load", lambda devices: load if next(answers, True) else None
            )
            began_s = machine.now_s()
            meter = open_meter("nvml", MeterRequest(traces=False))
            seen: list[dict[str, Any]] = [
                {"loads": len(loads), "opening_s": machine.now_s() - began_s}
            ]
            for _ in range(3):
                edge = meter.begin()
                with machine.load(60.0):
                    time.sleep(0.3)
                reading = meter.end(edge)
                details = {**meter.info.details}
                known = {"loads": len(loads), "valid": reading.valid, "details": details}
                seen.append({**known, **reading.conditions})
            meter.close()
        return seen

    return measure


def test_sensors_are_tried_before_the_first_window_that_has_a_load(
    windows_with_own_load: Windows,
) -> None:
    """Opening takes below 3 s; the load runs once CUDA is in use, and outside of the window."""
    opened, without, probed, later = windows_with_own_load(60.0)
    assert opened["loads"] == 0
    assert opened["opening_s"] < 3
    assert without["loads"] == 0
    assert "gpu0.lag_s" not in without["details"]
    assert probed["loads"] == later["loads"] > 5
    assert probed["details"]["gpu0.lag_s"] == 0
    assert probed["edges.duration_s"] < 1
    assert "±26 % at 1 s" in without["details"]["own_load"]
    assert probed["details"]["own_load"] == "run"


@pytest.mark.parametrize(
    ("power_w", "message"), [(-1.0, "out of memory"), (8.0, "its sensor does not show the load")]
)
def test_a_load_that_fails_is_listed_as_missing(
    windows_with_own_load: Windows, power_w: float, message: str
) -> None:
    """The windows are measured without it, and it is not tried again."""
    _, _, failed, later = windows_with_own_load(power_w)
    assert failed["valid"]
    assert any(message in missing for missing in failed["details"]["missing"])
    assert message in failed["details"]["own_load"]
    assert failed["loads"] == later["loads"] == 1


@pytest.mark.parametrize(("card", "idle_w"), [("ada", 20), ("hopper", 70), ("ga100", 55)])
@pytest.mark.parametrize("gain", [0.57, 0.95, 1.05, 1.4])
def test_a_counter_that_differs_from_the_power_at_rest_is_wrong(
    card: str, idle_w: float, gain: float
) -> None:
    """Such a window is invalid however short it is, also where the sensor sees part of the time."""
    with virtual_machine(card) as machine:
        machine.configure(counter_gain=gain)
        time.sleep(5.0)
        meter = open_meter("nvml", MeterRequest(traces=False))
        edge = meter.begin()
        with machine.load(300.0):
            time.sleep(0.2)
        reading = meter.end(edge)
        meter.close()
    assert reading.valid == (0.9 < gain < 1.1)
    messages = [reason.message for reason in reading.reasons]
    powers_w = [re.findall(r"at rest ([\d.]+) W.* ([\d.]+) W", message) for message in messages]
    shown_w = [float(power_w) for found in powers_w for pair in found for power_w in pair]
    assert shown_w == ([] if reading.valid else pytest.approx([gain * idle_w, idle_w], rel=0.02))


@pytest.mark.parametrize(
    ("card", "gain", "valid"),
    [
        ("ada", 0.78, False),  # 4 W less at rest are no evidence
        ("ada", 1.22, False),
        ("ada", 0.9, True),
        ("volta", 1.0, True),  # its ring holds two seconds
        ("hopper", 1.0, True),  # its power sensor sees a quarter of the time
    ],
)
def test_a_counter_that_differs_from_the_power_of_the_meters_own_load_is_wrong(
    card: str, gain: float, valid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a window is invalid also if it has too few power samples of its own."""
    with virtual_machine(card) as machine:
        machine.configure(counter_gain=gain)
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(250.0))
        time.sleep(5.0)
        meter = open_meter("nvml", MeterRequest(traces=False))
        reading, true_j = measure_load(machine, meter, 250.0, 0.5)
    assert meter.info.details["own_load"] == "run"
    assert reading.valid == valid
    assert reading.channels["gpu0"] == pytest.approx(gain * true_j, rel=0.01)
    messages = [reason.message for reason in reading.reasons]
    found = [float(share) for m in messages for share in re.findall(r"own: ([+-][\d.]+)%", m)]
    assert found == ([] if valid else [pytest.approx(100 * (gain - 1), abs=2.0)])


def test_ticks_that_still_show_the_load_do_not_pass_for_rest() -> None:
    """Without a load of the meter's own, a counter that is late by two ticks may miss joules."""
    with virtual_machine(replace(PROFILES["ada"], counter_delay_s=0.25)) as machine:
        meter, missed = open_meter("nvml", MeterRequest(traces=False)), []
        for _ in range(6):
            reading, true_j = measure_window(machine, meter, 300.0, 0.5)
            error_j = abs(reading.channels["gpu0"] - true_j)
            missed.append(error_j)
            assert error_j <= 1.96 * combine(reading.budget.values())
            time.sleep(1.0)
        meter.close()
    assert max(missed) > 20.0


def test_joules_of_power_samples_are_not_compared_with_these_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A late sensor shows a third of a short window later: that is counted, and no disagreement."""
    card = replace(PROFILES["ada"], counter_tick_s=None, power_lag_s=0.3, sample_count=400)
    with virtual_machine(card) as machine:
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(250.0))
        monkeypatch.setattr(
            opening, "HelperCollector", lambda devices: RingCollector(dict(sensors(devices)))
        )
        time.sleep(6.0)
        meter = open_meter("nvml", MeterRequest(traces=False))
        reading, true_j = measure_load(machine, meter, 250.0, 1.0)
    assert meter.info.source == "power"
    assert reading.reasons == ()
    assert reading.channels["gpu0"] == pytest.approx(true_j, rel=1e-3)


def sensors(devices: Sequence[Device]) -> Iterator[tuple[str, PowerSensor]]:
    """The power sensors of devices by channel, for a collector without a process."""
    for device in devices:
        sensor = power_sensor(device.handle)
        assert sensor is not None
        yield device.channel, sensor


@pytest.mark.parametrize("limit", [0.1, 0.3])
def test_the_users_limit_judges_the_meters_own_load(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter of 80 % is off by more than 10 % and by less than 30 %."""
    request = MeterRequest(traces=False, thresholds={"sensor-disagreement": limit})
    with virtual_machine("ada") as machine:
        machine.configure(counter_gain=0.8)
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(250.0))
        reading, _ = measure_load(machine, open_meter("nvml", request), 250.0, 0.5)
    assert reading.valid == (limit == 0.3)


def test_idle_powers_are_compared_over_the_same_time() -> None:
    """While the power still falls after earlier use, counter and samples agree all the same."""
    with virtual_machine("ada") as machine, ExitStack() as stack:
        began_s = time.perf_counter() + 0.1
        for number in range(200):
            power_w = 20.0 + 100.0 * math.exp(-0.025 * number)
            machine.set_power(power_w, at_s=began_s + 0.05 * number)
        time.sleep(2.0)
        driver.start()
        devices = select_devices(None)
        opened = open_instruments(devices, True, stack, lambda _, sensors: RingCollector(sensors))
    counted_w, sampled_w = opened.at_rest["gpu0"]
    assert counted_w > 30.0
    assert counted_w == pytest.approx(sampled_w, rel=0.08)
