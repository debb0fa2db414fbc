"""Counts in the sentences of remarks and errors: one reading was, three readings were."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A count with its noun: ``1 reading``, ``3 readings``."""
    return f"{number} {agree(number, noun, f'{noun}s')}"


def shortened(text: str, most: int = 60) -> str:
    """A cell or a line as it is quoted in a sentence, without the end of a long one."""
    return repr(text if len(text) <= most else f"{text[:most]}…")


def agree(number: int, one: str, many: str) -> str:
    """The form of a word that goes with a count."""
    return one if number == 1 else many
