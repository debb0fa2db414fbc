"""The real bindings on the simulated machine: truth, sensors, profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time

import pynvml
import pytest

from pytest_energy.testing import PROFILES, SimulatedNvml

TICK_S = {name: profile.counter_tick_s for name, profile in PROFILES.items()}


def run_on(machine: SimulatedNvml, script: str) -> dict:
    """What a child process on the machine prints as JSON; it has `handle` and `machine`."""
    prelude = textwrap.dedent("""
        import json, time, pynvml
        from pytest_energy.simulation.machine import Machine
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        machine = Machine.attached()
        def energy_j():
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    """)
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script)],
        env=os.environ | machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def handle(nvml_sim):
    """The machine's first device, through the bindings."""
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def test_truth_is_power_times_time():
    """The truth is the script's integral, computed by hand for constant power and for pulses."""
    with SimulatedNvml(virtual_clock=True) as machine:
        start_s = machine.set_power(300.0)
        machine.advance(2.0)
        middle_s = machine.set_pulses(400.0, 100.0, period_s=0.1, duty=0.25)
        machine.advance(1.0)
        end_s = machine.set_power(50.0)
        assert machine.true_energy_j(start_s, middle_s) == pytest.approx(600.0)
        assert machine.true_energy_j(middle_s, end_s) == pytest.approx(0.25 * 400 + 0.75 * 100)
        assert machine.true_energy_j(start_s, end_s) == pytest.approx(775.0)
        assert machine.true_energy_j(middle_s, middle_s + 0.025) == pytest.approx(10.0)


@pytest.mark.parametrize("profile", [name for name, tick_s in TICK_S.items() if tick_s])
def test_counter_agrees_with_truth_within_a_tick(profile):
    """A window's counter difference is the truth, but for what a tick at each edge may hold."""
    with SimulatedNvml(profile, virtual_clock=True) as machine:
        told = run_on(
            machine,
            """
            def windows():
                for length_s in (0.3, 1.0, 3.7):
                    start_s, before_j = time.perf_counter(), energy_j()
                    time.sleep(length_s)
                    end_s, after_j = time.perf_counter(), energy_j()
                    yield [after_j - before_j, machine.true_energy_j(start_s, end_s)]

            with machine.load(200.0):
                constant = list(windows())
            with machine.pulsed_load(300.0, 100.0, period_s=0.002):
                pulsed = list(windows())
            print(json.dumps([*constant, *pulsed]))
            """,
        )
    for measured_j, true_j in told:
        assert true_j > 0
        assert measured_j == pytest.approx(true_j, abs=300.0 * TICK_S[profile] + 2e-3)


def test_child_process_sees_the_same_device(nvml_sim, handle):
    """A child, without any setting of its own, reads the parent's board, counter and load."""
    nvml_sim.configure(counter_tick_ns=3_600_000_000_000)  # no tick between the two readings
    here = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    told = run_on(
        nvml_sim, "print(json.dumps([pynvml.nvmlDeviceGetUUID(handle), energy_j() * 1e3]))"
    )
    assert told == [pynvml.nvmlDeviceGetUUID(handle), here]


def test_a_virtual_minute_takes_no_time():
    """A child on the virtual clock sleeps an hour, and all its clocks agree on it."""
    with SimulatedNvml(virtual_clock=True) as machine:
        begun_s = time.monotonic()
        told = run_on(
            machine,
            """
            clocks = (time.monotonic, time.perf_counter, time.time)
            before = [clock() for clock in clocks]
            time.sleep(3600.0)
            print(json.dumps([clock() - was for clock, was in zip(clocks, before)]))
            """,
        )
        assert time.monotonic() - begun_s < 600.0
    assert told == pytest.approx([3600.0] * 3, abs=1e-3)
