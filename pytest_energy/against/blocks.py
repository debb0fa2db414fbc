"""A block: a fresh pair of sides walks the tests in step, their rounds in alternation.

A fresh pair draws anew what a process draws once: the placement of memory, the choice of
algorithms, the clocks. Within a test both sides are warm and alive, so that a drift which is slower
than a round hits both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Final, Literal

from pytest_energy.against.messages import SideRun, Started, Waiting
from pytest_energy.against.side import Side, SideFailedError, SidePlan
from pytest_energy.model.comparison import SideName

ABBA: Final = (0, 1, 1, 0)
"""Whose turn it is: each side is first as often as second, so a steady drift cancels."""


@dataclass(frozen=True)
class Paired:
    """One test, measured once on both sides."""

    first: SideName
    base: SideRun
    head: SideRun
    alternated: Literal["rounds", "runs"] = "rounds"


Take = Callable[[str, Paired | SideFailedError], None]
"""Takes what one test gave, or why it gave nothing."""


@dataclass(frozen=True)
class Pair:
    """How to start the two sides. In a control both are the base."""

    base: SidePlan
    head: SidePlan
    watch_start: Callable[[Started, Started], None] = lambda base, head: None
    """Told what each side found when it started."""

    def plan(self, name: SideName) -> SidePlan:
        """How to start one of them."""
        return self.base if name == "base" else self.head


def walk(
    pair: Pair,
    tests: Sequence[str],
    whole_runs: set[str],
    draw: Random,
    take: Take,
    watch: Callable[[str], None] = lambda test: None,
) -> None:
    """Measure each test once on both sides.

    After a side has crashed or hung, a fresh pair measures the tests after it.

    Args:
        pair: The sides.
        tests: Their ids.
        whole_runs: The tests for which the device does not hold both sides; further ones that are
            found are added. Of these, whole runs alternate, one process at a time.
        draw: Draws which side begins.
        take: Takes each result.
        watch: Told which test begins, outside every window.
    """
    left = [test for test in tests if test not in whole_runs]
    while left:
        left = _walk_one_pair(pair, left, whole_runs, draw, take, watch)
    for test in tests:
        if test in whole_runs:
            watch(test)
            take(test, _take_turns(pair, test, _first(draw)))


def _walk_one_pair(
    pair: Pair,
    tests: Sequence[str],
    whole_runs: set[str],
    draw: Random,
    take: Take,
    watch: Callable[[str], None],
) -> list[str]:
    """Walk until a pair is spoilt; return the tests that are left."""
    left = list(tests)
    with _started(pair) as sides:
        while left:
            test = left.pop(0)
            watch(test)
            try:
                done = _alternate(sides, _first(draw), test, left[0] if left else None)
            except SideFailedError as error:
                take(test, error)
                return left
            if done.base.out_of_memory or done.head.out_of_memory:
                whole_runs.add(test)
                return left
            take(test, done)
    return left


@contextmanager
def _started(pair: Pair) -> Iterator[dict[SideName, Side]]:
    """Both sides: they import at the same time, then open their meters one after the other."""
    with ExitStack() as stack:
        base = Side.start(pair.base)
        stack.callback(base.close)
        head = Side.start(pair.head)
        stack.callback(head.close)
        pair.watch_start(base.open(), head.open())
        yield {"base": base, "head": head}


def _first(draw: Random) -> SideName:
    return draw.choice(("base", "head"))


def _order(first: SideName) -> tuple[SideName, SideName]:
    return ("base", "head") if first == "base" else ("head", "base")


def _alternate(
    sides: dict[SideName, Side], first: SideName, test: str, following: str | None
) -> Paired:
    """Let the sides prepare the test, then work in turns, until both have ended it."""
    order = _order(first)
    runs = {name: sides[name].run(test, following) for name in order}
    waiting = [run for run in runs.values() if isinstance(run, Waiting)]
    # Whatever disturbs a warm-up lengthens it, so the side that plans more passes saw a pass best.
    passes = max((run.passes for run in waiting), default=1)
    for turn in cycle(ABBA):
        name = order[turn]
        if isinstance(runs[name], Waiting):
            runs[name] = sides[name].go_on(passes)
        if not any(isinstance(run, Waiting) for run in runs.values()):
            break
    return _paired(first, runs)


def walk_alone(
    plan: SidePlan,
    tests: Sequence[str],
    take: Callable[[str, SideRun | SideFailedError], None],
    watch: Callable[[str], None] = lambda test: None,
) -> None:
    """Measure each test once on one side, without any other.

    After the side has crashed or hung, a fresh one measures the tests after it.

    Args:
        plan: How to start the side.
        tests: Their ids.
        take: Takes each result.
        watch: Told which test begins, outside every window.
    """
    left = list(tests)
    while left:
        with _alone(plan) as side:
            broken = False
            while left and not broken:
                test = left.pop(0)
                watch(test)
                try:
                    take(test, _to_the_end(side, test, left[0] if left else None))
                except SideFailedError as error:
                    take(test, error)
                    broken = True


def _take_turns(pair: Pair, test: str, first: SideName) -> Paired | SideFailedError:
    """Run the test on one side alone, then on the other."""
    try:
        runs = {name: run_alone(pair.plan(name), test) for name in _order(first)}
    except SideFailedError as error:
        return error
    return _paired(first, runs, "runs")


def run_alone(plan: SidePlan, test: str, visit: int = 1) -> SideRun:
    """Measure one test in a fresh process of its own.

    Args:
        plan: How to start it.
        test: Its id.
        visit: How often the test is measured, this time included.

    Raises:
        SideFailedError: The process crashed or hung.
        UsageError: It cannot be started.
    """
    with _alone(plan) as side:
        return _to_the_end(side, test, None, visit)


@contextmanager
def _alone(plan: SidePlan) -> Iterator[Side]:
    side = Side.start(plan)
    try:
        side.open()
        yield side
    finally:
        side.close()


def _to_the_end(side: Side, test: str, following: str | None, visit: int = 1) -> SideRun:
    done = side.run(test, following, visit)
    while isinstance(done, Waiting):
        done = side.go_on(done.passes)
    return done


def _paired(
    first: SideName,
    runs: Mapping[SideName, SideRun | Waiting],
    alternated: Literal["rounds", "runs"] = "rounds",
) -> Paired:
    base, head = runs["base"], runs["head"]
    assert isinstance(base, SideRun)
    assert isinstance(head, SideRun)
    return Paired(first, base, head, alternated)
