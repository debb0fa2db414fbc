"""Calls of an async function, measured by a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pytest_energy.session.calls import AwaitedCalls

ROUNDS = 3


def measure(calls: Callable[[int], None]) -> int:
    """Run three rounds of two passes."""
    for _ in range(ROUNDS):
        calls(2)
    return ROUNDS


def test_awaited_calls_return_what_the_measurement_does() -> None:
    """The last call's value is kept, and what the measurement returns is returned."""
    numbers = iter(range(100))

    async def answer(first: int) -> int:
        await asyncio.sleep(0)
        return first + next(numbers)

    async def body() -> None:
        calls = AwaitedCalls("energy.acall", answer, (7,), {}, asyncio.get_running_loop())
        assert await calls.measured(measure) == ROUNDS
        assert calls.returned == 7 + 2 * ROUNDS - 1

    asyncio.run(body())


def test_an_exception_of_a_call_is_raised() -> None:
    """It ends the measurement."""

    async def answer() -> None:
        raise LookupError("no such token")

    async def body() -> None:
        calls = AwaitedCalls("energy.acall", answer, (), {}, asyncio.get_running_loop())
        with pytest.raises(LookupError, match="no such token"):
            await calls.measured(measure)

    asyncio.run(body())


@pytest.mark.parametrize("deaf", [False, True], ids=["ends", "goes on"])
def test_a_cancelled_measurement_ends_its_calls_first(deaf: bool) -> None:
    """No call begins after a time-out, also if the function itself disregards a cancellation."""
    begun: list[int] = []
    ended: list[str] = []

    async def answer() -> None:
        begun.append(len(begun))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not deaf:
                raise

    def measure_and_note(calls: Callable[[int], None]) -> None:
        try:
            measure(calls)
        finally:
            ended.append("the thread")

    async def body() -> None:
        calls = AwaitedCalls("energy.acall", answer, (), {}, asyncio.get_running_loop())
        task = asyncio.create_task(calls.measured(measure_and_note))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.append("the task")

    asyncio.run(body())
    assert begun == [0]
    assert ended == ["the thread", "the task"]
