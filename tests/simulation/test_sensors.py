"""The readings of the simulated sensors, compared with arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pynvml
import pytest

from pytest_energy.simulation.profiles import (
    ADA,
    GA100,
    GRACE_HOPPER,
    HOPPER,
    PASCAL,
    PROFILES,
    VOLTA,
)
from pytest_energy.testing import SimulatedNvml, SimulationError, Tail

ENERGY, AVERAGE, INSTANT = 83, 185, 186


@pytest.fixture
def start():
    """Create a machine on a virtual clock that only `advance` moves."""
    machines = []

    def make(*profiles):
        machine = SimulatedNvml(*profiles, virtual_clock=True, call_cost_s=0.0).__enter__()
        machines.append(machine)
        pynvml.nvmlInit()
        machine.advance(-machine.now_s() % 1.0)  # to a tick of all that tick ten times a second
        return machine, pynvml.nvmlDeviceGetHandleByIndex(0)

    yield make
    for machine in reversed(machines):
        machine.__exit__(None, None, None)


def field(handle, wanted):
    """One field value: a number, or a number and a scope."""
    [value] = pynvml.nvmlDeviceGetFieldValues(handle, [wanted])
    return value


def energy_j(handle):
    """The counter."""
    return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3


def usage_w(handle):
    """The power that `nvidia-smi` shows."""
    return pynvml.nvmlDeviceGetPowerUsage(handle) / 1e3


@pytest.mark.parametrize("name", PROFILES)
def test_a_card_says_what_it_is(start, name):
    """Name, architecture, limit and UUID are those of the profile; two boards have two UUIDs."""
    profile = PROFILES[name]
    _, handle = start(profile, replace(profile, seed=7))
    assert pynvml.nvmlDeviceGetName(handle) == profile.name
    assert pynvml.nvmlDeviceGetArchitecture(handle) == profile.architecture
    assert pynvml.nvmlDeviceGetCudaComputeCapability(handle) == profile.compute_capability
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) == profile.power_limit_w * 1e3
    assert pynvml.nvmlDeviceGetMemoryInfo(handle).total == profile.memory_bytes
    other = pynvml.nvmlDeviceGetHandleByIndex(1)
    assert pynvml.nvmlDeviceGetCount() == 2
    assert pynvml.nvmlDeviceGetUUID(handle) != pynvml.nvmlDeviceGetUUID(other)


def test_a_board_is_found_by_index_uuid_and_bus(start):
    """Each name of a device leads to it, and an unknown name gives "not found"."""
    start("ada", "ada")
    second = pynvml.nvmlDeviceGetHandleByIndex(1)
    uuid = pynvml.nvmlDeviceGetUUID(second)
    bus_id = pynvml.nvmlDeviceGetPciInfo(second).busId
    for handle in (
        pynvml.nvmlDeviceGetHandleByUUID(uuid),
        pynvml.nvmlDeviceGetHandleByPciBusId(bus_id),
    ):
        assert pynvml.nvmlDeviceGetIndex(handle) == 1
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetHandleByUUID("GPU-0")
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlDeviceGetHandleByIndex(2)


def test_the_counter_moves_on_ticks_only(start):
    """Between ticks it stands still; at a tick it has all energy up to there."""
    machine, handle = start(HOPPER)
    before_j = energy_j(handle)
    machine.set_power(400.0)
    machine.advance(0.099)
    assert energy_j(handle) == before_j
    machine.advance(0.001)
    assert energy_j(handle) == pytest.approx(before_j + 40.0, abs=1e-3)


def test_the_counter_ticks_in_its_phase(start):
    """With a phase of 30 ms, the ticks are 30 ms after each full tenth of a second."""
    machine, handle = start(replace(HOPPER, counter_phase_s=0.03))
    before_j = energy_j(handle)
    machine.advance(0.029)
    assert energy_j(handle) == before_j
    machine.advance(0.001)
    assert energy_j(handle) == pytest.approx(before_j + 0.1 * HOPPER.idle_w, abs=1e-3)


def test_a_part_time_counter_takes_its_window_for_the_whole(start):
    """A square wave that is high whenever the counter samples is counted as always high."""
    machine, handle = start(replace(GA100, counter_window_s=0.025))
    before_j = energy_j(handle)
    begun_s = machine.set_pulses(300.0, 100.0, period_s=0.1, duty=0.25, phase_s=0.025)
    machine.advance(10.0)
    assert machine.true_energy_j(begun_s, machine.now_s()) == pytest.approx(1500.0)
    assert energy_j(handle) - before_j == pytest.approx(3000.0, abs=1e-2)


@pytest.mark.parametrize(
    ("profile", "instant_w", "usage_w_expected", "average_w"),
    [
        # 50 ms after a rise from idle to 200 W: the share of each window that saw it
        (VOLTA, 200.0, 200.0, None),
        (GA100, 200.0, 200.0, None),
        (ADA, (20.0 + 200.0) / 2, 0.95 * 20.0 + 0.05 * 200.0, 0.95 * 20.0 + 0.05 * 200.0),
        (HOPPER, 200.0, 0.95 * 70.0 + 0.05 * 200.0, 0.95 * 70.0 + 0.05 * 200.0),
    ],
    ids=["volta", "ga100", "ada", "hopper"],
)
def test_power_is_the_mean_of_its_window(start, profile, instant_w, usage_w_expected, average_w):
    """Instant power, `nvmlDeviceGetPowerUsage` and field 185 each have their own window."""
    machine, handle = start(profile)
    machine.advance(0.05)
    machine.set_power(200.0)
    machine.advance(0.05)
    assert field(handle, INSTANT).value.uiVal == pytest.approx(instant_w * 1e3, abs=1)
    assert usage_w(handle) == pytest.approx(usage_w_expected, abs=1e-3)
    average = field(handle, AVERAGE)
    if average_w is None:
        assert average.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
    else:
        assert average.value.uiVal == pytest.approx(average_w * 1e3, abs=1)


def test_power_changes_on_updates_only(start):
    """Between two updates the sensor repeats its value and its time stamp."""
    machine, handle = start(GA100)
    before = field(handle, INSTANT)
    machine.set_power(350.0)
    machine.advance(0.099)
    assert field(handle, INSTANT).timestamp == before.timestamp
    assert usage_w(handle) == GA100.idle_w
    machine.advance(0.001)
    assert field(handle, INSTANT).timestamp == before.timestamp + 100_000
    assert usage_w(handle) == 350.0


def test_a_board_s_gain_is_in_all_it_says(start):
    """On a board that reads 5 % too high, counter, power and samples are all 5 % too high."""
    machine, handle = start(replace(HOPPER, gain=1.05))
    before_j = energy_j(handle)
    machine.set_power(200.0)
    machine.advance(2.0)
    assert energy_j(handle) - before_j == pytest.approx(420.0, abs=1e-2)
    assert usage_w(handle) == 210.0
    _, samples = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    assert samples[-1].sampleValue.uiVal == 210_000


def test_the_ring_keeps_the_latest_samples(start):
    """120 entries, one for each sensor update, oldest first, and only those newer than a time."""
    machine, handle = start(HOPPER)
    machine.advance(60.0)
    machine.set_power(500.0)
    machine.advance(1.0)
    kind, samples = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    assert kind == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    stamps = [sample.timeStamp for sample in samples]
    assert len(stamps) == 120
    assert {after - before for before, after in pairwise(stamps)} == {100_000}
    assert [sample.sampleValue.uiVal for sample in samples] == [70_000] * 110 + [500_000] * 10
    _, newer = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, stamps[-4])
    assert [sample.timeStamp for sample in newer] == stamps[-3:]
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, stamps[-1])


def test_fields_answer_one_by_one(start):
    """In one batch, a missing field has its code, and the others have values of their type."""
    _, handle = start(PASCAL)
    energy, instant, unknown = pynvml.nvmlDeviceGetFieldValues(handle, [ENERGY, INSTANT, 9999])
    assert energy.nvmlReturn == unknown.nvmlReturn == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert instant.nvmlReturn == pynvml.NVML_SUCCESS
    assert instant.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)


def test_scopes_are_the_gpu_the_module_and_the_memory(start):
    """A Grace Hopper's module draws more than its GPU, and its memory less; Ada has neither."""
    machine, handle = start(GRACE_HOPPER, ADA)
    machine.set_power(400.0)
    machine.advance(1.0)
    scopes = [(INSTANT, scope) for scope in (0, 1, 2)]
    values = pynvml.nvmlDeviceGetFieldValues(handle, scopes)
    assert [value.value.uiVal for value in values] == [400_000, 500_000, 80_000]
    assert usage_w(handle) == 500.0
    ada = pynvml.nvmlDeviceGetHandleByIndex(1)
    codes = [value.nvmlReturn for value in pynvml.nvmlDeviceGetFieldValues(ada, scopes)]
    assert codes == [0, pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NOT_SUPPORTED]


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        (pynvml.nvmlClocksEventReasonSwPowerCap, 74),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, 269),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, 270),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, 271),
    ],
)
def test_throttled_time_is_counted_by_reason(start, reason, number):
    """A quarter of two seconds throttled adds half a second to the counter of the reason."""
    machine, handle = start(HOPPER)
    machine.throttle(reason, share=0.25)
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle) == reason
    machine.advance(2.0)
    machine.stop_throttling()
    machine.advance(5.0)
    assert field(handle, number).value.ullVal == pytest.approx(500_000_000, abs=10)
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle) == 0
    others = {74, 269, 270, 271} - {number}
    assert all(field(handle, other).value.ullVal == 0 for other in others)


