"""The meter of NVIDIA GPUs on simulated GPUs, whose true energy is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pynvml
import pytest

from pytest_energy.meters.base import Adjustable, Meter, MeterRequest, Reading
from pytest_energy.meters.nvml import opening
from pytest_energy.meters.nvml.devices.sensors import POWER_AVERAGE, POWER_INSTANT, THROTTLES
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.testing import PROFILES, SimulatedNvml
from pytest_energy.uncertainty.gum import combine, expand
from tests.virtual import answer_on, virtual_machine, virtual_time

NO_TRACES = MeterRequest(traces=False, wait_idle_s=0.1)
WINDOW_S = 0.05


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[SimulatedNvml, Meter]]:
    """A card whose counter ticks every 10 ms, and an open meter on it."""
    with SimulatedNvml("turing", virtual_clock=True) as machine:
        with virtual_time(machine):
            meter = open_meter("nvml", NO_TRACES)
        yield machine, meter
        meter.close()


@pytest.fixture
def quick(opened: tuple[SimulatedNvml, Meter]) -> Iterator[tuple[SimulatedNvml, Meter]]:
    """The open meter, in virtual time."""
    with virtual_time(opened[0]):
        yield opened


def run_window(
    machine: SimulatedNvml, meter: Meter, inside: Callable[[], object] = lambda: None
) -> tuple[Reading, float]:
    """Measure a loaded window; return the reading and the true joules."""
    edge = meter.begin()
    inside()
    with machine.load(60.0):
        time.sleep(WINDOW_S)
    reading = meter.end(edge)
    return reading, machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)


@pytest.mark.parametrize("simulated", [True, False])
def test_a_reading_says_whether_the_device_worked_for_us(
    quick: tuple[SimulatedNvml, Meter], monkeypatch: pytest.MonkeyPatch, simulated: bool
) -> None:
    """A simulated device has no queue, so it counts as idle there."""
    machine, meter = quick
    monkeypatch.setattr("pytest_energy.meters.nvml.meter.is_simulated", lambda: simulated)
    with machine.process(os.getpid()):  # a context outlives the work
        assert run_window(machine, meter)[0].device_worked is not simulated
        edge = meter.begin()
        time.sleep(WINDOW_S)
        assert not meter.end(edge).device_worked


def fatal_codes(reading: Reading) -> set[ReasonCode]:
    """The codes that make a reading invalid."""
    return {reason.code for reason in reading.reasons if reason.fatal}


# ---- joules ----


ON_VIRTUAL_CLOCK = """
import json, time
from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import Machine

machine = Machine.attached()
meter = open_meter("nvml", MeterRequest(traces=False))
for _ in range(20):
    edge = meter.begin()
    with machine.load(60.0):
        time.sleep(0.05)
    reading = meter.end(edge)
    true_j = machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)
    print(json.dumps([reading.channels["gpu0"], true_j]))
"""


def test_short_windows_are_right_to_two_percent() -> None:
    """Without interference, five ticks of the counter in each window are enough."""
    with virtual_machine("turing") as machine:
        output = run_on(machine, ON_VIRTUAL_CLOCK)
    windows = [json.loads(line) for line in output.splitlines()]
    assert len(windows) == 20
    for measured_j, true_j in windows:
        assert measured_j == pytest.approx(true_j, rel=0.02)


def assert_true(reading: Reading, true_j: float) -> None:
    """The truth is within twice the stated uncertainty, which grows if the process was delayed."""
    stated_j = expand(combine(reading.budget.values()))
    assert reading.channels["gpu0"] == pytest.approx(true_j, abs=2 * stated_j)


def test_joules_agree_with_the_truth(quick: tuple[SimulatedNvml, Meter]) -> None:
    """A window is as exact as stated."""
    reading, true_j = run_window(*quick)
    assert reading.valid
    assert_true(reading, true_j)
    assert reading.budget.keys() == {"edges", "resolution", "settling", "end"}


@pytest.mark.parametrize("length_s", [0.1, 0.6], ids=["short", "long"])
def test_each_gap_is_taken_off_at_its_own_power(length_s: float) -> None:
    """A device that rests at more power after a window than before it is measured as well."""
    for measured_j, true_j in answer_on(PROFILES["turing"], OTHER_POWER_AT_REST % length_s):
        assert measured_j == pytest.approx(true_j, abs=0.02)


OTHER_POWER_AT_REST = """
import json, time
from pytest_energy.meters.base import MeterRequest
from pytest_energy.meters.registry import open_meter
from pytest_energy.testing import Machine

