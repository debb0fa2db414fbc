"""Faults that a test injects."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import pynvml
import pytest

from pytest_energy.simulation import build
from pytest_energy.testing import Machine, SimulatedNvml, SimulationError

CODES = {
    code
    for name, code in vars(pynvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(code, int)
}


@pytest.fixture
def machine():
    """Two cards on a virtual clock, so that times of faults are exact."""
    with SimulatedNvml("hopper", "hopper", virtual_clock=True, call_cost_s=0.0) as machine:
        yield machine


@pytest.fixture
def handles(machine):
    """Both cards through the bindings."""
    pynvml.nvmlInit()
    return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(2)]


def read(handle):
    """Read the energy, by the function that most of these faults concern."""
    return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_function_fails_with_the_code_asked_for(machine, handles, code):
    """A function can fail with any error of NVML on one device; the other still works."""
    machine.fail("nvmlDeviceGetTotalEnergyConsumption", code, device=1)
    with pytest.raises(pynvml.NVMLError) as caught:
        read(handles[1])
    assert caught.value.value == code
    assert read(handles[0]) > 0
    assert pynvml.nvmlDeviceGetName(handles[1])
    machine.recover()
    assert read(handles[1]) > 0


def test_the_version_of_a_function_does_not_matter(machine, handles):
    """A fault of `nvmlDeviceGetComputeRunningProcesses` applies to all its versions."""
    machine.fail("nvmlDeviceGetComputeRunningProcesses", pynvml.NVML_ERROR_NO_PERMISSION)
    for function in (
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
    ):
        with pytest.raises(pynvml.NVMLError_NoPermission):
            function(handles[0])


def test_a_fault_after_some_calls_lasts_for_some(machine, handles):
    """Two calls succeed, three fail, and then all succeed."""
    code = pynvml.NVML_ERROR_TIMEOUT
    machine.fail("nvmlDeviceGetTotalEnergyConsumption", code, after_calls=2, times=3)
    outcomes = []
    for _ in range(7):
        try:
            read(handles[0])
            outcomes.append("good")
        except pynvml.NVMLError_Timeout:
            outcomes.append("fails")
    assert outcomes == ["good"] * 2 + ["fails"] * 3 + ["good"] * 2


def test_a_fault_has_its_time(machine, handles):
    """A fault between two times is absent before and after."""
    now_s = machine.now_s()
    code = pynvml.NVML_ERROR_UNKNOWN
    machine.fail("nvmlDeviceGetTotalEnergyConsumption", code, at_s=now_s + 1.0, until_s=now_s + 2.0)
    assert read(handles[0]) > 0
    machine.advance(1.5)
    with pytest.raises(pynvml.NVMLError_Unknown):
        read(handles[0])
    machine.advance(0.5)
    assert read(handles[0]) > 0


def test_one_field_fails_alone(machine, handles):
    """The batch succeeds, and only the failing field has the return code."""
    machine.fail("nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_NO_PERMISSION, field=186)
    energy, instant = pynvml.nvmlDeviceGetFieldValues(handles[0], [83, 186])
    assert (energy.nvmlReturn, instant.nvmlReturn) == (0, pynvml.NVML_ERROR_NO_PERMISSION)


def test_a_lost_device_is_lost_to_every_function(machine, handles):
    """From then on it does not answer and cannot be found; other devices are unaffected."""
    machine.lose(device=0, at_s=machine.now_s() + 1.0)
    assert read(handles[0]) > 0
    machine.advance(1.0)
    for ask in (
        lambda: read(handles[0]),
        lambda: pynvml.nvmlDeviceGetName(handles[0]),
        lambda: pynvml.nvmlDeviceGetFieldValues(handles[0], [83]),
        lambda: pynvml.nvmlDeviceGetHandleByIndex(0),
    ):
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            ask()
    assert read(handles[1]) > 0


@pytest.mark.parametrize("profile", ["hopper", "hopper-part-time"])
def test_a_counter_that_is_reset_starts_again(profile):
    """After the reset the counter starts at zero; the true energy is unaffected."""
    with SimulatedNvml(profile, virtual_clock=True, call_cost_s=0.0) as machine:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        machine.advance(-machine.now_s() % 1.0)
        machine.set_power(200.0)
        before_s, before_mj = machine.now_s(), read(handle)
        machine.advance(1.0)
        machine.reset_counter()
        assert read(handle) == 0 < before_mj
        machine.advance(1.0)
        assert read(handle) == pytest.approx(200_000, abs=2)
        assert machine.true_energy_j(before_s, machine.now_s()) == pytest.approx(400.0)


def test_other_processes_come_and_go(machine, handles):
    """A process is listed from its time until its end, once, and on its device only."""
    now_s = machine.now_s()
    machine.add_process(4242, device=1, at_s=now_s + 1.0, until_s=now_s + 2.0)
    machine.add_process(77, device=1, graphics=True)

    def listed(ask):
        return [[process.pid for process in ask(handle)] for handle in handles]

    assert listed(pynvml.nvmlDeviceGetComputeRunningProcesses) == [[], []]
    machine.advance(1.0)
    assert listed(pynvml.nvmlDeviceGetComputeRunningProcesses) == [[], [4242]]
    assert listed(pynvml.nvmlDeviceGetComputeRunningProcesses_v2) == [[], [4242]]
    assert listed(pynvml.nvmlDeviceGetGraphicsRunningProcesses) == [[], [77]]
    machine.advance(1.0)
    assert listed(pynvml.nvmlDeviceGetComputeRunningProcesses) == [[], []]


def test_who_loads_a_device_is_on_it_as_long(machine, handles):
    """Nested loads show this process once; afterwards it is gone and the power is restored."""
    with machine.load(300.0), machine.load(400.0):
        [process] = pynvml.nvmlDeviceGetComputeRunningProcesses(handles[0])
        assert process.pid == os.getpid()
    assert pynvml.nvmlDeviceGetComputeRunningProcesses(handles[0]) == []
    machine.advance(2.0)
    assert pynvml.nvmlDeviceGetPowerUsage(handles[0]) == 70_000


def test_init_can_fail():
    """`nvmlInit` returns the injected code, and works again after the fault."""
    with SimulatedNvml() as machine:
        machine.fail("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, times=1)
        with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
            pynvml.nvmlInit()
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 1


def test_the_library_can_be_missing():
    """Neither this process nor a child finds it, even if the machine has a real one."""
    with SimulatedNvml(library=False):
        with pytest.raises(pynvml.NVMLError_LibraryNotFound):
            pynvml.nvmlInit()
        script = "import ctypes; ctypes.CDLL('libnvidia-ml.so.1')"
        child = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert "OSError: " in child.stderr


def test_calls_before_init_and_after_shutdown_are_refused(machine):
    """As with the real library."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    pynvml.nvmlShutdown()
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        read(handle)


