"""When to stop measuring: as soon as the verdict is decided, within a budget.

Looking again and again finds a false alarm sooner or later, unless each look is held to a stricter
rule. A *schedule* fixes beforehand how often it may be looked at, and spends the permitted error
over these looks so that the sum over all of them stays within it, whatever they have in common
(Bonferroni's inequality). Source: alpha spending, Lan and DeMets, *Biometrika* 70 (1983); the
intervals are repeated confidence intervals, Jennison and Turnbull, *J. R. Stat. Soc. B* 51 (1989).

Many benchmarks find a false alarm sooner or later, too. Before a change is called one, 'nothing has
changed' must be refused at a significance that is shared by all benchmarks of the suite, so that a
suite in which nothing changed fails in at most :data:`FAMILY_ERROR` of its runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_energy.gate.classify import Rule
from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.gum import COVERAGE

FAMILY_ERROR: Final = 0.01
"""Chance that a suite without any change fails, at most, however many benchmarks it has."""


@dataclass(frozen=True)
class Schedule:
    """How often a benchmark is visited and looked at, fixed before the first look.

    A *visit* is a whole run of the test: set up, warmed up, measured in a few rounds. Further
    visits come after the other benchmarks, when whatever disturbed the first has passed, so that
    the scatter between runs is averaged, which more rounds of one visit do not do.
    """

    rounds: int = 3
    """Rounds of the first visit."""
    again: int = 2
    """Rounds of each further visit."""
    visits: int = 10
    """How often a benchmark is measured at most; a regression needs two visits together."""

    @property
    def shares(self) -> tuple[float, ...]:
        """What each look, one a visit, spends of the permitted error: most at both ends.

        Most benchmarks have not changed and are done at the first look; those that are hard to
        decide get the sharpest look when all that there will be is on the table.
        """
        if self.visits == 1:
            return (1.0,)
        between = [0.3 / (self.visits - 2)] * (self.visits - 2) if self.visits > 2 else []
        return (0.3, *between, 0.7 - sum(between))

    def rounds_of(self, visit: int) -> int:
        """Rounds of a visit, counted from 1."""
        return self.rounds if visit == 1 else self.again

    def rule(self, visit: int, family: int = 1) -> Rule:
        """How sure the look after a visit must be.

        Args:
            visit: Counted from 1.
            family: How many comparisons the whole suite makes.
        """
        share = self.shares[min(visit, self.visits) - 1]
        return Rule(1 - (1 - COVERAGE) * share, 2 * FAMILY_ERROR * share / max(family, 1))

    def goes_on(self, outcome: Outcome, visit: int) -> bool:
        """Whether a further visit is needed after one that ended like this."""
        if outcome is Outcome.REGRESSED:
            return visit == 1 and self.visits > 1
        return outcome is Outcome.INCONCLUSIVE and visit < self.visits


ADAPTIVE: Final = Schedule()
FIXED: Final = Schedule(rounds=3, visits=1)
"""``--energy-protocol=fixed``: three rounds in one visit, judged once."""


def family_note(family: int) -> list[str]:
    """A sentence on false alarms, where several figures are compared."""
    if family < 2:
        return []
    return [
        f"{family} figures are compared with baselines; where nothing has changed, at most"
        f" {FAMILY_ERROR:.0%} of such runs fail, if runs scatter by no more than 2 %, or as much as"
        " eight accepted runs of each baseline have shown"
    ]
