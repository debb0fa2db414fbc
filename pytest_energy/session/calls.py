"""Repeated calls of a test's function, which keep what the last call returned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from itertools import repeat
from typing import Any, Generic, TypeVar

from pytest_energy.errors import is_refusal
from pytest_energy.fixture.lazy import check_awaitable, check_returned
from pytest_energy.measuring.waiting import waiter_for

T = TypeVar("T")
Measured = TypeVar("Measured")
__tracebackhide__ = is_refusal


class Calls(Generic[T]):
    """Calls a function a number of times.

    Args:
        where: The method that measures it, for errors.
        function: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
    """

    def __init__(
        self,
        where: str,
        function: Callable[..., T],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._where = where
        self._function = function
        self._args = args
        self._kwargs = kwargs or {}
        self.returned: T
        """What the last call returned."""

    def __call__(self, passes: int) -> None:
        """Call the function ``passes`` times.

        Raises:
            UsageError: The call returned before it had done its work.
        """
        function, args, kwargs = self._function, self._args, self._kwargs
        returned = function(*args, **kwargs)
        check_returned(self._where, function, returned)
        if wait := waiter_for(returned):
            wait(returned)
            for _ in repeat(None, passes - 1):
                returned = function(*args, **kwargs)
                wait(returned)
        else:
            for _ in repeat(None, passes - 1):  # as fast as a loop can be: 1e-7 s is a call
                returned = function(*args, **kwargs)
        self.returned = returned


class AwaitedCalls(Generic[T]):
    """Calls an async function on a loop, for a thread that measures the calls.

    Args:
        where: The method that measures it, for errors.
        function: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        loop: The loop of the test.
    """

    def __init__(
        self,
        where: str,
        function: Callable[..., Awaitable[T]],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._where = where
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self.returned: T
        """What the last call returned, awaited."""

    async def run(self, passes: int) -> None:
        """Await the function ``passes`` times.

        Raises:
            UsageError: The call returned before it had done its work.
            CancelledError: The measurement was cancelled.
        """
        self._task = asyncio.current_task()
        for _ in repeat(None, passes):
            if self._cancelled:
                raise asyncio.CancelledError
            made = self._function(*self._args, **self._kwargs)
            self.returned = await check_awaitable(self._where, self._function, made)
        check_returned(self._where, self._function, self.returned)

    def __call__(self, passes: int) -> None:
        """Do the same from another thread, and wait for it."""
        asyncio.run_coroutine_threadsafe(self.run(passes), self._loop).result()

    async def measured(self, measure: Callable[[Callable[[int], None]], Measured]) -> Measured:
        """Return what ``measure`` makes of these calls.

        It runs in a thread, since the loop must stay free for the calls. Where this is cancelled,
        so are the calls, and the thread has ended: otherwise it would measure to its end.
        """
        thread = self._loop.run_in_executor(None, copy_context().run, measure, self)
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError:
            self._cancelled = True
            if self._task is not None:
                self._task.cancel()
            await asyncio.wait([thread])
            thread.exception()  # asyncio logs one that nobody has asked for
            raise
        return thread.result()
