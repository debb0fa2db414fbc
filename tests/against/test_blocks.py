"""Two sides walk the tests in step; here they are no processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pytest_energy.against.blocks import Pair, Paired, walk
from pytest_energy.against.messages import SideRun, Started, Waiting
from pytest_energy.against.side import Side, SideFailedError, SidePlan
from pytest_energy.model.comparison import SideName
from pytest_energy.model.measurement import Environment

HERE = Path()


class FakeSide:
    """Runs a number of windows, and records the passes of each."""

    def __init__(self, name: str, planned: int, windows: int, turns: list[tuple[str, int]]) -> None:
        self.name, self.planned, self.left, self.turns = name, planned, windows, turns

    def open(self) -> Started:
        return Started(tests=(), uncollected={}, elsewhere={}, environment=Environment())

    def run(self, test: str, following: str | None) -> SideRun | Waiting:
        return self._answer()

    def go_on(self, passes: int) -> SideRun | Waiting:
        self.turns.append((self.name, passes))
        self.left -= 1
        return self._answer()

    def close(self) -> None:
        self.left = 0

    def _answer(self) -> SideRun | Waiting:
        return Waiting(self.planned) if self.left else SideRun(outcome="passed")


def plan(name: SideName) -> SidePlan:
    """A side that is never started."""
    return SidePlan(name, "python", None, HERE, HERE, HERE, (), (), {}, 60.0)


@pytest.fixture
def alternate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, int]]]:
    """Walk one test; base and head have planned passes and windows."""

    def walk_once(base: tuple[int, int], head: tuple[int, int]) -> list[tuple[str, int]]:
        turns: list[tuple[str, int]] = []
        planned = {"base": base, "head": head}
        monkeypatch.setattr(
            Side, "start", lambda plan: FakeSide(plan.name, *planned[plan.name], turns)
        )
        taken: list[Paired | SideFailedError] = []
        walk(
            Pair(plan("base"), plan("head")),
            ["t.py::test"],
            set(),
            Random(1),
            lambda test, done: taken.append(done),
        )
        (done,) = taken
        assert isinstance(done, Paired)
        return [(name if done.first == "base" else _other(name), n) for name, n in turns]

    return walk_once


def _other(name: str) -> str:
    return {"base": "head", "head": "base"}[name]


@pytest.mark.parametrize(("base", "head"), [(3, 8), (8, 3), (8, 8)])
def test_both_sides_run_as_many_passes(
    alternate: Callable[..., list[tuple[str, int]]], base: int, head: int
) -> None:
    """The side that plans more was disturbed less in its warm-up."""
    turns = alternate((base, 4), (head, 4))
    assert {passes for _, passes in turns} == {8}


def test_each_side_is_first_as_often_as_second(
    alternate: Callable[..., list[tuple[str, int]]],
) -> None:
    """Windows of both sides alternate; the side with more windows runs the rest alone."""
    order = [name for name, _ in alternate((5, 4), (5, 4))]
    assert order == ["base", "head", "head", "base", "base", "head", "head", "base"]
    uneven = [name for name, _ in alternate((5, 1), (5, 3))]
    assert sorted(uneven) in (["base", "head", "head", "head"], ["base", "base", "base", "head"])


def test_a_test_without_windows_needs_no_turn(
    alternate: Callable[..., list[tuple[str, int]]],
) -> None:
    """It has ended before its first one."""
    assert alternate((5, 0), (5, 0)) == []
