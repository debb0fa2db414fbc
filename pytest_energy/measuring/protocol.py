"""Decide how much to run: the warm-up, the passes per round, the rounds, and when to stop.

This module knows neither models nor meters: ``work(n)`` runs n passes, and ``measure(work, n)``
runs them inside one window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from pytest_energy.clocks import CLOCK
from pytest_energy.errors import UsageError, is_refusal
from pytest_energy.model.measurement import Reason, ReasonCode, Round, Trace

__tracebackhide__ = is_refusal

Work = Callable[[int], object]
"""Runs a number of passes one after the other; need not wait for the device."""
Synchronize = Callable[[], object]
"""Returns when the device has finished all queued work."""


class MeasuredWindow(Protocol):
    """The result of one window."""

    @property
    def round(self) -> Round:
        """The joules and seconds of the passes."""
        ...

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Power over time, one trace per channel."""
        ...

    def by_now(self) -> Round:
        """The round by what later windows have shown, too."""
        ...


Measure = Callable[[Work, int], MeasuredWindow]
"""Runs a number of passes inside one window."""


MARGIN: Final = 1.5
"""A round is planned longer than the shortest window: the warm-up's latency is an estimate."""
LATE: Final = 1.25
"""Rounds that take longer than the warm-up predicted are left out only beyond this many limits."""
ATTEMPTS: Final = 5
"""How often the first window is measured again, each time with at least twice the passes."""
FEW_PASSES: Final = 16
"""Passes that show whether the clock runs."""
SHOWS_POWER_S: Final = 0.5
"""A shorter warm-up has too few ticks of a counter, which are 0.1 s apart, to show the power."""
FASTEST_S: Final = 1e-8
"""No pass takes less: Python needs longer to make one call."""


@dataclass(frozen=True)
class Plan:
    """How much of a benchmark to run."""

    passes: int | None
    """Passes per round, at most if the plan has a :attr:`window_s`; ``None``: any number."""
    rounds: int
    warmup_s: float = 0.0
    """The warm-up runs passes until this time is over or one batch has as many as a round."""
    max_time_s: float | None = None
    """Time limit for all rounds together. To meet it, passes per round are cut, then rounds; at
    least one of each is run."""
    shortest_window_s: float = 0.0
    """The shortest window that the meter can resolve; a shorter round gets more passes."""
    lengthen: bool = True
    """Whether the passes per round may change; the single pass of training, an epoch, may not."""
    window_s: float | None = None
    """A round has as many passes as fill this time; ``None``: it has :attr:`passes`."""
    enough_rounds: int | None = None
    """With this, rounds end before all are done, once so many took :attr:`enough_s` seconds."""
    enough_s: float = 0.0
    in_step: bool = False
    """Whether several processes must plan alike: not by their own warm-up, but by the durations of
    the rounds, which they share."""


@dataclass(frozen=True)
class Size:
    """The work that a plan comes to, at a known latency."""

    passes: int
    """Passes per round."""
    rounds: int
    wanted: int
    """Passes per round without the time limit."""


@dataclass(frozen=True)
class Forecast:
    """What the rounds of a benchmark will cost, by its warm-up."""

    duration_s: float
    energy_j: float | None
    """``None`` if nothing measures."""


@dataclass(frozen=True)
class Progress:
    """The state of a running benchmark."""

    round: int
    """The round that begins, from 1; 0 during the warm-up."""
    rounds: int | None
    """``None`` if it is not known, as of windows that a test enters one by one."""
    passes: int | None
    """Passes per round; ``None`` before they are known."""
    energy_j: float | None
    """Joules of the rounds so far; ``None`` if there are none."""
    left_s: float | None = None
    """Seconds until the last round ends, or a window of which nobody knows how many follow;
    ``None`` before the warm-up or the first window has shown it."""


@dataclass(frozen=True)
class Finished:
    """The rounds of one benchmark."""

    rounds: tuple[Round, ...]
    traces: tuple[Trace, ...] = ()
    reasons: tuple[Reason, ...] = ()


