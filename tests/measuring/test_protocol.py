"""The amount of work: warm-up, passes, rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.errors import UsageError
from pytest_energy.measuring.protocol import (
    LATE,
    MARGIN,
    Finished,
    Forecast,
    Plan,
    Progress,
    Size,
    Work,
    run_rounds,
    size_rounds,
)
from pytest_energy.measuring.window import Window
from pytest_energy.model.measurement import Reason, ReasonCode, Round


@dataclass
class Passes:
    """Records the passes of each call."""

    calls: list[int] = field(default_factory=list)

    def __call__(self, passes: int) -> None:
        self.calls.append(passes)


def measure(work: Work, passes: int) -> Window:
    """A window with 2 J per pass."""
    work(passes)
    return Window(Round(start=0, duration_s=1, passes=passes, energy_j=2.0 * passes))


def test_passes_are_warmed_up_and_then_measured_round_by_round() -> None:
    """Each round is one energy window, after at least one pass of warm-up."""
    passes = Passes()
    finished = run_rounds(passes, Plan(passes=10_000, rounds=3), measure)
    assert passes.calls == [1, 10_000, 10_000, 10_000]
    assert [measured.passes for measured in finished.rounds] == [10_000] * 3
    assert finished.reasons == ()


def test_progress_is_reported_before_each_round() -> None:
    """Progress has the round, its passes, and the joules of the rounds before."""
    updates: list[Progress] = []
    run_rounds(Passes(), Plan(passes=5, rounds=2), measure, watch=updates.append)
    assert [replace(update, left_s=None) for update in updates] == [
        Progress(0, 2, 5, None),
        Progress(1, 2, 5, None),
        Progress(2, 2, 5, 10.0),
    ]


def test_progress_says_how_long_it_will_take() -> None:
    """First by the warm-up, then by the rounds so far."""
    queue = Queue(Clock(), pass_s=0.1)
    queue.run(Plan(passes=20, rounds=3, warmup_s=1.0))
    left_s = [update.left_s for update in queue.updates]
    assert left_s == [None, pytest.approx(6.0), pytest.approx(4.0), pytest.approx(2.0)]


def test_a_forecast_comes_before_the_first_round() -> None:
    """Seconds by the latency, joules by the power of the warm-up."""
    queue = Queue(Clock(), pass_s=0.1)
    queue.run(Plan(passes=20, rounds=3, warmup_s=1.0))
    (forecast,) = queue.forecasts
    assert forecast == Forecast(pytest.approx(6.0), pytest.approx(6.0 * POWER_W))
    assert queue.announced_after == [1, 2, 4, 8]


def test_a_lost_device_ends_the_rounds() -> None:
    """After a device is lost nothing more runs; what was measured stays."""
    reason = Reason(code=ReasonCode.DEVICE_LOST, message="gpu0 fell off the bus")

    def measure_lost(work: Work, passes: int) -> Window:
        return Window(Round(start=0, duration_s=1, passes=1, energy_j=None, reasons=[reason]))

    finished = run_rounds(Passes(), Plan(passes=1, rounds=3), measure_lost)
    assert len(finished.rounds) == 1


@pytest.mark.parametrize(("pass_s", "rounds"), [(1 / 128, 64), (0.25, 24), (4.0, 3)])
def test_rounds_end_early_once_they_are_enough(pass_s: float, rounds: int) -> None:
    """Short ones are all run, and slow ones are few; that is no remark."""
    plan = Plan(None, 64, max_time_s=100.0, window_s=1 / 128, enough_rounds=3, enough_s=6.0)
    finished = Queue(Clock(), pass_s=pass_s).run(plan)
    assert len(finished.rounds) == rounds
    assert finished.reasons == ()


def test_a_time_limit_reduces_the_passes_and_says_so() -> None:
    """The result says how many passes ran, and which option caused it."""
    finished = Queue(Clock(), pass_s=1 / 128).run(Plan(1000, rounds=2, max_time_s=100 / 128))
    assert [measured.passes for measured in finished.rounds] == [50, 50]
    assert finished.reasons[0].code is ReasonCode.TIME_LIMIT
    assert not finished.reasons[0].fatal
    assert "ran 50 of 1000 passes per round" in finished.reasons[0].message


@dataclass
class Clock:
    """A clock that the test moves."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def test_the_warm_up_doubles_until_its_time_is_over() -> None:
    """The last and largest batch gives the latency for the plan."""
    clock = Clock()
    calls: list[int] = []

    def work(passes: int) -> None:
        calls.append(passes)
        clock.advance(passes * 0.1)

    run_rounds(work, Plan(passes=100, rounds=1, warmup_s=1.0), measure, clock=clock.now)
    assert calls == [1, 2, 4, 8, 100]


POWER_W = 300.0