machine, seen = Machine.attached(), []
meter = open_meter("nvml", MeterRequest(traces=False))
for _ in range(5):
    machine.set_power(8.0)
    time.sleep(0.1)
    edge = meter.begin()
    machine.set_power(60.0)
    time.sleep(%s)
    machine.set_power(30.0)
    reading = meter.end(edge)
    true_j = machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)
    seen.append([reading.channels["gpu0"], true_j])
print(json.dumps(seen))
"""


def run_on(machine: SimulatedNvml, program: str) -> str:
    """The output of a program on a simulated machine."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **machine.environment()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_the_meter_describes_itself_and_the_device(quick: tuple[SimulatedNvml, Meter]) -> None:
    """It has source, tick, idle power, identity and context; the board's UUID is hashed."""
    machine, meter = quick
    assert meter.info.source == "counter"
    assert meter.info.tick_s == pytest.approx(0.010, rel=0.02)
    idle = meter.idle_power_w["gpu0"]
    assert idle.uncertainty is not None
    assert idle.value == pytest.approx(8.0, abs=2 * idle.uncertainty)
    assert meter.environment.identity["device"] == "simulated NVIDIA GeForce GTX 1650"
    assert machine.uuid() not in str(meter.environment.context)
    assert len(str(meter.environment.context["board"])) > 10


def test_measuring_starts_no_thread(quick: tuple[SimulatedNvml, Meter]) -> None:
    """The measured process has the same number of threads inside and outside a window."""
    before = threading.active_count()
    seen = []
    run_window(*quick, lambda: seen.append(threading.active_count()))
    assert seen == [before]


def test_edges_are_found_with_few_reads(quick: tuple[SimulatedNvml, Meter]) -> None:
    """Both edges of a window read the counter a few dozen times, not thousands of times."""
    machine, meter = quick
    before = machine.calls("nvmlDeviceGetFieldValues")
    run_window(machine, meter)
    assert machine.calls("nvmlDeviceGetFieldValues") - before < 100


def test_a_window_too_short_tells_what_it_would_take(quick: tuple[SimulatedNvml, Meter]) -> None:
    """A window shorter than a tick is invalid, and says how many passes are needed."""
    _, meter = quick
    reading = meter.end(meter.begin())
    assert ReasonCode.WINDOW_TOO_SHORT in fatal_codes(reading)
    message = next(r.message for r in reading.reasons if r.code is ReasonCode.WINDOW_TOO_SHORT)
    assert "less than 1 ms" in message
    assert "are needed" in message
    assert "as many passes" in message


# ---- faults × moments ----


def lose(machine: SimulatedNvml, after_calls: int) -> None:
    """The device falls off the bus."""
    machine.fail("*", pynvml.NVML_ERROR_GPU_IS_LOST, after_calls=after_calls)