def finish(windows: Sequence[MeasuredWindow], reasons: Iterable[Reason]) -> Finished:
    """The rounds of one benchmark after its last window, by what all of them have shown."""
    rounds = tuple(window.by_now() for window in windows)
    return Finished(
        rounds, tuple(trace for window in windows for trace in window.traces), tuple(reasons)
    )


@dataclass
class _Record:
    rounds: list[Round] = field(default_factory=list)
    """As they were when each ended."""
    windows: list[MeasuredWindow] = field(default_factory=list)

    def add(self, window: MeasuredWindow) -> None:
        self.rounds.append(window.round)
        self.windows.append(window)


def progress_of(
    done: Sequence[Round], size: Size, latency_s: float | None, max_time_s: float | None = None
) -> Progress:
    """The state before the next round.

    Args:
        done: The rounds so far.
        size: What the plan comes to.
        latency_s: Seconds per pass as long as there is no round; ``None`` without a warm-up.
        max_time_s: The time limit for all rounds.
    """
    known = [round_.energy_j for round_ in done if round_.energy_j is not None]
    if done:
        latency_s = sum(r.duration_s for r in done) / sum(r.passes for r in done)
    left_s = None if latency_s is None else time_left(done, size, latency_s, max_time_s)
    return Progress(len(done) + 1, size.rounds, size.passes, sum(known) if known else None, left_s)


def time_left(
    done: Sequence[Round], size: Size, latency_s: float, max_time_s: float | None
) -> float:
    """Seconds that the rounds take which will still run, within the time limit."""
    left = size.rounds - len(done)
    round_s = size.passes * latency_s
    if max_time_s is not None and round_s > 0:
        spent_s = sum(measured.duration_s for measured in done)
        fitting = int((max_time_s - spent_s) / round_s * (1 + 1e-9))
        left = min(left, max(fitting, 0 if done else 1))
    return left * round_s


def progress_of_windows(number: int, last: Round | None) -> Progress:
    """The state before a window that a test enters: it is expected to be as long as the last one.

    Args:
        number: The number of the window, from 1.
        last: The window of this name before it.
    """
    return Progress(number, None, None, None, last.duration_s if last else None)


def run_rounds(
    work: Work,
    plan: Plan,
    measure: Measure,
    *,
    synchronize: Synchronize = lambda: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[Forecast], None] = lambda forecast: None,
    spent_j: Callable[[], float | None] = lambda: None,
    agree: Callable[[int], int] | None = None,
    clock: Callable[[], float] = lambda: CLOCK.perf_counter(),
) -> Finished:
    """Warm up, then measure round after round.

    The first window may end far too early, if the passes of the warm-up were slower than those
    after it: a compiler ran, or a cache was filled. Then it is measured again with enough passes,
    and the short window is dropped. Processes that measure in turn agree on the passes before their
    first window, so none is dropped, and the windows of all have the same work.

    Args:
        work: Runs passes.
        plan: How much to run.
        measure: Runs passes inside a window.
        synchronize: Waits for the passes of the warm-up.
        watch: Called before the warm-up and before each round, outside every window.
        announce: Called after the warm-up, before the first round.
        spent_j: Joules since some moment before, for the forecast.
        agree: Takes the passes that this process plans for a round, and returns those that all
            processes that measure in turn run; ``None`` if it measures alone.
        clock: Measures the warm-up, in seconds.
    """
    watch(Progress(0, plan.rounds, plan.passes, None))
    before_j, before_s = spent_j(), clock()
    latency_s = warm_up(work, plan, synchronize, clock)
    size = size_rounds(plan, latency_s)
    limit_s = plan.max_time_s
    if plan.lengthen and limit_s is not None:
        limit_s *= LATE  # the passes were cut to meet the limit, so that the rounds need not be
    announce(forecast(size, latency_s, (before_j, spent_j()), clock() - before_s, limit_s))
    if plan.in_step and plan.lengthen:
        size = replace(size, passes=1, rounds=plan.rounds)
    if agree and plan.lengthen:
        size = rehearse(work, plan, size, synchronize, clock)
        size = replace(size, passes=agree(size.passes))
    record = _Record()
    watch(progress_of(record.rounds, size, latency_s, limit_s))
    window = measure(work, size.passes)
    for _ in range(0 if agree else ATTEMPTS):
        enough = enough_passes(plan, window.round)
        if enough.passes == window.round.passes:
            break
        size = enough
        window = measure(work, size.passes)
    record.add(window)
    while (
        len(record.rounds) < size.rounds
        and not are_enough(plan, record.rounds)
        and not is_lost(record.rounds[-1])
        and another_fits(record.rounds, limit_s)
    ):
        watch(progress_of(record.rounds, size, latency_s, limit_s))
        record.add(measure(work, size.passes))
    return finish(record.windows, cuts(plan, size, record.rounds))


