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
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.testing import PROFILES, SimulatedNvml

TICK_S = {name: profile.counter_tick_s for name, profile in PROFILES.items()}


def run_on(machine: SimulatedNvml, script: str) -> dict:
    """The JSON that a child process on the machine prints; it has `handle` and `machine`."""
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
    """The true energy equals the integral computed by hand, for constant power and for pulses."""
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
    """A window's counter difference is the true energy, to within a tick at each edge."""
    with SimulatedNvml(profile, virtual_clock=True) as machine:
        values = run_on(
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
    for measured_j, true_j in values:
        assert true_j > 0
        assert measured_j == pytest.approx(true_j, abs=300.0 * TICK_S[profile] + 2e-3)


def test_child_process_sees_the_same_device(nvml_sim, handle):
    """A child without own settings reads the parent's board, counter and load."""
    nvml_sim.configure(counter_tick_ns=3_600_000_000_000)  # no tick between the two readings
    here = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    values = run_on(
        nvml_sim, "print(json.dumps([pynvml.nvmlDeviceGetUUID(handle), energy_j() * 1e3]))"
    )
    assert values == [pynvml.nvmlDeviceGetUUID(handle), here]


def test_a_process_that_dies_in_the_middle_holds_nobody_up(nvml_sim, handle):
    """If a process is killed while it holds the machine's lock, the machine still works."""
    script = """
        import os
        machine._control.nvml_sim_lock(machine._address)
        print("null", flush=True)
        os._exit(0)
    """
    assert run_on(nvml_sim, script) is None
    nvml_sim.configure(temperature_c=50)
    assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) == 50


@given(
    changes=st.lists(
        st.tuples(
            st.floats(0.001, 3.0),  # how long
            st.floats(0.0, 700.0),  # high
            st.floats(0.0, 700.0),  # low
            st.floats(0.001, 0.5),  # period
            st.floats(0.0, 1.0),  # duty
        ),
        min_size=1,
        max_size=8,
    ),
    cut=st.floats(0.0, 1.0),
)
@settings(max_examples=50, deadline=None)
def test_energy_adds_up_and_the_counter_follows(changes, cut):
    """The joules of two parts are those of the whole, and at a tick the counter has them all."""
    with SimulatedNvml(virtual_clock=True, call_cost_s=0.0) as machine:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        machine.advance(-machine.now_s() % 0.1)
        start_s, before_mj = machine.now_s(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        for length_s, high_w, low_w, period_s, duty in changes:
            machine.set_pulses(high_w, low_w, period_s, duty)
            machine.advance(length_s)
        machine.advance(-machine.now_s() % 0.1 + 1e-6)
        end_s = machine.now_s()
        middle_s = start_s + cut * (end_s - start_s)
        whole_j = machine.true_energy_j(start_s, end_s)
        parts_j = machine.true_energy_j(start_s, middle_s) + machine.true_energy_j(middle_s, end_s)
        counted_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - before_mj
    assert parts_j == pytest.approx(whole_j, abs=1e-6)
    assert counted_mj / 1e3 == pytest.approx(whole_j, abs=3e-3)
    longest_s = end_s - start_s
    assert 0.0 <= whole_j <= 700.0 * longest_s + 1e-6


def test_a_virtual_minute_takes_no_time():
    """A child on the virtual clock sleeps an hour, and all its clocks agree on it."""
    with SimulatedNvml(virtual_clock=True) as machine:
        begun_s = time.monotonic()
        values = run_on(
            machine,
            """
            clocks = (time.monotonic, time.perf_counter, time.time)
            before = [clock() for clock in clocks]
            time.sleep(3600.0)
            print(json.dumps([clock() - was for clock, was in zip(clocks, before)]))
            """,
        )
        assert time.monotonic() - begun_s < 600.0
    assert values == pytest.approx([3600.0] * 3, abs=1e-3)


def test_a_child_on_the_virtual_clock_is_awaited_in_real_time():
    """It may go on after it closed its output; a time limit in virtual seconds would be over."""
    with SimulatedNvml(virtual_clock=True) as machine:
        status = run_on(
            machine,
            """
            import subprocess
            spin = "exec >&- 2>&-; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 7"
            done = subprocess.run(["sh", "-c", spin], capture_output=True, timeout=60.0)
            print(json.dumps(done.returncode))
            """,
        )
    assert status == 7
