"""The size of every chart in pixels: for the charts, the templates and the script."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True)
class Frame:
    """A drawing, and the edges of the plot in it."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def span(self) -> float:
        """Pixels from the left edge to the right one."""
        return self.right - self.left

    @property
    def centre(self) -> float:
        """The middle between left and right."""
        return (self.left + self.right) / 2

    @property
    def middle(self) -> float:
        """The middle between top and bottom."""
        return (self.top + self.bottom) / 2


EXPLORER: Final = Frame(840, 440, left=66, right=826, top=14, bottom=390)
SCATTER: Final = Frame(560, 360, left=62, right=546, top=14, bottom=314)
SWEEP: Final = Frame(560, 300, left=62, right=546, top=14, bottom=254)
HISTORY: Final = Frame(720, 150, left=58, right=708, top=12, bottom=124)
SIDES: Final = Frame(720, 190, left=74, right=708, top=12, bottom=150)
"""The rounds of two revisions, and below them the differences, with the same blocks across."""
POWER: Final = Frame(720, 190, left=58, right=708, top=16, bottom=190)
"""The height ends at the first lane; lanes and the time axis come below."""
GROUPS: Final = Frame(76, 280, left=62, right=62, top=14, bottom=240)
"""Without any group; each adds :data:`GROUP_WIDTH` to the width and to the right edge."""
GROUP_WIDTH: Final = 92
MOST_ROWS: Final = 500
"""Intervals that are drawn below each other; nobody looks at thousands."""
ROW: Final = Frame(280, 26, left=14, right=266, top=0, bottom=26)
"""A drawing in a row of a table, with zero at its centre."""
TREND: Final = Frame(280, 34, left=4, right=276, top=3, bottom=31)
"""A course in a row of a table, with no change at its middle."""
BEFORE_AFTER: Final = Frame(720, 140, left=14, right=700, top=6, bottom=112)
PHASES: Final = Frame(440, 26, left=14, right=406, top=0, bottom=26)
"""A stacked bar in a row of a table, from zero."""

FOR_SCRIPT: Final = {"explorer": asdict(EXPLORER), "power": asdict(POWER)}
"""The drawings that the script draws anew."""
