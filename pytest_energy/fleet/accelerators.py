"""Accelerators by name: what the user asks for, and which of those that exist are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_energy.errors import UsageError

EXPECTED = "expected NAME or NAME:COUNT with COUNT from 1, such as H100 or A100:2"


def parse_accelerators(texts: Sequence[str]) -> dict[str, int]:
    """The number of cards by the name of their kind.

    Args:
        texts: Such as ``H100`` and ``A100:2``.

    Raises:
        UsageError: A text is neither, or a kind is named twice.
    """
    numbers: dict[str, int] = {}
    for text in texts:
        match = re.fullmatch(r"([\w.-]+)(?::([1-9][0-9]{0,3}))?", text, re.ASCII)
        if match is None:
            raise UsageError(f"--accelerator={text}: {EXPECTED}")
        name = match[1]
        if name.lower() in (other.lower() for other in numbers):
            raise UsageError(f"--accelerator={text}: {name} is named twice; write {name}:COUNT")
        numbers[name] = int(match[2] or 1)
    return numbers


def is_meant(name: str, model: str) -> bool:
    """Whether the model of a card, such as ``NVIDIA A100-SXM4-80GB``, is of the kind ``name``."""
    parts = re.findall("[a-z]+|[0-9]+", name.lower())
    pattern = rf"(?<![a-z0-9]){'[-_ .]*'.join(parts)}(?![a-z0-9])"
    return bool(parts) and re.search(pattern, model.lower()) is not None