@dataclass
class Queue:
    """A device that queues passes, and runs them only while the host waits."""

    clock: Clock
    pass_s: float
    first_s: float = 0.0
    """The extra time of the first pass."""
    queued: int = 0
    calls: list[int] = field(default_factory=list)
    updates: list[Progress] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)
    announced_after: list[int] = field(default_factory=list)

    def launch(self, passes: int) -> None:
        self.calls.append(passes)
        self.queued += passes

    def synchronize(self) -> None:
        self.clock.advance(self.queued * self.pass_s + self.first_s)
        self.queued, self.first_s = 0, 0.0

    def measure(self, work: Work, passes: int) -> Window:
        began_s = self.clock.now()
        work(passes)
        self.synchronize()
        took_s = self.clock.now() - began_s
        return Window(Round(start=0, duration_s=took_s, passes=passes, energy_j=1.0))

    def run(self, plan: Plan, agree: Callable[[int], int] | None = None) -> Finished:
        return run_rounds(
            self.launch,
            plan,
            self.measure,
            synchronize=self.synchronize,
            watch=self.updates.append,
            announce=self.announce,
            spent_j=lambda: POWER_W * self.clock.seconds,
            agree=agree,
            clock=self.clock.now,
        )

    def announce(self, forecast: Forecast) -> None:
        self.forecasts.append(forecast)
        self.announced_after = list(self.calls)


def test_the_warm_up_waits_for_the_device() -> None:
    """Fast queueing does not count as fast running: the time limit is met."""
    clock = Clock()
    finished = Queue(clock, pass_s=0.05).run(Plan(10_000, rounds=2, warmup_s=1, max_time_s=10))
    assert sum(measured.duration_s for measured in finished.rounds) <= 10 * 1.000001
    assert [reason.code for reason in finished.reasons] == [ReasonCode.TIME_LIMIT]


def test_a_window_too_short_is_measured_again_with_more_passes() -> None:
    """A slow first call misleads the warm-up; the short window is dropped."""
    queue = Queue(Clock(), pass_s=1 / 1024, first_s=0.25)
    finished = queue.run(Plan(20, rounds=3, warmup_s=0.1, shortest_window_s=0.125))
    assert queue.calls == [1, 20, 192, 192, 192]
    assert [measured.passes for measured in finished.rounds] == [192] * 3
    assert all(measured.duration_s >= 0.125 for measured in finished.rounds)


@pytest.mark.parametrize("passes", [None, 1, 10_000])
def test_a_clock_that_stands_still_ends_the_warm_up(passes: int | None) -> None:
    """Otherwise passes would be added for ever: nothing they do takes any time."""
    done = Passes()
    with pytest.raises(UsageError, match=r"16 passes took 0\.0e\+00 s.*without --virtual-clock"):
        run_rounds(done, Plan(passes, rounds=3, warmup_s=1.0), measure, clock=lambda: 5.0)
    assert done.calls == [1, 2, 4, 8, 16]


def test_passes_that_must_not_change_are_not_measured_again() -> None:
    """An epoch that is too short for the meter stays unchanged."""
    queue = Queue(Clock(), pass_s=0.01)
    queue.run(Plan(1, rounds=2, shortest_window_s=0.1, lengthen=False))
    assert queue.calls == [1, 1, 1]


latencies = st.floats(1e-6, 10)


@given(st.floats(1e-7, 100), st.floats(0.01, 100), st.floats(0.001, 10), st.floats(0.1, 1000))
def test_a_plan_by_time_keeps_the_limit_and_what_the_meter_resolves(
    latency_s: float, window_s: float, shortest_s: float, max_time_s: float
) -> None:
    """Rounds are cut before windows become too short; one pass and one round always run."""
    plan = Plan(None, 3, max_time_s=max_time_s, shortest_window_s=shortest_s, window_s=window_s)
    size = size_rounds(plan, latency_s)
    assert size.passes * latency_s >= MARGIN * shortest_s * 0.999999
    within = size.passes * size.rounds * latency_s <= max_time_s * 1.000001
    assert within or size.rounds == 1
    if size.passes == size.wanted:
        assert size.passes * latency_s >= min(window_s, latency_s) * 0.999999


@pytest.mark.parametrize(
    ("latency_s", "passes", "most"),
    [(2e-7, 25_000_000, None), (0.5, 10, None), (2.0, 3, None), (30.0, 1, None), (0.5, 4, 4)],
)
def test_a_round_has_the_passes_that_fill_the_window(
    latency_s: float, passes: int, most: int | None
) -> None:
    """At least one, and at most as many as were requested."""
    size = size_rounds(Plan(most, 3, window_s=5.0, max_time_s=600.0), latency_s)
    assert (size.passes, size.rounds, size.wanted) == (passes, 3, passes)


def test_a_compiler_in_the_first_call_misleads_nobody() -> None:
    """The first windows show how fast the passes are: one pass, then enough, within the limit."""
    queue = Queue(Clock(), pass_s=1 / 1024, first_s=60.0)
    finished = queue.run(Plan(None, rounds=3, warmup_s=2.0, window_s=5.0, max_time_s=100.0))
    assert [measured.passes for measured in finished.rounds] == [5120] * 3
    assert finished.reasons == ()


