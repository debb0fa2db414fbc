"""Everything about an outcome: how it looks, what it means, and whether it fails a test.

A new outcome needs a member of :class:`Outcome` and a row of :data:`TRAITS`; terminal, Markdown,
page, annotations and ``--energy-fail-on`` read them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Outcome(StrEnum):
    """What the gate says of a metric or of a benchmark."""

    REGRESSED = "regressed"
    OVER_BUDGET = "over budget"
    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    NEW = "new"
    INCOMPARABLE = "incomparable"
    INVALID = "invalid"
    UNMEASURED = "unmeasured"
    TEST_FAILED = "test failed"

    @property
    def label(self) -> str:
        """Its name for people: that of files says nothing of the size of the change."""
        return self.traits.label or self.value

    @property
    def traits(self) -> Traits:
        """The row of :data:`TRAITS`."""
        return _BY_OUTCOME[self]


@dataclass(frozen=True)
class Traits:
    """One row an outcome."""

    outcome: Outcome
    symbol: str
    """One character, so that no outcome is shown by colour alone."""
    meaning: str
    """The page's explanation; code stands in backticks."""
    label: str = ""
    """Its name for people; empty where that is the outcome's own."""
    terminal_style: str = ""
    """The colour's name in pytest's terminal writer; empty for plain text."""
    page_colour: Literal["bad", "good", "unsure"] | None = None
    """The CSS custom property that holds its colour; ``None`` for the colour of the text."""
    fails: Literal["always", "strict", "never"] = "strict"
    """Whether it fails a test by default, or in strict mode only."""
    warns: bool = True
    """Whether CI shows a warning where it does not fail the test."""
    decided: bool = False
    """Whether the gate compared the metric and knows the answer."""
    undecided: bool = False
    """Whether the gate compared the metric and more measuring could give the answer."""
    has_joules: bool = True
    """Whether a benchmark with this outcome has energy that can be used."""
    has_baseline: bool = True
    """Whether a baseline may exist; otherwise the page compares with an older file."""
    section: str = ""
    """The title of its section in the terminal; empty where only the table shows it."""
    explained: bool = False
    """Whether Markdown gives the reasons below the table."""
    folded: bool = False
    """Whether Markdown folds the table, because nobody has to look at it."""
    next_step: str = ""
    """What Markdown tells the reader to do; code stands in backticks."""


TRAITS: Final = (
    Traits(
        Outcome.TEST_FAILED,
        symbol="!",
        meaning="The test failed for a reason of its own, so nothing follows from its joules.",
        terminal_style="red",
        page_colour="bad",
        fails="never",
        warns=False,
        explained=True,
        folded=True,
    ),
    Traits(
        Outcome.REGRESSED,
        symbol="▲",
        meaning="The whole interval lies above the tolerance. By default only this fails a test.",
        terminal_style="red",
        page_colour="bad",
        fails="always",
        decided=True,
        section="regressed",
        explained=True,
        next_step="If the rise is intended, accept it with `--energy-update`.",
    ),
    Traits(
        Outcome.OVER_BUDGET,
        symbol="⊘",
        meaning="The whole interval of the joules lies above `max_joules`, the budget of the test.",
        terminal_style="red",
        page_colour="bad",
        fails="always",
        section="over budget",
        explained=True,
    ),
    Traits(
        Outcome.INVALID,
        symbol="✗",
        meaning="The measurement cannot be trusted; the remarks say why. It has no joules.",
        terminal_style="yellow",
        page_colour="bad",
        has_joules=False,
        section="could not measure",
        explained=True,
    ),
    Traits(
        Outcome.INCOMPARABLE,
        symbol="≠",
        meaning="The baseline comes from another machine, workload or data set.",
        terminal_style="yellow",
        page_colour="unsure",
        section="not comparable with their baselines",
        explained=True,
    ),
    Traits(
        Outcome.INCONCLUSIVE,
        symbol="?",
        meaning="The interval crosses a tolerance: more rounds or a quieter machine are needed.",
        terminal_style="yellow",
        page_colour="unsure",
        undecided=True,
        section="inconclusive: too uncertain to decide",
        explained=True,
        next_step="`pytest-energy sensitivity` shows how many runs would decide.",
    ),
    Traits(
        Outcome.UNMEASURED,
        symbol="∅",
        meaning="Nothing here measures joules. A missing value is never shown as zero.",
        terminal_style="yellow",
        has_joules=False,
        has_baseline=False,
        section="could not measure",
        explained=True,
        folded=True,
    ),
    Traits(
        Outcome.NEW,
        symbol="+",
        meaning="There is no baseline for this hardware yet. `--energy-update` records one.",
        terminal_style="cyan",
        warns=False,
        has_baseline=False,
        section="new: no baseline yet",
        folded=True,
        next_step="Accept them as baselines with `--energy-update=new`, then commit the files.",
    ),
    Traits(
        Outcome.IMPROVED,
        symbol="▼",
        meaning="The whole interval lies below minus the tolerance.",
        terminal_style="green",
        page_colour="good",
        fails="never",
        warns=False,
        decided=True,
    ),
    Traits(
        Outcome.UNCHANGED,
        symbol="=",
        label="within tolerance",
        meaning="The whole interval lies within the tolerance: a larger change is ruled out.",
        fails="never",
        warns=False,
        decided=True,
        folded=True,
    ),
)
"""By severity: a benchmark's outcome is the first that one of its gated metrics has."""

_BY_OUTCOME: Final = {traits.outcome: traits for traits in TRAITS}
SEVERITY: Final = tuple(traits.outcome for traits in TRAITS)
FAILING_BY_DEFAULT: Final = tuple(o for o in Outcome if o.traits.fails == "always")
FAILING_IN_STRICT_MODE: Final = tuple(o for o in Outcome if o.traits.fails != "never")
"""Also the outcomes that ``--energy-fail-on`` takes."""
