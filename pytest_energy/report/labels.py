"""Readable names: shortened test ids, and facts with their units."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BOUNDARY = re.compile(r"(?<=/)|(?<=::)")
_UNITS = {"_c": " (°C)", "_mhz": " (MHz)", "_w": " (W)", "_s": " (s)", "_j": " (J)"}


def humanized(name: str) -> str:
    """``gpu0 temperature (°C)`` for ``gpu0.temperature_c``."""
    unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
    return name.removesuffix(unit).replace(".", " ").replace("_", " ") + _UNITS.get(unit, "")


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Each id without folders and modules, as long as the names differ.

    The test's own name always stays, and text in brackets is never cut.
    """
    tests = [test_id.partition("::")[2] or test_id for test_id in ids]
    unique = len(set(tests)) == len(set(ids))
    split = [_parts(name) for name in (tests if unique else ids)]
    shared = _shared(split)
    return {test_id: "".join(parts[shared:]) for test_id, parts in zip(ids, split, strict=True)}


def _parts(test_id: str) -> list[str]:
    head, bracket, parameters = test_id.partition("[")
    parts = _BOUNDARY.split(head)
    return [*parts[:-1], parts[-1] + bracket + parameters]


def _shared(split: Sequence[Sequence[str]]) -> int:
    """The number of leading parts that all ids have in common."""
    shared = 0
    shortest = min((len(parts) - 1 for parts in split), default=0)
    while shared < shortest and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return shared
