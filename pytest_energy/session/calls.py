"""Repeated calls of a test's function, which keep what the last call returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Generic, TypeVar

from pytest_energy.errors import is_refusal
from pytest_energy.fixture.lazy import check_returned
from pytest_energy.measuring.waiting import waiter_for

T = TypeVar("T")
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