def test_a_call_longer_than_the_limit_says_how_long_it_was() -> None:
    """One always runs, so that nothing stayed within the limit."""
    queue = Queue(Clock(), pass_s=64.0)
    finished = queue.run(Plan(None, rounds=3, window_s=5.0, max_time_s=32.0))
    (reason,) = finished.reasons
    assert reason.message == (
        "ran 1 of 3 rounds, to stay within 32 s (--energy-max-time): even so it took 64 s"
    )


def test_passes_that_become_slower_stop_at_the_limit() -> None:
    """The plan was made for faster passes. A reason names the rounds that are not run."""
    clock = Clock()

    def work(passes: int) -> None:
        clock.advance(passes * (0.001 if clock.seconds < 0.5 else 1.0))

    def measure_slow(work: Work, passes: int) -> Window:
        began_s = clock.now()
        work(passes)
        return Window(Round(start=0, duration_s=clock.now() - began_s, passes=passes, energy_j=1.0))

    plan = Plan(None, 3, warmup_s=0.5, window_s=1.0, max_time_s=10.0)
    finished = run_rounds(work, plan, measure_slow, clock=clock.now)
    assert len(finished.rounds) == 1
    assert [reason.message.partition(",")[0] for reason in finished.reasons] == [
        "ran 1 of 3 rounds"
    ]


def test_processes_in_step_plan_by_their_shared_rounds() -> None:
    """No process trusts its own warm-up: the first window has one pass in all of them."""
    queue = Queue(Clock(), pass_s=0.5)
    finished = queue.run(Plan(None, rounds=2, window_s=5.0, in_step=True))
    assert queue.calls == [1, 1, 10, 10]
    assert [measured.passes for measured in finished.rounds] == [10, 10]


@pytest.mark.parametrize(("agreed", "rounds"), [(5, [5, 5]), (20, [20, 20])])
def test_processes_in_turn_agree_before_the_first_window(agreed: int, rounds: list[int]) -> None:
    """A compiler in the first call misleads nobody, and no window is measured again."""
    planned: list[int] = []

    def agree(passes: int) -> int:
        planned.append(passes)
        return agreed

    queue = Queue(Clock(), pass_s=0.5, first_s=60.0)
    finished = queue.run(Plan(None, rounds=2, window_s=5.0), agree)
    assert planned == [10]
    assert [measured.passes for measured in finished.rounds] == rounds
    assert queue.calls == [1, 1, 10, *rounds]


def test_epochs_are_not_agreed_upon() -> None:
    """Each is one pass, and none may run beside the measured ones."""
    queue = Queue(Clock(), pass_s=0.5)
    queue.run(Plan(1, rounds=2, window_s=5.0, lengthen=False), lambda passes: 7)
    assert queue.calls == [1, 1, 1]


@given(st.integers(1, 10_000), latencies, st.floats(0.01, 100))
def test_a_window_is_lengthened_to_what_the_meter_resolves(
    passes: int, latency_s: float, shortest_s: float
) -> None:
    """Without a time limit there are enough passes for the plan and for the meter."""
    chosen = size_rounds(Plan(passes, 3, shortest_window_s=shortest_s), latency_s).passes
    assert chosen >= passes
    assert chosen * latency_s >= shortest_s


@given(st.integers(1, 10_000), latencies, st.floats(0.01, 100), st.integers(1, 10))
def test_a_time_limit_is_kept(
    passes: int, latency_s: float, max_time_s: float, rounds: int
) -> None:
    """All rounds together meet the limit, unless even one pass per round does not."""
    size = size_rounds(Plan(passes, rounds, max_time_s=max_time_s), latency_s)
    in_time = size.passes * size.rounds * latency_s <= max_time_s * 1.000001
    assert in_time or (size.passes, size.rounds) == (1, 1)


@given(st.integers(1, 50), st.floats(0.1, 100))
def test_a_time_limit_reduces_the_rounds_if_passes_are_fixed(
    rounds: int, max_time_s: float
) -> None:
    """All epochs that fit are run, and at least one; the result says how many."""
    plan = Plan(passes=1, rounds=rounds, max_time_s=max_time_s, lengthen=False)
    finished = run_rounds(Passes(), plan, measure)
    assert len(finished.rounds) == max(1, min(rounds, int(max_time_s)))
    messages = [reason.message for reason in finished.reasons]
    cut = f"ran {len(finished.rounds)} of {rounds} rounds, to stay within {max_time_s:g} s"
    cut += " (--energy-max-time)"
    if LATE * max_time_s < 1:  # a single epoch
        cut += ": even so it took 1 s"
    assert messages == ([cut] if len(finished.rounds) < rounds else [])


def test_an_epoch_is_neither_stretched_nor_cut() -> None:
    """An epoch is one pass, whatever the meter or the time limit requires."""
    plan = Plan(1, 3, max_time_s=0.1, shortest_window_s=50, lengthen=False)
    assert size_rounds(plan, 1.0) == Size(passes=1, rounds=3, wanted=1)
