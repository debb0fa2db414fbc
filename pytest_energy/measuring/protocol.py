"""Decide how much to run: the warm-up, the passes per round, the rounds, and when to stop.

This module knows neither models nor meters: ``work(n)`` runs n passes, and ``measure(work, n)``
runs them inside one window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_energy.model.measurement import Reason, ReasonCode, Round, Trace

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


Measure = Callable[[Work, int], MeasuredWindow]
"""Runs a number of passes inside one window."""


@dataclass(frozen=True)
class Plan:
    """How much of a benchmark to run."""

    passes: int
    """Passes per round."""
    rounds: int
    warmup_s: float = 0.0
    """The warm-up runs passes until this time is over or one batch has as many as a round."""
    max_time_s: float | None = None
    """Time limit for all rounds together. To meet it, passes per round are cut, or rounds if the
    passes per round are fixed; at least one of each is run."""
    shortest_window_s: float = 0.0
    """The shortest window that the meter can resolve; a shorter round gets more passes."""
    lengthen: bool = True
    """Whether the passes per round may change; the single pass of training, an epoch, may not."""


@dataclass(frozen=True)
class Progress:
    """The state of a running benchmark."""

    round: int
    """The round that begins, from 1; 0 during the warm-up."""
    rounds: int
    passes: int
    """Passes per round."""
    energy_j: float | None
    """Joules of the rounds so far; ``None`` if there are none."""


@dataclass(frozen=True)
class Finished:
    """The rounds of one benchmark."""

    rounds: tuple[Round, ...]
    traces: tuple[Trace, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass
class _Record:
    rounds: list[Round] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)

    def energy_j(self) -> float | None:
        known = [done.energy_j for done in self.rounds if done.energy_j is not None]
        return sum(known) if known else None


def run_rounds(
    work: Work,
    plan: Plan,
    measure: Measure,
    *,
    synchronize: Synchronize = lambda: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Finished:
    """Warm up, then measure round after round.

    The first window may end too early, if the passes of the warm-up were slower than those after
    it. Then it is measured again with enough passes, and the short window is dropped.

    Args:
        work: Runs passes.
        plan: How much to run.
        measure: Runs passes inside a window.
        synchronize: Waits for the passes of the warm-up.
        watch: Called before the warm-up and before each round, outside every window.
        clock: Measures the warm-up, in seconds.
    """
    watch(Progress(0, plan.rounds, plan.passes, None))
    latency_s = warm_up(work, plan, synchronize, clock)
    passes = passes_per_round(plan, latency_s)
    record = _Record()
    # Passes that may change are cut instead of rounds, before the first round.
    limit_s = None if plan.lengthen else plan.max_time_s
    while len(record.rounds) < plan.rounds and another_fits(record.rounds, limit_s):
        watch(Progress(len(record.rounds) + 1, plan.rounds, passes, record.energy_j()))
        window = measure(work, passes)
        if not record.rounds and (enough := enough_passes(plan, window.round)) > passes:
            passes = enough
            window = measure(work, passes)
        record.rounds.append(window.round)
        record.traces.extend(window.traces)
        if _lost(window.round):
            break
    cut = (*_fewer_passes(plan, passes), *fewer_rounds(plan.rounds, record.rounds, limit_s))
    return Finished(tuple(record.rounds), tuple(record.traces), cut)


def warm_up(work: Work, plan: Plan, synchronize: Synchronize, clock: Callable[[], float]) -> float:
    """Run batches of passes, each twice as large as the last, until ``plan.warmup_s`` is over.

    Returns:
        Seconds per pass in the last batch, which is the largest.
    """
    passes = 1
    begin = clock()
    while True:
        before = clock()
        work(passes)
        synchronize()  # queueing passes takes less time than running them
        after = clock()
        if after - begin >= plan.warmup_s or passes >= plan.passes:
            return (after - before) / passes
        passes = min(passes * 2, plan.passes)


def passes_per_round(plan: Plan, latency_s: float) -> int:
    """Return the planned passes; more to fill the shortest window, fewer to meet a time limit."""
    passes = plan.passes
    if plan.lengthen and latency_s > 0:
        # A tenth longer than the shortest window, since the latency of the warm-up is an estimate.
        passes = max(passes, -int(-1.1 * plan.shortest_window_s // latency_s))
    if plan.max_time_s is not None and plan.lengthen and latency_s > 0:
        passes = min(passes, int(plan.max_time_s / plan.rounds / latency_s))
    return max(passes, 1)


def enough_passes(plan: Plan, measured: Round) -> int:
    """Return how many passes make a window long enough, judged by a measured round."""
    if measured.duration_s >= plan.shortest_window_s or _lost(measured):
        return measured.passes
    return passes_per_round(plan, measured.duration_s / measured.passes)


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
    return _cut(f"{len(done)} of {asked} rounds", max_time_s)


def _fewer_passes(plan: Plan, passes: int) -> tuple[Reason, ...]:
    """Return a remark if passes were left out to meet the time limit."""
    if plan.max_time_s is None or passes >= plan.passes:
        return ()
    return _cut(f"{passes} of {plan.passes} passes per round", plan.max_time_s)


def _cut(ran: str, max_time_s: float) -> tuple[Reason, ...]:
    message = f"ran {ran}, to stay within {max_time_s:g} s (--energy-max-time)"
    return (Reason(code=ReasonCode.TIME_LIMIT, message=message, fatal=False),)


def _lost(measured: Round) -> bool:
    return any(reason.code is ReasonCode.DEVICE_LOST for reason in measured.reasons)
