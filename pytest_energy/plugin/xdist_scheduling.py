"""Which worker of pytest-xdist runs which test: whichever is free, on the card it was kept from.

Sensors of one model differ from board to board by more than a gate tolerates, so that a benchmark
is told from its baseline only on the board of that baseline. And benchmarks are long: a worker gets
the test that it runs and the one that it needs to know of, no more, or others would wait in vain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.gate.baseline_store import BaselineStore

AHEAD = 2
"""Tests that a worker has: xdist runs one only when the next is known, or that there is none."""


def boards_of_baselines(store: BaselineStore) -> dict[str, frozenset[str]]:
    """The boards that each test's baselines come from, by its id; those of several cards not."""
    found: dict[str, set[str]] = {}
    try:
        kept = [kept for slug in store.slugs() for kept in store.load_all(slug)]
    except EnergyError:
        return {}  # the workers read them as well, and stop with the reason
    for one in kept:
        match one.context.get("board"):
            case [str(board)]:
                test_id = one.id.rpartition("::")[0] if one.kind == "window" else one.id
                found.setdefault(test_id, set()).add(board)
    return {test_id: frozenset(boards) for test_id, boards in found.items()}


@dataclass
class CardScheduling:
    """Gives tests to workers one by one; what it has to offer is xdist's ``Scheduling``."""

    workers: int
    """How many there are in the beginning."""
    wanted: Mapping[str, frozenset[str]]
    """The boards of a test's baselines; a test without any runs anywhere."""
    board: Mapping[str, str]
    """Each worker's board by its name, as far as they have told."""
    _collected: dict[Any, list[str]] = field(default_factory=dict)
    _given: dict[Any, list[str]] = field(default_factory=dict)
    """What a worker has and has not finished, the one that it runs first."""
    _waiting: list[str] | None = None
    """What nobody has been given; ``None`` before all workers have collected."""

    @property
    def nodes(self) -> list[Any]:
        """The workers that are there."""
        return list(self._given)

    @property
    def collection_is_completed(self) -> bool:
        """Whether all workers have told their tests."""
        return len(self._collected) >= self.workers

    @property
    def has_pending(self) -> bool:
        """Whether a test has not been finished."""
        return bool(self._waiting) or any(self._given.values())

    @property
    def tests_finished(self) -> bool:
        """Whether nobody needs to be told of a further test."""
        settled = self.collection_is_completed and not self._waiting
        return settled and all(len(given) < AHEAD for given in self._given.values())

    def add_node(self, node: Any) -> None:
        """A worker is ready."""
        self._given[node] = []

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """A worker has told its tests."""
        self._collected[node] = list(collection)

    def schedule(self) -> None:
        """Give every worker what it needs.

        Raises:
            pytest.UsageError: Two workers have not collected the same tests.
        """
        if self._waiting is None:
            self._waiting = self._agreed()
            for node in self._preferred():  # one for each, before anybody gets a second one
                self._give(node, 1)
        for node in self.nodes:
            self._give(node, AHEAD)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """A worker has finished a test."""
        self._given[node].remove(self._collected[node][item_index])
        self._give(node, AHEAD)

    def mark_test_pending(self, item: str) -> None:
        """A test is to be run once more."""
        self._return([item])

    def remove_node(self, node: Any) -> str | None:
        """A worker has ended; returns the test that it was running, if it was.

        Raises:
            KeyError: It was not known.
        """
        given = self._given.pop(node)
        self._return(given[1:])
        return given[0] if given else None

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Workers are never asked to give tests back."""
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

    def _preferred(self) -> list[Any]:
        """The workers, those first whose board somebody wants: there may be fewer tests."""
        wanted = set().union(*(self.wanted.get(test_id, ()) for test_id in self._waiting or ()))
        return sorted(self.nodes, key=lambda node: self._board(node) not in wanted)

    def _give(self, node: Any, number: int) -> None:
        """Let a worker have so many tests; one for which there are no more may end."""
        while not node.shutting_down and len(self._given[node]) < number:
            test_id = next((one for one in self._waiting or () if self._suits(one, node)), None)
            if test_id is None:
                node.shutdown()
                return
            assert self._waiting
            self._waiting.remove(test_id)
            self._given[node].append(test_id)
            node.send_runtest_some([self._collected[node].index(test_id)])

    def _suits(self, test_id: str, node: Any) -> bool:
        """Whether no other worker that is there has a better board for a test."""
        wanted = self.wanted.get(test_id, frozenset()) & {self._board(one) for one in self.nodes}
        return not wanted or self._board(node) in wanted

    def _return(self, tests: Sequence[str]) -> None:
        self._waiting = [*tests, *(self._waiting or ())]
        for node in self.nodes:
            if node in self._collected:
                self._give(node, AHEAD)

    def _board(self, node: Any) -> str | None:
        return self.board.get(node.gateway.id)
