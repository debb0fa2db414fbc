"""The errors of pytest-energy: a base class, and subclasses for those who handle them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

TOO_DEEP: Final = "nested too deeply"
"""The fault of a file that no parser can follow."""


class EnergyError(Exception):
    """The base of all errors; the text is written for the person at the terminal."""


def explained(error: EnergyError | OSError) -> str:
    """The text of an error that a command expects: an error of the system names its file first."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    faults: dict[type[OSError], str] = {
        FileNotFoundError: "there is no such file; check the path",
        IsADirectoryError: "this is a folder; name a file in it",
        NotADirectoryError: "a part of the path is a file, not a folder",
        PermissionError: "this process may not open it; check its permissions",
    }
    return f"{error.filename}: {faults.get(type(error), error.strerror)}"


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


class FileFormatError(EnergyError):
    """A file whose content is not as expected, with all faults found in it.

    Args:
        path: The file.
        expected: What the file should be, for example ``a baseline``.
        faults: One line per fault: the place in the file, and what is wrong there.
    """

    # Written out, since pytest imports this module at its start, and a dataclass takes longer.
    def __init__(self, path: Path, expected: str, faults: tuple[str, ...]) -> None:
        super().__init__(path, expected, faults)
        self.path = path
        self.expected = expected
        self.faults = faults

    def __str__(self) -> str:
        listed = "; ".join(self.faults)
        return f"{self.path}: not {self.expected}: {listed}"
