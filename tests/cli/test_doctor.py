"""``pytest-energy doctor``: what a machine can measure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pynvml
import pytest

from pytest_energy.cli import main
from pytest_energy.testing import SimulatedNvml


def only_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the meters that would measure this machine itself."""
    monkeypatch.setattr("pytest_energy.cli.doctor.meter_names", lambda: ("nvml",))


def test_a_machine_without_a_gpu_says_just_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No library: what is missing and how to get it, and exit status 1."""
    only_nvml(monkeypatch)
    with SimulatedNvml(library=False):
        assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "nvml: cannot measure here" in told
    assert "install the NVIDIA driver" in told


ON_A_CLOCK_OF_ITS_OWN = """
import sys
from pytest_energy.cli import doctor, main

doctor.meter_names = lambda: ("nvml",)
sys.exit(main(["doctor", *sys.argv[1:]]))
"""


def diagnosis(*arguments: str) -> str:
    """What the doctor says of a simulated Ada card, where nothing can hold it up."""
    with SimulatedNvml("ada", virtual_clock=True) as machine:
        return subprocess.run(
            [sys.executable, "-c", ON_A_CLOCK_OF_ITS_OWN, *arguments],
            env={**os.environ, **machine.environment()},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout


def test_a_gpu_is_told_with_its_sources_and_its_resolution() -> None:
    """Device, driver, source, tick, idle power, noise and the shortest window for 1 %."""
    told = diagnosis()
    for expected in (
        "RTX 4090",
        "560.35.03",
        "source: counter",
        "idle power of gpu0",
        "noise",
        "1% at idle",
        "power trace of gpu0: driver-ring",
    ):
        assert expected in told
    assert "missing" not in told
    (tick_ms,) = re.findall(r"tick: (\S+) ms", told)
    assert float(tick_ms) == pytest.approx(106, rel=0.01)


def test_the_same_as_json() -> None:
    """Everything as data, with the budget's largest term named."""
    (meter,) = json.loads(diagnosis("--json"))["meters"]
    assert meter["available"] is True
    assert meter["tick_s"] == pytest.approx(0.106, rel=0.01)
    assert meter["idle_power"]["gpu0"]["value"] == pytest.approx(20.0, rel=0.05)
    assert meter["dominant"] == "edges"
    assert 0 < meter["window_for_aim_s"] < 2


def test_a_driver_that_tells_no_processes_is_remarked_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can tell then whether the device is used by others."""
    only_nvml(monkeypatch)
    with SimulatedNvml("turing") as machine:
        machine.fail("nvmlDeviceGetComputeRunningProcesses", pynvml.NVML_ERROR_NO_PERMISSION)
        assert main(["doctor"]) == 0
    assert "remark: gpu0: the driver does not tell which processes" in capsys.readouterr().out


def test_what_a_driver_does_not_tell_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counters, ring, fields, lists: each with what goes unnoticed for want of it."""
    only_nvml(monkeypatch)
    with SimulatedNvml("turing") as machine:
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
    told = capsys.readouterr().out
    assert "power trace of gpu0: helper-process" in told
    assert re.findall(r"missing: gpu0: (.*?):", told) == [
        "driver's ring of power samples",
        "power fields 185 and 186",
        "throttle counters",
        "lists of processes",
        "temperature",
        "applications clock",
        "power limit",
    ]


def test_a_busy_gpu_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor does not wait for others: it names them."""
    only_nvml(monkeypatch)
    with SimulatedNvml("ada") as machine:
        machine.add_process(4_000_000)
        assert main(["doctor", "--json"]) == 1
    (meter,) = json.loads(capsys.readouterr().out)["meters"]
    assert meter["code"] == "contended"
    assert "4000000" in meter["reason"]
