"""Measure several candidates in turn: blocks of windows in the order ABBA.

What the machine does to all candidates (temperature, clocks) cancels in their ratios, and so does a
linear drift within a block. All windows have the same number of passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from pytest_energy.clocks import CLOCK
from pytest_energy.measuring.protocol import (
    ATTEMPTS,
    LATE,
    Finished,
    Forecast,
    Measure,
    MeasuredWindow,
    Plan,
    Progress,
    Size,
    Synchronize,
    Work,
    cuts,
    finish,
    forecast,
    is_lost,
    size_rounds,
    warm_up,
)
from pytest_energy.model.measurement import Round
from pytest_energy.uncertainty.candidates import WINDOWS_PER_BLOCK

FEWEST_BLOCKS: Final = 2
"""A ratio needs two blocks, or it has no scatter. The time limit leaves no fewer."""

Around = Mapping[str, Callable[[], AbstractContextManager[object]]]
"""Makes the context in which a candidate runs, such as one that sets a flag."""
Walk = dict[str, MeasuredWindow]
"""One window of each candidate, in the order in which they were measured."""


def alternate(
    works: Mapping[str, Work],
    plan: Plan,
    measure: Measure,
    *,
    around: Around = MappingProxyType({}),
    synchronize: Synchronize = lambda: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[Forecast], None] = lambda forecast: None,
    spent_j: Callable[[], float | None] = lambda: None,
    clock: Callable[[], float] = lambda: CLOCK.perf_counter(),
) -> dict[str, Finished]:
    """Warm up each candidate, then measure block after block.

    As in :func:`~pytest_energy.measuring.protocol.run_rounds`, first windows that end far too early
    are dropped and measured again with enough passes.

    Args:
        works: Runs passes, by candidate.
        plan: How much to run; its rounds are the windows of each candidate, an even number.
        measure: Runs passes inside a window.
        around: By candidate, what is entered before its warm-up and each window, and left after.
        synchronize: Waits for the passes of the warm-up.
        watch: Called before the warm-up and before each window.
        announce: Called after the warm-up, before the first window.
        spent_j: Joules since some moment before, for the forecast.
        clock: Measures the warm-up, in seconds.

    Returns:
        The windows of each candidate in the order of the blocks, two of each block.
    """
    watch(Progress(0, plan.rounds, plan.passes, None))
    before_j, before_s = spent_j(), clock()
    latencies_s = []
    for name, work in works.items():
        with _around(around, name):
            latencies_s.append(warm_up(work, plan, synchronize, clock))
    size = size_blocks(plan, latencies_s)
    warmed_s = clock() - before_s
    announce(forecast(size, sum(latencies_s), (before_j, spent_j()), warmed_s))

    def walk(order: Iterable[str], size: Size) -> Walk:
        windows: Walk = {}
        for name in order:
            with _around(around, name):
                windows[name] = measure(works[name], size.passes)
        return windows

    watch(Progress(1, size.rounds, size.passes, None))
    walks = [walk(works, size)]
    for _ in range(ATTEMPTS):
        enough = _enough_passes(plan, size, walks[0])
        if enough.passes == size.passes:
            break
        size = enough
        walks = [walk(works, size)]
    while len(walks) < size.rounds and not _ends(walks, plan.max_time_s):
        watch(_progress(walks, size))
        order = list(works)[::-1] if len(walks) % WINDOWS_PER_BLOCK else works
        walks.append(walk(order, size))
    return {name: _finished([walk[name] for walk in walks], plan, size) for name in works}


def size_blocks(plan: Plan, latencies_s: Sequence[float]) -> Size:
    """Return the passes of every window: the fastest candidate fills its window.

    To meet the time limit, passes are cut, but to no shorter window than the meter resolves; then
    blocks, but to no fewer than :data:`FEWEST_BLOCKS`.

    Args:
        plan: How much to run.
        latencies_s: Seconds per pass of each candidate.
    """
    unlimited = replace(plan, max_time_s=None)
    shortest = replace(unlimited, window_s=0.0)
    wanted = max(size_rounds(unlimited, latency_s).passes for latency_s in latencies_s)
    least = max(size_rounds(shortest, latency_s).passes for latency_s in latencies_s)
    walk_s = sum(latencies_s)
    if plan.max_time_s is None or walk_s <= 0:
        return Size(wanted, plan.rounds, wanted)
    within = plan.max_time_s / walk_s * (1 + 1e-9)  # passes, whatever division rounds off
    passes = min(wanted, max(int(within / plan.rounds), least))
    blocks = max(int(within / passes) // WINDOWS_PER_BLOCK, FEWEST_BLOCKS)
    return Size(passes, min(plan.rounds, WINDOWS_PER_BLOCK * blocks), wanted)


def _around(around: Around, name: str) -> AbstractContextManager[object]:
    return around.get(name, nullcontext)()


def _enough_passes(plan: Plan, size: Size, walk: Walk) -> Size:
    """What the plan comes to by the first windows; ``size`` if these had enough passes."""
    rounds = [window.round for window in walk.values()]
    enough = size_blocks(plan, [done.duration_s / done.passes for done in rounds])
    too_short = min(done.duration_s for done in rounds) < plan.shortest_window_s
    wanted = enough.passes >= 2 * size.passes or (too_short and enough.passes > size.passes)
    return enough if wanted and not any(map(is_lost, rounds)) else size


def _rounds(walks: Sequence[Walk]) -> list[Round]:
    return [window.round for walk in walks for window in walk.values()]


def _ends(walks: Sequence[Walk], max_time_s: float | None) -> bool:
    """Whether a device was lost, or no further block fits into the time limit."""
    if any(map(is_lost, _rounds(walks[-1:]))):
        return True
    blocks, begun = divmod(len(walks), WINDOWS_PER_BLOCK)
    if begun or blocks < FEWEST_BLOCKS or max_time_s is None:
        return False
    spent_s = sum(done.duration_s for done in _rounds(walks))
    return spent_s * (blocks + 1) / blocks > LATE * max_time_s


def _progress(walks: Sequence[Walk], size: Size) -> Progress:
    rounds = _rounds(walks)
    known = [done.energy_j for done in rounds if done.energy_j is not None]
    left_s = sum(done.duration_s for done in rounds) / len(walks) * (size.rounds - len(walks))
    energy_j = sum(known) if known else None
    return Progress(len(walks) + 1, size.rounds, size.passes, energy_j, left_s)


def _finished(windows: Sequence[MeasuredWindow], plan: Plan, size: Size) -> Finished:
    return finish(windows, cuts(plan, size, [window.round for window in windows]))