def warm_up(work: Work, plan: Plan, synchronize: Synchronize, clock: Callable[[], float]) -> float:
    """Run batches of passes, each twice as large as the last, until ``plan.warmup_s`` is over.

    Returns:
        Seconds per pass in the last batch, which is the largest.

    Raises:
        UsageError: The clock does not advance.
    """
    passes = 1
    begin = clock()
    while True:
        before = clock()
        work(passes)
        synchronize()  # queueing passes takes less time than running them
        after = clock()
        check_clock(passes, after - before)
        seen = after - before >= FEW_PASSES * FASTEST_S
        if after - begin >= plan.warmup_s or (passes == plan.passes and seen):
            return (after - before) / passes
        passes = min(passes * 2, plan.passes or passes * 2) if seen else passes * 2


def check_clock(passes: int, duration_s: float) -> None:
    """Check that the clock runs while the processor works; a virtual one may stand still.

    Raises:
        UsageError: So many passes cannot be so fast.
    """
    if passes >= FEW_PASSES and duration_s < passes * FASTEST_S:
        raise UsageError(
            f"{passes} passes took {duration_s:.1e} s by the clock, which does not run while the"
            " processor works, so that no round would ever end; measure work of the CPU on the real"
            " clock: pytest-energy simulate without --virtual-clock"
        )


def rehearse(
    work: Work, plan: Plan, size: Size, synchronize: Synchronize, clock: Callable[[], float]
) -> Size:
    """Run rounds outside every window until they have enough passes.

    Returns:
        ``size``, or the larger one that fills the window.
    """
    for _ in range(ATTEMPTS):
        before = clock()
        work(size.passes)
        synchronize()
        enough = size_rounds(plan, (clock() - before) / size.passes)
        if enough.passes < 2 * size.passes:
            break
        size = enough
    return size


def size_rounds(plan: Plan, latency_s: float) -> Size:
    """Return the passes per round that fill the window, and what the time limit leaves of them.

    A round is never planned shorter than the meter resolves: rather than that, rounds are cut.
    """
    if not plan.lengthen or latency_s <= 0:
        passes = plan.passes or 1
        return Size(passes, plan.rounds, passes)
    least = max(math.ceil(MARGIN * plan.shortest_window_s / latency_s), 1)
    filling = plan.passes if plan.window_s is None else math.ceil(plan.window_s / latency_s)
    wanted = max(min(filling or 1, plan.passes or filling or 1), least)
    if plan.max_time_s is None:
        return Size(wanted, plan.rounds, wanted)
    within = plan.max_time_s / latency_s * (1 + 1e-9)  # passes, whatever division rounds off
    passes = min(wanted, max(int(within / plan.rounds), least))
    return Size(passes, min(plan.rounds, max(int(within / passes), 1)), wanted)


def enough_passes(plan: Plan, measured: Round) -> Size:
    """Return what the plan comes to by a measured round; its own passes if they were enough."""
    size = size_rounds(plan, measured.duration_s / measured.passes)
    too_short = measured.duration_s < plan.shortest_window_s and size.passes > measured.passes
    if is_lost(measured) or not (too_short or size.passes >= 2 * measured.passes):
        return replace(size, passes=measured.passes)
    return size


