"""The errors of pytest-energy: a base class, and subclasses for those who handle them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TOO_DEEP: Final = "nested too deeply"
"""The fault of a file that no parser can follow."""


class EnergyError(Exception):
    """The base of all errors; the text is written for the person at the terminal."""


def is_refusal(raised: Any) -> bool:
    """Whether an exception was raised on purpose, by pytest's ``ExceptionInfo`` of it.

    Modules that tests call have this as their ``__tracebackhide__``: a refusal then shows the line
    of the test, without the frames of this package.
    """
    return isinstance(raised.value, EnergyError)


class UsageError(EnergyError):
    """An option, marker or argument that is not accepted."""


class MeterError(EnergyError):
    """A meter cannot be opened or cannot continue; the text names the cause and the remedy."""


@dataclass
class FileFormatError(EnergyError):
    """A file whose content is not as expected, with all faults found in it."""

    path: Path
    """The file."""
    expected: str
    """What the file should be, for example ``a baseline``."""
    faults: tuple[str, ...]
    """One line per fault: the place in the file, and what is wrong there."""

    def __str__(self) -> str:
        listed = "; ".join(self.faults)
        return f"{self.path}: not {self.expected}: {listed}"
