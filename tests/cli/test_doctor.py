"""``pytest-energy doctor``: what a machine can measure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial

import pynvml
import pytest

from pytest_energy.cli import main
from pytest_energy.cli.doctor import Diagnosis
from pytest_energy.testing import SimulatedNvml
from tests.virtual import virtual_machine


def only_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Omit the meters that would measure this machine itself."""
    monkeypatch.setattr("pytest_energy.cli.doctor.meter_names", lambda: ("nvml",))


def test_a_machine_without_a_gpu_gets_the_cause(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what is missing and how to get it; the exit status is 1."""
    only_nvml(monkeypatch)
    with virtual_machine(library=False):
        assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "nvml: cannot measure here" in output
    assert "install the NVIDIA driver" in output


def test_meters_stand_in_the_order_in_which_they_are_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What will measure is described first, and the estimate last."""
    found = partial(Diagnosis, available=True, source="counter")
    monkeypatch.setattr("pytest_energy.cli.doctor.diagnose", found)
    assert main(["doctor"]) == 0
    described = re.findall(r"^(nvml|rapl|codecarbon): ", capsys.readouterr().out, re.MULTILINE)
    assert described == ["nvml", "rapl", "codecarbon"]


@pytest.fixture
def diagnosis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The doctor's output for a simulated Ada card, on a clock that no load can delay."""

    def diagnose(*arguments: str) -> str:
        only_nvml(monkeypatch)
        with virtual_machine("ada"):
            assert main(["doctor", *arguments]) == 0
        return capsys.readouterr().out

    return diagnose


def test_a_gpu_is_described_with_its_sources_and_its_resolution(
    diagnosis: Callable[..., str],
) -> None:
    """Device, driver, source, tick, idle power, noise and the shortest window for 1 %."""
    output = diagnosis()
    will_measure = "pytest --energy will measure with NVML counter on "
    assert output.splitlines()[0].startswith(will_measure)
    for expected in (
        "RTX 4090",
        "560.35.03",
        "source: counter",
        "load of the meter's own: none: what follows a window",
        "torch.cuda.init()",
        "idle power of gpu0",
        "noise",
        "1% at idle",
        "power trace of gpu0: driver-ring",
    ):
        assert expected in output
    assert "missing" not in output
    (tick_ms,) = re.findall(r"tick: (\S+) ms", output)
    assert float(tick_ms) == pytest.approx(106, rel=0.01)


def test_the_same_as_json(diagnosis: Callable[..., str]) -> None:
    """JSON has the same data, and the largest term of the uncertainty."""
    (meter,) = json.loads(diagnosis("--json"))["meters"]
    assert meter["available"] is True
    assert meter["tick_s"] == pytest.approx(0.106, rel=0.01)
    assert meter["idle_power"]["gpu0"]["value"] == pytest.approx(20.0, rel=0.05)
    assert meter["dominant"] == "resolution"
    assert 0 < meter["window_for_aim_s"] < 2


def test_a_driver_without_a_list_of_processes_gets_a_remark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Use of the device by others then cannot be detected."""
    only_nvml(monkeypatch)
    with virtual_machine("turing") as machine:
        machine.fail("nvmlDeviceGetComputeRunningProcesses", pynvml.NVML_ERROR_NO_PERMISSION)
        assert main(["doctor"]) == 0
    assert "remark: gpu0: the driver does not list the processes" in capsys.readouterr().out


def test_readings_that_a_driver_does_not_expose_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each missing reading comes with the checks disabled as a result."""
    only_nvml(monkeypatch)
    with SimulatedNvml("turing") as machine:  # a helper process that polls needs the real clock
        machine.configure(throttle_counters=0, sample_count=0)
        for function in (
            "nvmlDeviceGetViolationStatus",
            "nvmlDeviceGetComputeRunningProcesses",
            "nvmlDeviceGetTemperature",
            "nvmlDeviceGetApplicationsClock",
            "nvmlDeviceGetEnforcedPowerLimit",
        ):
            machine.fail(function, pynvml.NVML_ERROR_NOT_SUPPORTED)
        for field in (185, 186):
            machine.fail("nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_NOT_SUPPORTED, field=field)
        assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "power trace of gpu0: helper-process" in output
    assert re.findall(r"missing: gpu0: (.*?):", output) == [
        "driver's ring of power samples",
        "power fields 185 and 186",
        "throttle counters",
        "lists of processes",
        "temperature",
        "applications clock",
        "power limit",
    ]


def test_a_busy_gpu_is_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor does not wait for other processes; it names them."""
    only_nvml(monkeypatch)
    with virtual_machine("ada") as machine:
        machine.add_process(4_000_000)
        assert main(["doctor", "--json"]) == 1
    (meter,) = json.loads(capsys.readouterr().out)["meters"]
    assert meter["code"] == "contended"
    assert "4000000" in meter["reason"]
