"""How two revisions were compared in alternation: blocks, controls, and the draw of the order."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytest_energy.model.measurement import Record, Round
from pytest_energy.model.outcomes import Outcome

SideName = Literal["base", "head"]
"""``base`` is the reference, ``head`` the working tree."""


class Block(Record):
    """One benchmark measured once on both sides, by a fresh pair of processes."""

    number: int
    """From 1."""
    first: SideName
    """The side that began; drawn at random."""
    base: list[Round] = Field(default_factory=list)
    head: list[Round] = Field(default_factory=list)
    differences: dict[str, float] = Field(default_factory=dict)
    """By metric: the logarithm of head over base, of the medians of the rounds. By time alone it is
    the median over neighbouring slices, of which ``base`` and ``head`` hold the sums."""


class Control(Record):
    """The base measured against itself: what moves here is the machine, not the code."""

    outcome: Outcome
    change: float | None = None
    low: float | None = None
    high: float | None = None
    blocks: list[Block] = Field(default_factory=list)
    """Both sides are the base."""


class Against(Record):
    """The other revision that a whole run was compared with."""

    reference: str
    """As the user wrote it: ``main``, ``merge-base:main``, ``self``."""
    commit: str | None = None
    """The base's commit."""
    seed: int
    """Of the draws: which side begins each block, and which benchmarks are controls."""
    blocks: int
    """Walks through the suite."""
    controls: dict[str, Outcome] = Field(default_factory=dict)
    """By benchmark: what the base measured against itself came to."""
    screened: dict[str, Outcome] = Field(default_factory=dict)
    """By benchmark: the first verdict, by the committed baselines; empty if they did not screen.
    The unchanged ones were not measured against the reference."""
    notes: list[str] = Field(default_factory=list)
    """Benchmarks that exist on the base only, what screened, lost controls, an early end."""


class Comparison(Record):
    """How a benchmark was compared with another revision."""

    reference: str
    """As the user wrote it: ``main``, ``merge-base:main``, ``self``."""
    commit: str | None = None
    """The base's commit."""
    options: list[str] = Field(default_factory=list)
    """Further options without which it would be another comparison: the sides' environments, and
    ``--energy-meter=none``."""
    seed: int
    """Of the draws: which side begins each block, and which benchmarks are controls."""
    alternated: Literal["rounds", "runs"] = "rounds"
    """``runs``: the device did not hold both sides, so they took turns, one process at a time."""
    blocks: list[Block] = Field(default_factory=list)
    spoilt: int = 0
    """Blocks that were left out because one side's measurement was invalid."""
    control: Control | None = None
    """Where this benchmark was also measured base against base."""
    visible: dict[str, float] = Field(default_factory=dict)
    """By gated metric: the smallest relative rise that would be called regressed here with a
    probability of 95 %, by the scatter of the blocks and within ``visible_blocks``. A metric is
    missing if its blocks were too few to tell."""
    visible_blocks: int = 0
    """Blocks that the limits of number and time permit; 0 if ``visible`` is empty."""

    @property
    def label(self) -> str:
        """The reference for people: ``main (1a2b3c4d5)``."""
        return describe_reference(self.reference, self.commit)


def describe_reference(reference: str, commit: str | None) -> str:
    """``main (1a2b3c4d5)``; a reference that is its commit, or ``self``, stands alone."""
    if commit is None or reference == "self" or commit.startswith(reference):
        return reference
    return f"{reference} ({commit[:9]})"