def test_violation_status_is_the_same_time(start):
    """The older interface also gives the throttled time of a policy in nanoseconds."""
    machine, handle = start(HOPPER)
    machine.throttle(pynvml.nvmlClocksEventReasonSwPowerCap)
    machine.advance(1.5)
    status = pynvml.nvmlDeviceGetViolationStatus(handle, pynvml.NVML_PERF_POLICY_POWER)
    assert status.violationTime == pytest.approx(1_500_000_000, abs=10)


def test_mig_instances_have_no_sensor_of_their_own(start):
    """The card counts its energy; its instances are devices without a counter."""
    start("mig")
    card = pynvml.nvmlDeviceGetHandleByIndex(0)
    assert pynvml.nvmlDeviceGetCount() == 1
    assert pynvml.nvmlDeviceGetMigMode(card) == [1, 1]
    assert energy_j(card) > 0
    instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, 1)
    assert pynvml.nvmlDeviceIsMigDeviceHandle(instance).value == 1
    assert pynvml.nvmlDeviceGetUUID(instance).startswith("MIG-")
    assert pynvml.nvmlDeviceGetGpuInstanceId(instance) == 2
    parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance)
    assert pynvml.nvmlDeviceGetUUID(parent) == pynvml.nvmlDeviceGetUUID(card)
    for read in (pynvml.nvmlDeviceGetTotalEnergyConsumption, pynvml.nvmlDeviceGetPowerUsage):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            read(instance)
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(card, 2)


