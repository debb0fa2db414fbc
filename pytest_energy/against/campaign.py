"""The comparison on one card: block after block, until everything is decided or a limit reached."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from pytest_energy.against.blocks import Pair, Paired, walk, walk_alone
from pytest_energy.against.comparing import Comparing, Last
from pytest_energy.against.contest import NO_COST, Cost
from pytest_energy.against.messages import SideRun, Started
from pytest_energy.against.side import SideFailedError
from pytest_energy.against.standing import Standing
from pytest_energy.model.result import Result
from pytest_energy.settings import Settings


@dataclass
class Campaign:
    """Runs screening and blocks on one card.

    Its methods wait for the sides, so each card has a thread of its own. ``lock`` guards what the
    comparisons of all cards have found, and is free while a side works.
    """

    settings: Settings
    pair: Pair
    comparing: Comparing
    draw: Random
    show: Callable[[Standing], object] = lambda standing: None
    """Takes the progress; called outside every window."""
    began_s: float | None = None
    """When the whole comparison began, by the clock; by default now."""
    clock: Callable[[], float] = time.monotonic
    spent_j: Callable[[], float | None] = lambda: None
    """The joules of the card since some moment; ``None`` if no meter knows. Outside windows."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _controls: list[str] | None = None
    _whole_runs: set[str] = field(default_factory=set)
    _spent_s: float = 0.0
    """In all blocks so far."""
    _tests: Cost = NO_COST
    """Of the tests of this block, so far."""
    _test_began: Cost = NO_COST
    """What had been spent when the last one began."""
    _walked: int = 0
    """Tests in all blocks so far."""

    def __post_init__(self) -> None:
        if self.began_s is None:
            self.began_s = self.clock()
        self.pair = replace(self.pair, watch_start=self._note_environments)

    @property
    def settled(self) -> bool:
        """Whether no further block is needed."""
        with self.lock:
            return not self.comparing.open_tests and not self.comparing.open_controls

    def screen(
        self, tests: Sequence[str], arguments: Sequence[str], post: Callable[[str], object]
    ) -> None:
        """Measure the head alone, for the committed baselines.

        Args:
            tests: Those that have a baseline.
            arguments: Further ones of the side.
            post: Told which test is measured.

        Raises:
            UsageError: The side cannot be started, or imports the wrong tree.
        """
        head = self.pair.head
        plan = replace(head, arguments=(*head.arguments, *arguments), alternates=False)
        number = count(1)

        def watch(test: str) -> None:
            doing = f"screening {next(number)} of {len(tests)} by the baselines"
            self.show(Standing(doing, 0, len(self.comparing.states), test))

        def take(test: str, done: SideRun | SideFailedError) -> None:
            with self.lock:
                self.comparing.take_screening(test, done)
            post(test)

        walk_alone(plan, tests, take, watch)

    def run(self, post: Callable[[Sequence[Result]], object]) -> None:
        """Measure block after block.

        Args:
            post: Takes the results that each block settled.

        Raises:
            UsageError: A side cannot be started, or imports the wrong tree.
        """
        while not self.settled:
            post(self.next_block())

    def next_block(self) -> list[Result]:
        """Measure one block, and look.

        Returns:
            The results that it settled.

        Raises:
            UsageError: A side cannot be started, or imports the wrong tree.
        """
        comparing = self.comparing
        comparing.block += 1
        before, self._tests = self._spent(), NO_COST
        tests = comparing.open_tests
        walk(self.pair, tests, self._whole_runs, self.draw, self._take, self._watch)
        self._walk_controls()
        block = self._spent() - before
        self._spent_s += block.duration_s
        self._walked += len(tests)
        with self.lock:
            self._count_permitted_blocks()
            comparing.shared = block - self._tests
            comparing.spent_s = self.clock() - (self.began_s or 0.0)
            return comparing.look(last=self._limit())

    def _spent(self) -> Cost:
        return Cost(self.clock(), self.spent_j())

    def _take(self, test: str, done: Paired | SideFailedError) -> None:
        cost = self._spent() - self._test_began
        self._tests += cost
        with self.lock:
            self.comparing.take(test, done, cost)

    def _take_control(self, test: str, done: Paired | SideFailedError) -> None:
        with self.lock:
            self.comparing.take_control(done, test)

    def _note_environments(self, base: Started, head: Started) -> None:
        with self.lock:
            self.comparing.note_start(base, head)

    def _walk_controls(self) -> None:
        comparing = self.comparing
        if self._controls is None:
            self._controls = tests = comparing.choose_controls(self.draw)
        else:
            tests = comparing.open_control_tests
        bases = replace(self.pair, head=self.pair.base, watch_start=lambda base, again: None)
        walk(
            bases,
            tests,
            self._whole_runs,
            self.draw,
            self._take_control,
            lambda test: self._show_test(f"control {test}"),
        )

    def _count_permitted_blocks(self) -> None:
        """Count the blocks that the limit of time permits if every test stays open."""
        limit_s = self.settings.against_time
        if limit_s is None or not self._walked:
            return
        block_s = self._spent_s / self._walked * len(self.comparing.states)
        # A block that has begun is finished.
        in_time = math.ceil(limit_s / block_s) if block_s > 0 else self.settings.against_blocks
        self.comparing.permitted_blocks = min(self.settings.against_blocks, in_time)

    def _limit(self) -> Last | None:
        """Why no block may follow."""
        if self.comparing.block >= self.settings.against_blocks:
            return "blocks"
        limit_s = self.settings.against_time
        if limit_s is not None and self.clock() - (self.began_s or 0.0) >= limit_s:
            return "comparison-time"
        return None

    def _watch(self, test: str) -> None:
        self._test_began = self._spent()
        self._show_test(test)

    def _show_test(self, test: str) -> None:
        """Show block, benchmark, what is decided and how long it takes."""
        comparing = self.comparing
        total, left = len(comparing.states), len(comparing.open_tests)
        most = self.settings.against_blocks
        doing = f"block {comparing.block} of at most {most}"
        block_s = self._spent_s / self._walked * left if self._walked else None
        most_s = None if block_s is None else block_s * (most - comparing.block + 1)
        if most_s is not None and (limit_s := self.settings.against_time) is not None:
            # A block that has begun is finished.
            left_s = max(0.0, limit_s - (self.clock() - (self.began_s or 0.0)))
            most_s = min(most_s, left_s + (block_s or 0.0))
        self.show(Standing(doing, total - left, total, test, block_s, most_s))