def forecast(
    size: Size,
    latency_s: float,
    spent_j: tuple[float | None, float | None],
    warmed_s: float,
    max_time_s: float | None = None,
) -> Forecast:
    """Expect the latency and the power of the warm-up, which took ``warmed_s``."""
    duration_s = time_left([], size, latency_s, max_time_s)
    before_j, after_j = spent_j
    if before_j is None or after_j is None or warmed_s < SHOWS_POWER_S:
        return Forecast(duration_s, None)
    return Forecast(duration_s, (after_j - before_j) / warmed_s * duration_s)


def forecast_by_rounds(
    done: Sequence[Round], size: Size, max_time_s: float | None = None
) -> Forecast:
    """Expect further rounds like those so far, of which there is at least one."""
    spent_s = sum(measured.duration_s for measured in done)
    latency_s = spent_s / sum(measured.passes for measured in done)
    duration_s = spent_s + time_left(done, size, latency_s, max_time_s)
    joules = [measured.energy_j for measured in done if measured.energy_j is not None]
    if len(joules) < len(done) or spent_s <= 0:
        return Forecast(duration_s, None)
    return Forecast(duration_s, sum(joules) / spent_s * duration_s)


def are_enough(plan: Plan, done: Sequence[Round]) -> bool:
    """Whether a plan that ends early has enough rounds."""
    if plan.enough_rounds is None or len(done) < plan.enough_rounds:
        return False
    return sum(measured.duration_s for measured in done) >= plan.enough_s


def another_fits(done: Sequence[Round], max_time_s: float | None) -> bool:
    """Whether one more round of mean length would end in time; the first round always does."""
    if max_time_s is None or not done:
        return True
    spent_s = sum(measured.duration_s for measured in done)
    return spent_s + spent_s / len(done) <= max_time_s


def fewer_rounds(asked: int, done: Sequence[Round], max_time_s: float | None) -> tuple[Reason, ...]:
    """Return a remark if rounds were left out to meet the time limit."""
    if max_time_s is None or len(done) >= asked or another_fits(done, max_time_s):
        return ()
    return _fewer(asked, done, max_time_s)


def cuts(plan: Plan, size: Size, done: Sequence[Round]) -> tuple[Reason, ...]:
    """Return remarks on passes and rounds that were left out to meet the time limit."""
    return (*_fewer_passes(plan, size), *_left_out(plan, done))


def _left_out(plan: Plan, done: Sequence[Round]) -> tuple[Reason, ...]:
    """Return a remark if planned rounds were left out: the only other cause is a lost device."""
    all_done = len(done) >= plan.rounds or are_enough(plan, done)
    if plan.max_time_s is None or all_done or is_lost(done[-1]):
        return ()
    return _fewer(plan.rounds, done, plan.max_time_s)


def _fewer_passes(plan: Plan, size: Size) -> tuple[Reason, ...]:
    """Return a remark if passes were left out to meet the time limit."""
    if plan.max_time_s is None or size.passes >= size.wanted:
        return ()
    return _cut(f"{size.passes} of {size.wanted} passes per round", plan.max_time_s)


def _fewer(asked: int, done: Sequence[Round], max_time_s: float) -> tuple[Reason, ...]:
    spent_s = sum(measured.duration_s for measured in done)
    # One round always runs, however long it is.
    longer = f": even so it took {spent_s:.4g} s" if spent_s > LATE * max_time_s else ""
    return _cut(f"{len(done)} of {asked} rounds", max_time_s, longer)


def _cut(ran: str, max_time_s: float, longer: str = "") -> tuple[Reason, ...]:
    message = f"ran {ran}, to stay within {max_time_s:g} s (--energy-max-time){longer}"
    return (Reason(code=ReasonCode.TIME_LIMIT, message=message, fatal=False),)


def is_lost(measured: Round) -> bool:
    """Whether a device was lost, so that nothing more can be measured."""
    return any(reason.code is ReasonCode.DEVICE_LOST for reason in measured.reasons)