def test_what_a_device_is_can_change(start):
    """Temperature, clocks and limit have the values that the test sets."""
    machine, handle = start(HOPPER)
    machine.configure(temperature_c=83, clock_mhz=(900, 900, 2619, 800), power_limit_mw=350_000)
    assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) == 83
    assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM) == 900
    assert pynvml.nvmlDeviceGetPowerManagementLimit(handle) == 350_000
    assert pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) == 700_000


def load_for_a_second(machine, power_w):
    """Rest for a second, draw a power for another; return when it ended."""
    machine.advance(1.0)
    with machine.load(power_w):
        machine.advance(1.0)
    return machine.now_s()


def test_a_tail_follows_a_load(start):
    """After a load, both parts of the tail fall exponentially to the power before it."""
    tail = Tail(fast_share=0.5, fast_s=0.02, slow_share=0.1, slow_s=2.0)
    machine, _ = start(replace(HOPPER, tail=tail, idle_w=70.0))
    ended_s = load_for_a_second(machine, 470.0)
    fallen_j = 200 * 0.02 * -math.expm1(-5) + 40 * 2.0 * -math.expm1(-0.05)
    assert machine.true_energy_j(ended_s, ended_s + 0.1) == pytest.approx(7.0 + fallen_j)


@pytest.mark.parametrize("late", [{"counter_lag_s": 0.1}, {"counter_delay_s": 0.1}])
def test_a_late_counter_shows_all_joules_in_the_end(start, late):
    """At a load's end a tenth of a second of it is missing, and nothing two seconds later."""
    machine, handle = start(replace(HOPPER, **late))
    began_s, began_j = machine.now_s(), energy_j(handle)

    def missing_j():
        return machine.true_energy_j(began_s, machine.now_s()) - (energy_j(handle) - began_j)

    load_for_a_second(machine, 470.0)
    assert missing_j() == pytest.approx(40.0, abs=0.1)
    machine.advance(2.0)
    assert missing_j() == pytest.approx(0.0, abs=0.1)


