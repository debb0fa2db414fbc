"""Counters that are late and see a tail, beside others, and where they fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from pytest_energy.meters.nvml import driver
from pytest_energy.meters.nvml.devices.selection import select_devices
from pytest_energy.meters.nvml.devices.sensors import counter_of
from pytest_energy.meters.nvml.driver import SensorError
from pytest_energy.meters.nvml.sources.counter_source import CounterSource
from pytest_energy.meters.nvml.sources.joules import Joules
from pytest_energy.meters.nvml.span import Span
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.testing import PROFILES, Profile, SimulatedNvml, Tail
from pytest_energy.uncertainty.gum import combine, expand
from tests.virtual import virtual_machine

PROMPT = replace(
    PROFILES["hopper"], tail=Tail(fast_share=0.6, fast_s=0.02, slow_share=0.1, slow_s=2.0)
)
LATE = replace(PROMPT, counter_lag_s=0.07)
LENGTH_S = 1.013


@contextmanager
def source_of(*cards: Profile) -> Iterator[tuple[SimulatedNvml, CounterSource]]:
    """The counters of simulated cards, tried with a load of the meter's own."""
    with virtual_machine(*cards) as machine:
        driver.start()
        try:
            devices = select_devices(None)
            found = {f"gpu{number}": counter_of(device) for number, device in enumerate(devices)}
            source = CounterSource({channel: read_j for channel, read_j in found.items() if read_j})
            source.probe(lambda: loading(machine, len(cards), 400.0))
            yield machine, source
        finally:
            driver.stop()


@contextmanager
def loading(machine: SimulatedNvml, devices: int, power_w: float) -> Iterator[None]:
    """A load on all devices."""
    with ExitStack() as stack:
        for device in range(devices):
            stack.enter_context(machine.load(power_w, device))
        yield


QUICK = replace(PROMPT, counter_tick_s=0.02)
PAIRS = [(LATE, PROMPT), (PROMPT, LATE), (LATE, QUICK), (QUICK, LATE), (PROMPT, QUICK)]


@pytest.mark.parametrize("cards", [*PAIRS, (QUICK, PROMPT)])
def test_counters_of_several_kinds_are_each_measured_without_tail(cards: tuple[Profile]) -> None:
    """Each is tried with the loads that show what it does; and their ticks may differ."""
    with source_of(*cards) as (machine, source):
        if QUICK not in cards:
            assert all(source.full_time(channel) for channel in source.channels)
        for number in range(3):
            opening = source.begin()
            time.sleep(0.03 * number)
            began_s = time.perf_counter()
            with loading(machine, 2, 350.0):
                time.sleep(LENGTH_S)
            ended_s = time.perf_counter()
            ended = source.end(opening, Span(began_s, ended_s - began_s))
            for device, joules in enumerate(ended.values()):
                assert isinstance(joules, Joules)
                true_j = machine.true_energy_j(began_s, ended_s, device)
                assert abs(joules.energy_j - true_j) <= expand(combine(joules.budget.values()))
                assert joules.energy_j == pytest.approx(
                    true_j, rel=2e-2 if QUICK in cards else 6e-3
                )


@pytest.mark.parametrize("after_s", [0.12, 0.22])
@pytest.mark.parametrize("at_opening", [True, False])
def test_a_reset_between_the_ticks_at_an_edge_is_told(at_opening: bool, after_s: float) -> None:
    """Three ticks are read at each edge, and the counter may be reset between two of them."""
    with source_of(LATE) as (machine, source):
        if at_opening:
            machine.reset_counter(at_s=machine.now_s() + after_s)
        opening = source.begin()
        began_s = time.perf_counter()
        with machine.load(350.0):
            time.sleep(LENGTH_S)
        if not at_opening:
            machine.reset_counter(at_s=machine.now_s() + after_s)
        window = Span(began_s, time.perf_counter() - began_s)
        failed = source.end(opening, window)["gpu0"]
        assert isinstance(failed, SensorError)
        assert failed.reason.code is ReasonCode.COUNTER_RESET


@pytest.mark.parametrize("tick_s", [0.8, 1.0])
def test_a_counter_that_ticks_as_rarely_as_the_load_lasts_is_tried(tick_s: float) -> None:
    """No tick may come while the first load runs."""
    with source_of(replace(PROFILES["hopper"], counter_tick_s=tick_s)) as (_, source):
        details = source.details()
    assert details["gpu0.lag_s"] == details["gpu0.delay_s"] == 0.0


def test_a_counter_that_is_too_late_has_no_joules() -> None:
    """The meter's own load does not last long enough to tell how late it is."""
    with source_of(replace(PROMPT, counter_lag_s=0.6)) as (machine, source):
        opening = source.begin()
        began_s = time.perf_counter()
        with machine.load(350.0):
            time.sleep(5.0)
        failed = source.end(opening, Span(began_s, time.perf_counter() - began_s))["gpu0"]
    assert isinstance(failed, SensorError)
    assert "more than 0.32 s late" in str(failed)
