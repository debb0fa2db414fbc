"""Marks that distinguish groups by shape and by colour, so that either is enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHAPES = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.5L5 4H-5Z",
    "M0 -5.8L5.2 0L0 5.8L-5.2 0Z",
    "M0 5.5L5 -4H-5Z",
    "M-1.6 -5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
)
COLOURS = (
    "#0b62c4", "#c2410c", "#15803d", "#a21caf", "#b45309", "#0e7490", "#be123c", "#4d7c0f",
)  # fmt: skip
"""Each has a contrast of at least 3 : 1 on white; dark pages use lighter ones from the style."""


@dataclass(frozen=True)
class Mark:
    """How the members of a group are drawn; ``index`` also selects the style's class."""

    name: str
    index: int

    @property
    def shape(self) -> str:
        """The id of the shape in the page's definitions."""
        return f"s{self.index % len(SHAPES)}"

    @property
    def colour(self) -> str:
        """The colour for viewers that ignore the style."""
        return COLOURS[self.index % len(COLOURS)]

    @property
    def style(self) -> str:
        """The class whose colour follows the light or dark scheme."""
        return f"c{self.index % len(COLOURS)}"


def marks(names: Iterable[str]) -> dict[str, Mark]:
    """One mark a name, in order of appearance."""
    return {name: Mark(name, index) for index, name in enumerate(dict.fromkeys(names))}