def break_down(machine: SimulatedNvml, after_calls: int) -> None:
    """Fields fail with an unknown error."""
    machine.fail("nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_UNKNOWN, after_calls=after_calls)


def withdraw(machine: SimulatedNvml, after_calls: int) -> None:
    """The driver no longer offers the energy counter."""
    energy = pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION
    machine.fail(
        "nvmlDeviceGetFieldValues",
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        field=energy,
        after_calls=after_calls,
    )


def forbid(machine: SimulatedNvml, after_calls: int) -> None:
    """The driver no longer answers this user."""
    machine.fail(
        "nvmlDeviceGetFieldValues", pynvml.NVML_ERROR_NO_PERMISSION, after_calls=after_calls
    )


def reset(machine: SimulatedNvml, after_calls: int) -> None:
    """The counter restarts from zero."""
    machine.reset_counter()


def intrude(machine: SimulatedNvml, after_calls: int) -> None:
    """Another process comes to the device."""
    machine.add_process(4_000_000)


def overheat(machine: SimulatedNvml, after_calls: int) -> None:
    """The device is throttled by heat."""
    machine.throttle(pynvml.nvmlClocksEventReasonHwThermalSlowdown)


def cap(machine: SimulatedNvml, after_calls: int) -> None:
    """Somebody lowers the power limit."""
    machine.configure(power_limit_mw=70_000)


def reclock(machine: SimulatedNvml, after_calls: int) -> None:
    """Somebody changes the applications clock."""
    machine.configure(max_clock_mhz=[1000] * 4)


def hide_processes(machine: SimulatedNvml, after_calls: int) -> None:
    """The driver no longer lists the compute processes."""
    machine.fail(
        "nvmlDeviceGetComputeRunningProcesses",
        pynvml.NVML_ERROR_NO_PERMISSION,
        after_calls=after_calls,
    )


def hide_temperature(machine: SimulatedNvml, after_calls: int) -> None:
    """The driver no longer offers the temperature."""
    machine.fail(TEMPERATURE, pynvml.NVML_ERROR_NOT_SUPPORTED, after_calls=after_calls)


def fail_temperature(machine: SimulatedNvml, after_calls: int) -> None:
    """The temperature fails with an unknown error."""
    machine.fail(TEMPERATURE, pynvml.NVML_ERROR_UNKNOWN, after_calls=after_calls)


def fail_clock(machine: SimulatedNvml, after_calls: int) -> None:
    """The clock fails with an unknown error."""
    machine.fail("nvmlDeviceGetClockInfo", pynvml.NVML_ERROR_UNKNOWN, after_calls=after_calls)


TEMPERATURE = "nvmlDeviceGetTemperature"


def fail_all_but_energy(machine: SimulatedNvml, after_calls: int) -> None:
    """Everything except the energy fails with an unknown error."""
    for function in STATES:
        machine.fail(function, pynvml.NVML_ERROR_UNKNOWN, after_calls=after_calls)
    for field in (POWER_AVERAGE, POWER_INSTANT, *THROTTLES):
        machine.fail(
            "nvmlDeviceGetFieldValues",
            pynvml.NVML_ERROR_IN_USE,
            field=field,
            after_calls=after_calls,
        )


STATES = (
    TEMPERATURE,
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetApplicationsClock",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetViolationStatus",
)


def mend(machine: SimulatedNvml) -> None:
    """Undo every fault."""
    machine.recover()
    machine.stop_throttling()
    machine.configure(
        power_limit_mw=75_000, process_count=0, max_clock_mhz=PROFILES["turing"].max_clock_mhz
    )


LOST, FAILED = ReasonCode.DEVICE_LOST, ReasonCode.METER_FAILED
MOMENTS = ("before", "opening", "inside", "closing", "after")
FAULTS: dict[Callable[[SimulatedNvml, int], None], tuple[ReasonCode | None, ...]] = {
    # the reason if the fault comes before the window, at its opening edge, inside it, …
    lose: (LOST, LOST, LOST, LOST, None),
    break_down: (FAILED, FAILED, FAILED, FAILED, None),
    withdraw: (FAILED, FAILED, FAILED, FAILED, None),
    forbid: (FAILED, FAILED, FAILED, FAILED, None),
    reset: (None, None, ReasonCode.COUNTER_RESET, ReasonCode.COUNTER_RESET, None),
    intrude: (*[ReasonCode.CONTENDED] * 4, None),
    overheat: (*[ReasonCode.THROTTLED] * 4, None),
    cap: (*[ReasonCode.POWER_LIMIT_CHANGED] * 4, None),
    hide_processes: (None,) * 5,  # a remark; see below
    hide_temperature: (None,) * 5,
    fail_temperature: (None,) * 5,
    fail_clock: (None,) * 5,
    fail_all_but_energy: (None,) * 5,
    reclock: (*[ReasonCode.CLOCKS_CHANGED] * 4, None),
}


@pytest.mark.parametrize("change", [cap, reclock], ids=lambda change: change.__name__)
def test_settings_that_the_test_changed_are_accepted(
    quick: tuple[SimulatedNvml, Meter], change: Callable[[SimulatedNvml, int], None]
) -> None:
    """Until they change once more; those that are restored must be accepted again."""
    machine, meter = quick
    assert isinstance(meter, Adjustable)
    try:
        change(machine, 0)
        meter.accept_settings()
        reading, true_j = run_window(machine, meter)
        assert reading.valid
        assert_true(reading, true_j)
    finally:
        mend(machine)
    assert not run_window(machine, meter)[0].valid
    meter.accept_settings()
    assert run_window(machine, meter)[0].valid


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_at_every_moment_has_its_outcome_and_the_session_goes_on(
    quick: tuple[SimulatedNvml, Meter], fault: Callable[[SimulatedNvml, int], None], moment: str
) -> None:
    """A fault makes the window invalid for the right reason, or leaves it right; the next is fine.

    Faults of a call strike at an edge after the call that reads the state there.
    """
    machine, meter = quick
    try:
        if moment in ("before", "opening"):
            fault(machine, 1 if moment == "opening" else 0)

        def inside() -> None:
            if moment in ("inside", "closing"):
                fault(machine, int(moment == "closing"))

        reading, true_j = run_window(machine, meter, inside)
        if moment == "after":
            fault(machine, 0)
    finally:
        mend(machine)
    expected = FAULTS[fault][MOMENTS.index(moment)]
    assert fatal_codes(reading) == ({expected} if expected else set())
    assert reading.valid == (expected is None)
    if expected is None:
        assert_true(reading, true_j)
    assert all(energy_j > 0 for energy_j in reading.channels.values())
    following, true_j = run_window(machine, meter)
    assert following.valid
    assert_true(following, true_j)


@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_UNKNOWN,  # by the driver of WSL2
        pynvml.NVML_ERROR_NOT_READY,
    ],
)
def test_unlisted_processes_are_not_taken_for_none(
    quick: tuple[SimulatedNvml, Meter], code: int
) -> None:
    """The window is valid, with a remark that other processes would go unnoticed."""
    machine, meter = quick
    machine.fail("nvmlDeviceGetComputeRunningProcesses", code)
    machine.add_process(4_000_000)
    reading, _ = run_window(machine, meter)
    mend(machine)
    assert reading.valid
    assert [reason.code for reason in reading.reasons] == [ReasonCode.PROCESSES_UNKNOWN]


