"""Assign each test to a pytest-xdist worker, preferably on the board of the test's baseline.

Sensors of one GPU model differ between boards by more than the gate tolerates. So a benchmark can
be compared closely only on the board of its baseline. Benchmarks also take long: a worker holds
only the test that it runs and the next one, so that no worker is idle while tests wait elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.baseline_store import BaselineStore
from pytest_energy.model.measurement import test_of

AHEAD = 2
"""Tests that a worker holds: xdist runs a test only when it knows the next one, or the end."""


def boards_of_baselines(store: BaselineStore) -> dict[str, frozenset[str]]:
    """Return the boards of each test's baselines by the test's id.

    Baselines of several GPUs are left out, since a worker has one GPU.
    """
    boards: dict[str, set[str]] = {}
    for _, baseline in _baselines(store):
        match baseline.context.get("board"):
            case [str(board)]:
                boards.setdefault(test_of(baseline.id, baseline.kind), set()).add(board)
    return {test_id: frozenset(names) for test_id, names in boards.items()}


def seconds_of_baselines(store: BaselineStore) -> dict[str, float]:
    """Return the seconds of a round of each test, its windows together, by the test's id.

    If machines differ, the slowest counts.
    """
    by_machine: dict[tuple[str, str], float] = {}
    for slug, baseline in _baselines(store):
        if (round_s := baseline.round_s) is not None:
            key = (test_of(baseline.id, baseline.kind), slug)
            by_machine[key] = by_machine.get(key, 0.0) + round_s
    seconds: dict[str, float] = {}
    for (test_id, _), round_s in by_machine.items():
        seconds[test_id] = max(seconds.get(test_id, 0.0), round_s)
    return seconds


def _baselines(store: BaselineStore) -> list[tuple[str, Baseline]]:
    """Each baseline with the name of its machine."""
    try:
        return [(slug, baseline) for slug in store.slugs() for baseline in store.load_all(slug)]
    except EnergyError:
        return []  # the worker that measures reads the same files, and reports the error


@dataclass
class CardScheduling:
    """Assigns tests to workers one by one; implements xdist's ``Scheduling`` protocol."""

    workers: int
    """The number of workers at the start."""
    preferred: Mapping[str, frozenset[str]]
    """The boards of each test's baselines; a test without baselines runs anywhere."""
    boards: Mapping[str, str]
    """The board of each worker that has sent one, by the name of the worker."""
    _collected: dict[Any, list[str]] = field(default_factory=dict)
    _assigned: dict[Any, list[str]] = field(default_factory=dict)
    """The unfinished tests of each worker; the first one is running."""
    _waiting: list[str] | None = None
    """The tests without a worker; ``None`` until all workers have collected."""

    @property
    def nodes(self) -> list[Any]:
        """The workers that are running."""
        return list(self._assigned)

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers have sent their tests."""
        return len(self._collected) >= self.workers

    @property
    def has_pending(self) -> bool:
        """Whether a test is unfinished."""
        return bool(self._waiting) or any(self._assigned.values())

    @property
    def tests_finished(self) -> bool:
        """Whether every test is assigned, and every worker runs its last one or none."""
        assigned = self.collection_is_completed and not self._waiting
        return assigned and all(len(tests) < AHEAD for tests in self._assigned.values())

    def add_node(self, node: Any) -> None:
        """Add a worker that is ready."""
        self._assigned[node] = []

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take the tests that a worker has collected."""
        self._collected[node] = list(collection)

    def schedule(self) -> None:
        """Assign the first tests to every worker.

        Raises:
            pytest.UsageError: Two workers collected different tests.
        """
        if self._waiting is None:
            self._waiting = self._agreed()
            for node in self._by_preference():  # every worker gets one before any gets a second
                self._give(node, 1)
        for node in self.nodes:
            self._give(node, AHEAD)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Take a test from the worker that finished it, and assign another one."""
        self._assigned[node].remove(self._collected[node][item_index])
        self._give(node, AHEAD)

    def mark_test_pending(self, item: str) -> None:
        """Put a test back that must run once more."""
        self._return([item])

    def remove_node(self, node: Any) -> str | None:
        """Remove a worker that has ended, and put its waiting tests back.

        Returns:
            The test that the worker was running, if any.

        Raises:
            KeyError: The worker is unknown.
        """
        tests = self._assigned.pop(node)
        self._return(tests[1:])
        return tests[0] if tests else None

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Not needed: this scheduling never takes a test back from a running worker."""
        raise NotImplementedError

    def _agreed(self) -> list[str]:
        (first, tests), *others = self._collected.items()
        for node, collected in others:
            if collected != tests:
                raise pytest.UsageError(
                    f"workers {first.gateway.id} and {node.gateway.id} collected different tests:"
                    f" {sorted(set(tests) ^ set(collected)) or 'in another order'}"
                )
        return list(tests)

    def _by_preference(self) -> list[Any]:
        """Return the workers; those on preferred boards first, as there may be too few tests."""
        waiting = self._waiting or ()
        boards = set().union(*(self.preferred.get(test_id, ()) for test_id in waiting))
        return sorted(self.nodes, key=lambda node: self._board(node) not in boards)

    def _give(self, node: Any, number: int) -> None:
        """Fill a worker up to ``number`` tests; if too few suit it, let it end."""
        if node not in self._collected:
            return  # it replaces a worker that was killed, and will ask once it has collected
        while not node.shutting_down and len(self._assigned[node]) < number:
            test_id = next((test for test in self._waiting or () if self._suits(test, node)), None)
            if test_id is None:
                node.shutdown()
                return
            assert self._waiting
            self._waiting.remove(test_id)
            self._assigned[node].append(test_id)
            node.send_runtest_some([self._collected[node].index(test_id)])

    def _suits(self, test_id: str, node: Any) -> bool:
        """Whether a worker has a preferred board of a test, or no running worker has one."""
        # A worker that is ending takes no test that comes back from a killed one.
        available = {self._board(other) for other in self.nodes if not other.shutting_down}
        boards = self.preferred.get(test_id, frozenset()) & available
        return not boards or self._board(node) in boards

    def _return(self, tests: Sequence[str]) -> None:
        # A worker may be killed before all have collected: then nothing is assigned yet.
        if self._waiting is not None:
            self._waiting = [*tests, *self._waiting]
            for node in self.nodes:
                self._give(node, AHEAD)

    def _board(self, node: Any) -> str | None:
        return self.boards.get(node.gateway.id)
