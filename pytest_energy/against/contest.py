"""The blocks of one benchmark: base against head, or a control's base against itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pytest_energy.against.blocks import Paired
from pytest_energy.against.verdicts import COMPARABLE, differences, merged
from pytest_energy.model.comparison import Block
from pytest_energy.model.measurement import Measurement

SPOILT_BLOCKS: Final = 3
"""After so many blocks without a valid one a benchmark is given up."""


@dataclass(frozen=True)
class Cost:
    """What some work took."""

    duration_s: float = 0.0
    energy_j: float | None = 0.0
    """``None``: no meter knows."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.duration_s + other.duration_s, _sum(self.energy_j, other.energy_j))

    def __sub__(self, other: Cost) -> Cost:
        return self + -1 * other

    def __rmul__(self, factor: float) -> Cost:
        return Cost(
            factor * self.duration_s, None if self.energy_j is None else factor * self.energy_j
        )


NO_COST: Final = Cost()


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second


@dataclass
class Contest:
    """The blocks of one benchmark."""

    blocks: list[Block] = field(default_factory=list)
    base: list[Measurement] = field(default_factory=list)
    head: list[Measurement] = field(default_factory=list)
    """One valid measurement per block, as for the base."""
    spoilt: list[tuple[Measurement, Measurement]] = field(default_factory=list)
    """Base and head of the blocks in which one was invalid."""
    alternated: set[str] = field(default_factory=set)

    def add(self, number: int, done: Paired, base: Measurement, head: Measurement) -> None:
        """Take in one block."""
        self.alternated.add(done.alternated)
        if not {base.status, head.status} <= {*COMPARABLE}:
            self.spoilt.append((base, head))
            return
        change = differences(base, head)
        base, head = merged(base), merged(head)
        self.base.append(base)
        self.head.append(head)
        block = Block(
            number=number,
            first=done.first,
            base=base.rounds,
            head=head.rounds,
            differences=change,
        )
        self.blocks.append(block)

    @property
    def given_up(self) -> bool:
        """Whether no block was valid although several were measured."""
        return not self.blocks and len(self.spoilt) >= SPOILT_BLOCKS

    def sample(self, metric: str) -> list[float]:
        """The differences of the blocks that tell of a metric."""
        return [block.differences[metric] for block in self.blocks if metric in block.differences]

    @property
    def rounds_cost(self) -> Cost:
        """What all its rounds took."""
        rounds = [done for block in self.blocks for done in (*block.base, *block.head)]
        return sum((Cost(done.duration_s, done.energy_j) for done in rounds), NO_COST)

    @property
    def metrics(self) -> set[str]:
        """The metrics that each block tells of."""
        found = [block.differences.keys() for block in self.blocks]
        return set(found[0]).intersection(*found) if found else set()