def test_functions_that_are_not_simulated_are_not_supported(machine, handles):
    """They exist and answer "not supported": a tool that calls them does not crash."""
    for ask in (
        pynvml.nvmlDeviceGetFanSpeed,
        pynvml.nvmlDeviceGetSupportedMemoryClocks,
        pynvml.nvmlDeviceGetEncoderUtilization,
    ):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            ask(handles[0])


def test_calls_are_counted(machine, handles):
    """A test can prove how rarely a meter reads."""
    before = machine.calls("nvmlDeviceGetTotalEnergyConsumption")
    for _ in range(5):
        read(handles[0])
    assert machine.calls("nvmlDeviceGetTotalEnergyConsumption") == before + 5


def test_nothing_is_left_behind():
    """After the block, its variables are gone, and the bindings load the real library."""
    before = dict(os.environ), pynvml.CDLL, pynvml.nvmlLib
    with SimulatedNvml():
        pynvml.nvmlInit()
    assert (dict(os.environ), pynvml.CDLL, pynvml.nvmlLib) == before


def test_wrong_use_is_reported():
    """A missing card, device, field, clock or machine is named, and so is a changed past."""
    with pytest.raises(SimulationError, match="no simulated card 'h100'; choose one of pascal, "):
        SimulatedNvml("h100")
    with SimulatedNvml() as machine:
        with pytest.raises(SimulationError, match="no simulated device 1: there are 1"):
            machine.set_power(100.0, device=1)
        with pytest.raises(SimulationError, match="has no colour"):
            machine.configure(colour=3)
        with pytest.raises(SimulationError, match="real clock"):
            machine.advance(1.0)
        with pytest.raises(SimulationError, match="in the past"):
            machine.set_power(100.0, at_s=time.perf_counter() - 1.0)
        with pytest.raises(SimulationError, match="period_s > 0"):
            machine.set_pulses(2.0, 1.0, period_s=0.0)
    with pytest.raises(SimulationError, match="PYTEST_ENERGY_NVML_SIM is not set"):
        Machine.attached()


def test_without_a_compiler_the_remedy_is_given(monkeypatch, tmp_path):
    """The message names the compilers and how to install one."""
    build.build_libraries.cache_clear()
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=r"none of cc, gcc, clang.* apt-get install gcc"):
        build.build_libraries()
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SimulationError, match=r"no-such-compiler \(from CC\) is not on the path"):
        build.build_libraries()


def test_a_cache_that_others_may_write_is_refused(monkeypatch, tmp_path):
    """Processes load what lies there, so only this user may write it."""
    build.build_libraries.cache_clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"pytest-energy-{os.getuid()}").mkdir()
    (tmp_path / f"pytest-energy-{os.getuid()}").chmod(0o777)
    with pytest.raises(SimulationError, match=r"other users own or can write .*TMPDIR"):
        build.build_libraries()


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    """The message has the compiler's status and output, and no partial file is kept."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no headers here' >&2\nexit 3\n")
    compiler.chmod(0o755)
    build.build_libraries.cache_clear()
    monkeypatch.setenv("CC", f"{compiler} -m64")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SimulationError, match=r"exit status 3.*no headers here"):
        build.build_libraries()
    assert not [*tmp_path.glob("pytest-energy-*/**/*.so*")]