def test_a_late_power_sensor_averages_the_past(start):
    """A delayed sensor reads the power of so long ago; a lagging one falls exponentially."""
    delayed, handle = start(replace(VOLTA, power_delay_s=0.1))
    load_for_a_second(delayed, 300.0)
    delayed.advance(0.08)
    assert usage_w(handle) == pytest.approx(300.0)
    delayed.advance(0.06)
    assert usage_w(handle) == pytest.approx(40.0)
    lagging, handle = start(replace(VOLTA, power_lag_s=0.1))
    load_for_a_second(lagging, 300.0)
    lagging.advance(0.1)
    mean_w = 40 + 260 * 0.1 * (math.exp(-0.9) - math.exp(-1)) / 0.01
    assert usage_w(handle) == pytest.approx(mean_w, rel=1e-3)


def test_ticks_jitter_about_their_period(start):
    """Jittered ticks come within their bound, and not all at the same distance."""
    machine, handle = start(replace(HOPPER, counter_jitter_s=0.005))
    moments_s, value_j = [], energy_j(handle)
    for _ in range(10_000):
        machine.advance(2e-4)
        if (now_j := energy_j(handle)) != value_j:
            moments_s.append(machine.now_s())
            value_j = now_j
    off_s = [(moment_s + 0.05) % 0.1 - 0.05 for moment_s in moments_s]
    assert all(abs(moment_s) <= 0.0055 for moment_s in off_s)
    assert max(off_s) - min(off_s) > 0.004


def test_a_recording_is_replayed(start):
    """A recorded load repeats and ends with its last sample; then come its tail and the rest."""
    machine, _ = start("hopper")
    machine.record([100.0, 200.0, 300.0, 90.0, 80.0], 0.1)
    began_s = machine.now_s()
    with machine.replayed_load(range(3), range(3, 5), 70.0, 0.5):
        machine.advance(0.5)
    machine.advance(1.0)
    powers_w = [
        machine.true_energy_j(began_s + 0.1 * i, began_s + 0.1 * (i + 1)) / 0.1 for i in range(9)
    ]
    assert powers_w == pytest.approx([200, 300, 100, 200, 300, 90, 80, 70, 70])


def test_a_recording_that_does_not_fit_is_refused(start):
    """The error says how many samples a device holds."""
    machine, _ = start("hopper")
    with pytest.raises(SimulationError, match="40000 samples does not fit; a device holds 32768"):
        machine.record([1.0] * 40_000, 0.001)


def test_a_second_low_pass_takes_its_share_of_the_joules(start):
    """The power that a sensor shows late is the sum of what both of them show."""
    card = replace(ADA, power_lag_s=0.1)
    second = replace(card, power_second_lag_s=0.4, power_second_share=0.25)
    machine, handle = start(second, card, replace(card, power_lag_s=0.4))
    others = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in (1, 2)]
    for number in range(3):
        machine.set_power(320.0, device=number)
    machine.advance(0.5)
    shown_w, first_w, second_w = (field(h, INSTANT).value.uiVal * 1e-3 for h in (handle, *others))
    assert second_w < shown_w < first_w < 320.0
    assert shown_w == pytest.approx(0.75 * first_w + 0.25 * second_w, abs=0.01)


def test_stamps_of_samples_are_early_and_late(start):
    """By no more than the jitter, and the samples themselves are the same."""
    machine, handle = start(ADA)
    machine.advance(12.0)
    _, exact = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    machine.configure(sample_jitter_ns=500_000)
    _, jittered = pynvml.nvmlDeviceGetSamples(handle, pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    late_us = [b.timeStamp - a.timeStamp for a, b in zip(exact, jittered, strict=True)]
    assert -500 <= min(late_us) < -300
    assert 300 < max(late_us) <= 500
    assert [s.sampleValue.uiVal for s in exact] == [s.sampleValue.uiVal for s in jittered]