def test_more_power_than_the_limit_is_not_believed(quick: tuple[SimulatedNvml, Meter]) -> None:
    """A mean power of twice the limit is implausible."""
    machine, meter = quick
    edge = meter.begin()
    with machine.load(150.0):
        time.sleep(WINDOW_S)
    assert fatal_codes(meter.end(edge)) == {ReasonCode.IMPLAUSIBLE_POWER}


@pytest.mark.parametrize(("capability", "fatal"), [((7, 5), True), ((9, 0), False)])
def test_a_difference_of_counter_and_samples_is_reported(
    capability: tuple[int, int], fatal: bool
) -> None:
    """The counter samples only the troughs of a load; fatal if the samples cover the full time."""
    sensed_s = 0.05
    card = replace(
        PROFILES["turing"],
        compute_capability=capability,
        counter_window_s=0.002,  # the last fifth of each tick
        power_update_s=sensed_s,
        instant_window_s=sensed_s,
        sample_count=200,
    )
    with virtual_machine(card) as machine:
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        edge = meter.begin()
        tick_s = card.counter_tick_s or 0.0
        into_s = (machine.now_s() - card.counter_phase_s) % tick_s
        with machine.pulsed_load(60.0, 20.0, tick_s, 0.5, into_s):
            time.sleep(22 * sensed_s)
        reading = meter.end(edge)
        meter.close()
    (reason,) = [r for r in reading.reasons if r.code is ReasonCode.SENSOR_DISAGREEMENT]
    assert reason.fatal == fatal
    assert reading.valid == (not fatal)
    assert "by the counter" in reason.message


