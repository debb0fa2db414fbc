"""Names as people read them: test ids shortened, facts with their units."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BOUNDARY = re.compile(r"(?<=/)|(?<=::)")
_UNITS = {"_c": " (°C)", "_mhz": " (MHz)", "_w": " (W)", "_s": " (s)", "_j": " (J)"}


def said(name: str) -> str:
    """``gpu0 temperature (°C)`` for ``gpu0.temperature_c``."""
    unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
    return name.removesuffix(unit).replace(".", " ").replace("_", " ") + _UNITS.get(unit, "")


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Each id without the folders and modules that are not needed to tell them apart.

    The test's own name stays, also where there is one id only; what is in brackets is never cut.
    """
    tests = [one.partition("::")[2] or one for one in ids]
    split = [_parts(one) for one in (tests if len(set(tests)) == len(set(ids)) else ids)]
    shared = _shared(split)
    return {one: "".join(parts[shared:]) for one, parts in zip(ids, split, strict=True)}


def _parts(test_id: str) -> list[str]:
    head, bracket, parameters = test_id.partition("[")
    parts = _BOUNDARY.split(head)
    return [*parts[:-1], parts[-1] + bracket + parameters]


def _shared(split: Sequence[Sequence[str]]) -> int:
    shared = 0
    shortest = min((len(parts) - 1 for parts in split), default=0)
    while shared < shortest and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return shared
