"""Readable names: shortened test ids, and facts with their units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from pytest_energy.model.metrics import metric

_BOUNDARY = re.compile(r"(?<=/)|(?<=::)")
UNITS: Final = {
    "w": "W",
    "mhz": "MHz",
    "c": "°C",
    "bytes": "B",
    "s": "s",
    "j": "J",
}
"""The units at the end of facts' names."""


def name_and_unit(fact: str) -> tuple[str, str]:
    """``gpu0 clock`` and `` MHz`` of ``gpu0.clock_mhz``; a unit that is not known is empty."""
    words = fact.replace(".", " ").split("_")
    unit = f" {UNITS[words.pop()]}" if len(words) > 1 and words[-1] in UNITS else ""
    return " ".join(words), unit


def humanized(name: str) -> str:
    """``gpu0 temperature (°C)`` for ``gpu0.temperature_c``."""
    words, unit = name_and_unit(name)
    return f"{words} ({unit.strip()})" if unit else words


def in_a_sentence(name: str) -> str:
    """The label of a metric inside a sentence: ``mean power``, but ``FLOPs``."""
    label = metric(name).label
    return label.lower() if label[1:].islower() else label


METERS: Final = {"nvml": "NVML", "rapl": "RAPL", "codecarbon": "CodeCarbon"}
"""The names of the plugin's own meters as people write them."""


def meter_words(name: str, source: str) -> str:
    """``NVML counter`` for a meter and the source of its joules."""
    names = "+".join(METERS.get(part, part) for part in name.split("+"))
    return names if source == "model" else f"{names} {source}"


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Each id without folders and modules, as long as the names differ.

    The test's own name always stays, and text in brackets is never cut.
    """
    tests = [test_id.partition("::")[2] or test_id for test_id in ids]
    unique = len(set(tests)) == len(set(ids))
    split = [_parts(name) for name in (tests if unique else ids)]
    # The last part is the test's own name, so no more than the parts before it can be shared.
    most = min((len(parts) - 1 for parts in split), default=0)
    shared = 0
    while shared < most and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return {test_id: "".join(parts[shared:]) for test_id, parts in zip(ids, split, strict=True)}


def anchors(names: Iterable[str]) -> list[str]:
    """The ids of HTML elements that carry these names: without white space, and each once.

    The page's own ids have neither underscore, colon nor bracket, so one of these is in each.
    """
    ids: dict[str, None] = {}
    for name in names:
        anchor = re.sub(r"\s", "_", name)
        if set(anchor).isdisjoint("_:["):
            anchor += "_"
        while anchor in ids:
            anchor += "_"
        ids[anchor] = None
    return list(ids)


def _parts(test_id: str) -> list[str]:
    # Parameters are set aside first, because they may contain / and :: themselves.
    head, bracket, parameters = test_id.partition("[")
    parts = _BOUNDARY.split(head)
    return [*parts[:-1], parts[-1] + bracket + parameters]
