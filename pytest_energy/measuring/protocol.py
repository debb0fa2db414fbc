"""How much to run: warm-up, passes a round, rounds, and when to stop.

Knows neither models nor meters: ``work(n)`` runs n passes, ``measure(work, n)`` runs them inside
one window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_energy.model.measurement import Reason, ReasonCode, Round, Trace

Work = Callable[[int], object]
"""Runs so many passes one after the other; need not synchronise the device."""
Synchronize = Callable[[], object]
"""Returns when the device has done all that was queued."""


class MeasuredWindow(Protocol):
    """What one window gives."""

    @property
    def round(self) -> Round:
        """The joules and seconds of the passes."""
        ...

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Power against time, a trace a channel."""
        ...


Measure = Callable[[Work, int], MeasuredWindow]
"""Runs so many passes inside one window."""


@dataclass(frozen=True)
class Plan:
    """How much of a benchmark to run."""

    passes: int
    """Passes a round."""
    rounds: int
    warmup_s: float = 0.0
    """Warm up with passes, at least one, for this long or until a batch is as long as a round."""
    max_time_s: float | None = None
    """Bound on all rounds together: passes a round are cut, or rounds where a round's passes are
    fixed; one of each is run in any case."""
    shortest_window_s: float = 0.0
    """What the meter can resolve; more passes are run where the asked ones end before."""
    lengthen: bool = True
    """Whether the passes of a round may be changed; an epoch is neither stretched nor cut."""


@dataclass(frozen=True)
class Progress:
    """What is known in the middle of a benchmark, for whoever watches."""

    round: int
    """The round that begins, from 1; 0 during the warm-up."""
    rounds: int
    passes: int
    """Passes of each round."""
    energy_j: float | None
    """Joules of the rounds so far; ``None`` where no round has given any."""


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

    Where the first window ends too early, because the warm-up was slower than the passes after it,
    it is measured once more with as many passes as it takes, and the short one is dropped.

    Args:
        work: Runs passes.
        plan: How much of it.
        measure: Runs passes inside a window.
        synchronize: Waits for the passes of the warm-up.
        watch: Told before the warm-up and before each round, outside every window.
        clock: Tells how long the warm-up takes, in seconds.
    """
    watch(Progress(0, plan.rounds, plan.passes, None))
    latency_s = warm_up(work, plan, synchronize, clock)
    passes = passes_a_round(plan, latency_s)
    record = _Record()
    bound_s = None if plan.lengthen else plan.max_time_s
    while len(record.rounds) < plan.rounds and another_fits(record.rounds, bound_s):
        watch(Progress(len(record.rounds) + 1, plan.rounds, passes, record.energy_j()))
        window = measure(work, passes)
        if not record.rounds and (enough := enough_passes(plan, window.round)) > passes:
            passes = enough
            window = measure(work, passes)
        record.rounds.append(window.round)
        record.traces.extend(window.traces)
        if _lost(window.round):
            break
    cut = (*_fewer_passes(plan, passes), *fewer_rounds(plan.rounds, record.rounds, bound_s))
    return Finished(tuple(record.rounds), tuple(record.traces), cut)


def warm_up(work: Work, plan: Plan, synchronize: Synchronize, clock: Callable[[], float]) -> float:
    """Run passes, twice as many each time, until ``plan.warmup_s`` is over.

    Each batch is waited for: what is only queued says nothing about how long it takes.

    Returns:
        Seconds a pass, of the last and longest batch of passes.
    """
    passes = 1
    begin = clock()
    while True:
        before = clock()
        work(passes)
        synchronize()
        after = clock()
        if after - begin >= plan.warmup_s or passes >= plan.passes:
            return (after - before) / passes
        passes = min(passes * 2, plan.passes)


def passes_a_round(plan: Plan, latency_s: float) -> int:
    """The asked passes; more where the window would be too short, fewer where time is bounded."""
    passes = plan.passes
    if plan.lengthen and latency_s > 0:
        # A tenth more than the shortest window, since the warm-up's latency is only an estimate.
        passes = max(passes, -int(-1.1 * plan.shortest_window_s // latency_s))
    if plan.max_time_s is not None and plan.lengthen and latency_s > 0:
        passes = min(passes, int(plan.max_time_s / plan.rounds / latency_s))
    return max(passes, 1)


def enough_passes(plan: Plan, measured: Round) -> int:
    """The passes that a window takes by a measured one; as many as it had if it was long enough."""
    if measured.duration_s >= plan.shortest_window_s or _lost(measured):
        return measured.passes
    return passes_a_round(plan, measured.duration_s / measured.passes)


def another_fits(done: Sequence[Round], max_time_s: float | None) -> bool:
    """Whether one more round, as long as the mean of those so far, ends in time.

    The first one always does.
    """
    if max_time_s is None or not done:
        return True
    spent_s = sum(measured.duration_s for measured in done)
    return spent_s + spent_s / len(done) <= max_time_s


def fewer_rounds(asked: int, done: Sequence[Round], max_time_s: float | None) -> tuple[Reason, ...]:
    """The remark that rounds were left out to end in time; nothing where none were."""
    if max_time_s is None or len(done) >= asked or another_fits(done, max_time_s):
        return ()
    return _cut(f"{len(done)} of {asked} rounds", max_time_s)


def _fewer_passes(plan: Plan, passes: int) -> tuple[Reason, ...]:
    if plan.max_time_s is None or passes >= plan.passes:
        return ()
    return _cut(f"{passes} of {plan.passes} passes a round", plan.max_time_s)


def _cut(what: str, max_time_s: float) -> tuple[Reason, ...]:
    message = f"ran {what}, to stay within {max_time_s:g} s (--energy-max-time)"
    return (Reason(code=ReasonCode.TIME_LIMIT, message=message, fatal=False),)


def _lost(measured: Round) -> bool:
    return any(reason.code is ReasonCode.DEVICE_LOST for reason in measured.reasons)
