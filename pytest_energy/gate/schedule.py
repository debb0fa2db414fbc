"""When to stop measuring: as soon as the verdict is clear, within a budget.

Every further look at the data can raise a false alarm, so each look needs a stricter rule. A
*schedule* fixes the number of looks beforehand and divides the permitted error among them. The sum
over all looks then stays within it, however much the looks depend on one another (Bonferroni's
inequality). Source: alpha spending, Lan and DeMets, *Biometrika* 70 (1983); the intervals are
repeated confidence intervals, Jennison and Turnbull, *J. R. Stat. Soc. B* 51 (1989).

Every further benchmark can raise a false alarm, too. Before a change is reported, 'no change' must
be rejected at a significance level that all benchmarks of the suite share. A suite in which nothing
has changed therefore fails in at most :data:`FAMILY_ERROR` of its runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pytest_energy.gate.classify import Rule
from pytest_energy.model.outcomes import Outcome
from pytest_energy.options import ENOUGH_RUNS
from pytest_energy.uncertainty.change import PRIOR, Change, Prior
from pytest_energy.uncertainty.gum import COVERAGE

FAMILY_ERROR: Final = 0.01
"""Highest probability that a suite without any change fails, however many benchmarks it has."""


@dataclass(frozen=True)
class Schedule:
    """The number of visits and looks, fixed before the first look.

    A *visit* is a whole run of the test: set-up, warm-up and a few measured rounds. Further visits
    follow after the other benchmarks, when a disturbance of the first may have passed. They average
    the variation between runs, which more rounds within one visit would not do.
    """

    rounds: int = 3
    """Rounds of the first visit."""
    again: int = 2
    """Rounds of each further visit."""
    visits: int = 10
    """Largest number of visits. A change needs two."""

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the permitted error for each look, one per visit.

        The first and the last look have the largest shares. Most benchmarks have not changed and
        are settled at the first look. The hard ones get the sharpest look when all data are there.
        """
        if self.visits == 1:
            return (1.0,)
        between = [0.3 / (self.visits - 2)] * (self.visits - 2) if self.visits > 2 else []
        return (0.3, *between, 0.7 - sum(between))

    def rounds_of(self, visit: int) -> int:
        """Rounds of a visit, counted from 1."""
        return self.rounds if visit == 1 else self.again

    def rounds_until(self, visit: int) -> int:
        """Rounds of all visits up to this one, counted from 1."""
        return sum(self.rounds_of(number) for number in range(1, visit + 1))

    def rule(self, visit: int, family: int = 1) -> Rule:
        """How sure the look after a visit must be.

        Args:
            visit: Counted from 1.
            family: Number of comparisons in the whole suite.
        """
        share = self.shares[min(visit, self.visits) - 1]
        # Only rises fail a suite: half of a two-sided significance level, so twice the error.
        return Rule(1 - (1 - COVERAGE) * share, 2 * FAMILY_ERROR * share / max(family, 1))

    def goes_on(self, outcome: Outcome, visit: int) -> bool:
        """Whether another visit is needed after a visit with this outcome."""
        if outcome in (Outcome.REGRESSED, Outcome.IMPROVED):
            return visit == 1 and self.visits > 1
        return outcome is Outcome.INCONCLUSIVE and visit < self.visits


ADAPTIVE: Final = Schedule()
FIXED: Final = Schedule(rounds=3, visits=1)
"""``--energy-protocol=fixed``: three rounds in one visit, judged once."""


@dataclass(frozen=True)
class Suite:
    """What a benchmark's verdict takes from the other benchmarks."""

    family: int = 1
    """Number of comparisons of the suite, which share the chance of a false alarm."""
    prior: Prior = PRIOR
    """The assumed variation between runs."""
    shifts: Mapping[str, Change] = field(default_factory=dict)
    """By metric: the change that the suite has in common. It is taken off before the verdict."""
    shared: float = 0.0
    """Standard deviation, as a fraction, of what all benchmarks of a session share and the suite's
    shift does not take off."""


ALONE: Final = Suite()


def family_note(family: int, shards: int = 1) -> list[str]:
    """The rate of false alarms, and its condition, if the suite makes several comparisons."""
    if family < 2:
        return []
    shared = f", in {shards} shards of this size" if shards > 1 else ""
    return [
        f"{family} figures are compared with baselines{shared}. At most"
        f" {round(100 * FAMILY_ERROR)} in 100 unchanged runs fails, if later runs vary no"
        f" more than those of the baselines, and each baseline has {ENOUGH_RUNS} runs or they"
        " vary by at most 2 %."
    ]
