"""The errors of pytest-energy: one base, and subclasses that carry what went wrong as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class EnergyError(Exception):
    """Anything pytest-energy refuses to do; its text is meant for the person at the terminal."""


class UsageError(EnergyError):
    """An option, marker or argument that cannot be used; raised before anything is measured."""


class MeterError(EnergyError):
    """A meter cannot be opened, or cannot go on; the text names the cause and the remedy."""


@dataclass
class FileFormatError(EnergyError):
    """A file that cannot be read as what it should be, with every fault found in it."""

    path: Path
    """The file."""
    expected: str
    """What the file should have been, for example ``a baseline``."""
    faults: tuple[str, ...]
    """One line a fault: the place in the file, then what is wrong there."""

    def __str__(self) -> str:
        listed = "; ".join(self.faults)
        return f"{self.path}: not {self.expected}: {listed}"