@pytest.mark.parametrize("lag_s", [0.1, 0.3])
def test_work_before_the_first_window_does_not_hide_a_late_counter(
    lag_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program warms up before its first window: its joules must not be taken for the rest's."""
    card = replace(PROFILES["turing"], counter_lag_s=lag_s)
    with virtual_machine(card) as machine:
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(60.0))
        meter = open_meter("nvml", NO_TRACES)
        with machine.load(60.0):
            time.sleep(1.0)
        meter.end(meter.begin())
        details = meter.info.details
        meter.close()
    late_s = [details["gpu0.delay_s"], details["gpu0.lag_s"]]
    assert sum(s for s in late_s if isinstance(s, float)) == pytest.approx(lag_s, rel=0.03)


@pytest.mark.parametrize("lag_s", [0.1, 0.3])
def test_what_is_late_of_work_between_windows_is_not_in_a_window(
    lag_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may work until a window begins; without such work, no window waits for it."""
    card = replace(PROFILES["turing"], counter_lag_s=lag_s)
    with virtual_machine(card) as machine:
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(60.0))
        meter = open_meter("nvml", NO_TRACES)
        meter.end(meter.begin())
        for work_s in (0.0, 1.0, 0.0, 0.2, 0.0):
            if work_s:
                with machine.load(60.0):
                    time.sleep(work_s)
            called_s = time.perf_counter()
            edge = meter.begin()
            waited_s = edge.time_s - called_s
            with machine.load(60.0):
                time.sleep(1.0)
            reading = meter.end(edge)
            true_j = machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)
            assert sum(reading.channels.values()) == pytest.approx(true_j, rel=0.02)
            assert (waited_s > 4 * lag_s) == (work_s > 0)
        meter.close()


@pytest.mark.parametrize("short_s", [0.0, 0.05, 0.2])
def test_a_window_shorter_than_the_lag_of_its_counter_is_right_and_so_is_the_next(
    short_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more can come late of a load than its joules, though the lag is longer than the load."""
    card = replace(PROFILES["turing"], counter_lag_s=0.3)
    with virtual_machine(card) as machine:
        monkeypatch.setattr(opening, "torch_load", lambda devices: lambda: machine.load(60.0))
        meter = open_meter("nvml", NO_TRACES)
        for length_s in (short_s, 1.0, short_s, 1.0):
            edge = meter.begin()
            with machine.load(60.0):
                time.sleep(length_s)
            reading = meter.end(edge)
            true_j = machine.true_energy_j(edge.time_s, edge.time_s + reading.duration_s)
            if length_s > 0:
                assert reading.channels["gpu0"] == pytest.approx(true_j, rel=0.02, abs=0.15)
            else:
                assert not reading.valid
        meter.close()


def test_running_at_the_power_limit_is_a_remark_and_valid(
    quick: tuple[SimulatedNvml, Meter],
) -> None:
    """A GPU at its power limit works as intended: a remark, not a fatal reason."""
    machine, meter = quick
    machine.throttle(pynvml.nvmlClocksEventReasonSwPowerCap)
    reading, _ = run_window(machine, meter)
    mend(machine)
    assert reading.valid
    assert {reason.code for reason in reading.reasons} == {ReasonCode.THROTTLED}
