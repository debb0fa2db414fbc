"""Power samples that fail: the driver's ring refuses them, or their collector dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pynvml
import pytest

from pytest_energy.meters import helper_process as companion
from pytest_energy.meters.base import Meter, MeterRequest, Reading
from pytest_energy.meters.registry import open_meter
from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.traces import decode
from pytest_energy.testing import PROFILES, Profile, SimulatedNvml
from tests.virtual import virtual_machine

COUNTED = replace(PROFILES["turing"], power_update_s=0.02, instant_window_s=0.02, sample_count=1000)
SAMPLED = replace(PROFILES["pascal"], sample_count=1000)
WINDOW_S = 0.25
GAP = ReasonCode.DATA_GAP


@contextmanager
def opened(card: object) -> Iterator[tuple[SimulatedNvml, Meter]]:
    """A machine with this card, and an open meter with traces."""
    with virtual_machine(card) as machine:  # type: ignore[arg-type]
        meter = open_meter("nvml", MeterRequest(wait_idle_s=0.1))
        yield machine, meter
        meter.close()


def window(
    machine: SimulatedNvml, meter: Meter, inside: Callable[[], object] = lambda: None
) -> Reading:
    """Measure a loaded window."""
    edge = meter.begin()
    inside()
    with machine.load(60.0):
        time.sleep(WINDOW_S)
    return meter.end(edge)


def refuse(machine: SimulatedNvml, after_calls: int) -> None:
    """The driver's ring fails with an unknown error."""
    calls = 2 * after_calls  # the bindings ask for the number first, then for the samples
    machine.fail("nvmlDeviceGetSamples", pynvml.NVML_ERROR_UNKNOWN, after_calls=calls)


def kill(machine: SimulatedNvml, after_calls: int) -> None:
    """The helper process dies."""
    os.kill(helper_pid(), signal.SIGKILL)


def stop(machine: SimulatedNvml, after_calls: int) -> None:
    """The helper process no longer answers."""
    os.kill(helper_pid(), signal.SIGSTOP)
    companion.ANSWER_S = 0.1  # no answer comes, however long one waits


def helper_pid() -> int:
    """The helper process."""
    return STARTED[-1]


STARTED: list[int] = []
"""The PIDs of a test's helper processes."""


@pytest.fixture(autouse=True)
def _note_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what is started; a fork has the command line of the process that it comes from."""
    start = companion.HelperProcess.__init__

    def noted(self: companion.HelperProcess, module: str, arguments: Sequence[str]) -> None:
        start(self, module, arguments)
        STARTED.append(self._process.pid)

    STARTED.clear()
    monkeypatch.setattr(companion.HelperProcess, "__init__", noted)


MOMENTS = ("before", "opening", "inside", "closing", "after")
FAULTS: dict[Callable[[SimulatedNvml, int], None], tuple[ReasonCode | None, ...]] = {
    # the remark if the fault comes before the window, at its opening edge, inside it, …
    refuse: (GAP, GAP, GAP, None, None),  # the ring is read once at the closing edge
    kill: (GAP, GAP, GAP, GAP, None),
    stop: (GAP, GAP, GAP, GAP, None),
}


@pytest.fixture(autouse=True)
def _usual_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a fault does to the time limit of an answer."""
    monkeypatch.setattr(companion, "ANSWER_S", companion.ANSWER_S)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_counted_joules_outlive_their_trace(
    fault: Callable[[SimulatedNvml, int], None], moment: str
) -> None:
    """At any moment: the joules stay valid, the gap is a remark, and the session continues."""
    with opened(COUNTED) as (machine, meter):
        at_edge = int(moment in ("opening", "closing"))
        if moment == "before" or (moment == "opening" and fault is refuse):
            fault(machine, at_edge)

        def inside() -> None:
            if moment in ("inside", "closing") or (moment == "opening" and fault is not refuse):
                fault(machine, at_edge)

        reading = window(machine, meter, inside)
        if moment == "after":
            fault(machine, 0)
        machine.recover()
        following = window(machine, meter)
    expected = FAULTS[fault][MOMENTS.index(moment)]
    assert [(r.code, r.fatal) for r in reading.reasons] == ([(expected, False)] if expected else [])
    assert bool(reading.traces) == (expected is None)
    assert reading.valid
    assert following.valid
    assert bool(following.traces) == (fault is refuse)


def test_samples_that_end_early_in_a_long_window_leave_joules_and_trace() -> None:
    """An epoch of 75 minutes, whose last sample covers more time than a bucket can hold."""
    with opened(COUNTED) as (machine, meter):
        edge = meter.begin()
        with machine.load(60.0):
            time.sleep(WINDOW_S)
        reading = meter.end(replace(edge, start=edge.start - 4500, time_s=edge.time_s - 4500))
    assert [reason.code for reason in reading.reasons if not reason.fatal] == [GAP]
    # The load of a second is not seen in 75 minutes.
    assert {reason.code for reason in reading.reasons if reason.fatal} == {ReasonCode.DEVICE_IDLE}
    assert reading.channels["gpu0"] > 0
    (trace,) = reading.traces
    lasts_s = sum(bucket.duration_s for bucket in decode(trace).buckets)
    assert lasts_s == pytest.approx(reading.duration_s, abs=1e-5)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_sampled_joules_do_not(fault: Callable[[SimulatedNvml, int], None]) -> None:
    """Without counter and samples, the joules are missing, never zero."""
    with opened(SAMPLED) as (machine, meter):
        reading = window(machine, meter, lambda: fault(machine, 0))
    assert GAP in {reason.code for reason in reading.reasons if reason.fatal}
    assert not reading.channels


@pytest.mark.parametrize("card", [COUNTED, SAMPLED], ids=["counted", "sampled"])
def test_samples_outlive_a_window_that_was_interrupted(card: Profile) -> None:
    """A window that was never ended takes no samples from later ones."""
    with opened(card) as (machine, meter):
        for _ in range(2):
            meter.begin()
            reading = window(machine, meter)
            assert reading.valid
            assert reading.traces
            assert GAP not in {reason.code for reason in reading.reasons}


def test_samples_of_a_window_inside_another_are_its_own() -> None:
    """The outer window has a reason for its missing samples; the next one has all of its own."""
    with opened(COUNTED) as (machine, meter):
        outer = meter.begin()
        inner, reading = window(machine, meter), meter.end(outer)
        following = window(machine, meter)
    assert inner.traces
    assert [reason.code for reason in reading.reasons] == [GAP]
    assert "a later window took them" in reading.reasons[0].message
    assert following.traces
