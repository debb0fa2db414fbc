"""What a session and its sides say to each other: lines of JSON over a socket.

The session asks, the side answers, and only then goes on: at most one process is at work. A side
that was asked to run a test answers ``waiting`` before its first window and after each, with the
passes that it plans, and ``finished`` at the end. To let it go on, the session says how many passes
both sides run. JSON, not pickles: the sides may run other versions of Python.
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from json import dumps, loads  # a test may replace json.dumps
from typing import Any, Final, Self

from pydantic import Field

from pytest_energy.errors import EnergyError
from pytest_energy.meters.nvml.devices.processes import SIDE_VARIABLE
from pytest_energy.model.measurement import Environment, Measurement, Record

VERSION: Final = 3
"""Of the messages; both ends must agree."""


@dataclass(frozen=True)
class SideConfig:
    """What a side needs to know when it starts."""

    name: str
    """``base`` or ``head``."""
    socket: int
    """The number of the inherited file descriptor."""
    tree: str
    other: str
    """The tree of the other side."""
    environment: str | None
    """The folder of the side's own environment, if it has one."""
    paths: tuple[str, ...]
    """Imported from first."""
    alternates: bool = True
    """Whether another side measures the same tests in turn; if not, it measures as any session."""
    checks_imports: bool = True
    """Whether the project must be imported from ``tree``."""
    version: int = VERSION

    def dump(self) -> str:
        """The value of :data:`SIDE_VARIABLE`, which makes a pytest process a side."""
        return dumps(asdict(self))

    @classmethod
    def load(cls) -> Self | None:
        """The configuration of this process, if it is a side.

        Raises:
            EnergyError: The session that started it has another version.
        """
        text = os.environ.get(SIDE_VARIABLE)
        if not text:
            return None
        values = loads(text)
        if values.get("version") != VERSION:
            raise EnergyError(
                "the two sides have different versions of pytest-energy; install the same one in"
                " both environments"
            )
        return cls(**{**values, "paths": tuple(values["paths"])})


class Started(Record):
    """A side has collected its tests."""

    tests: tuple[str, ...]
    uncollected: dict[str, str]
    """By file: why it could not be imported."""
    elsewhere: dict[str, str]
    """Modules of the project from another place than the side's tree, with their files."""
    environment: Environment


class SideRun(Record):
    """A side has run a test to its end."""

    outcome: str
    """``passed``, ``failed``, ``skipped``, or ``missing`` if the side has no such test."""
    text: str = ""
    """Why it did not pass, as pytest reports it."""
    error: str = ""
    """The last line of it."""
    measurements: tuple[Measurement, ...] = ()
    elsewhere: dict[str, str] = Field(default_factory=dict)
    """As for :class:`Started`."""

    @property
    def out_of_memory(self) -> bool:
        """Whether the device, or the machine, had too little memory for both sides."""
        text = self.error.lower()
        return self.outcome == "failed" and ("out of memory" in text or "outofmemory" in text)


@dataclass(frozen=True)
class Waiting:
    """A side waits for its turn."""

    passes: int
    """That it plans for its next window."""


class Channel:
    """One end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._received = b""

    @classmethod
    def inherited(cls, number: int) -> Channel:
        """The end that this process inherited."""
        return cls(socket.socket(fileno=number))

    def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            OSError: The other end is closed.
        """
        self._end.sendall(dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        """Wait for one message; ``None`` if the other end was closed.

        Raises:
            TimeoutError: None came in time.
        """
        self._end.settimeout(timeout_s)
        while b"\n" not in self._received:
            try:
                part = self._end.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return None
            self._received += part
        line, self._received = self._received.split(b"\n", 1)
        message: dict[str, Any] = loads(line)
        return message

    def finish(self) -> None:
        """Send nothing more: the other end receives ``None`` after the last message.

        Raises:
            OSError: The other end is closed.
        """
        self._end.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close this end."""
        self._end.close()
