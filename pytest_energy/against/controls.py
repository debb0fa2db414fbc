"""The controls: the base is measured against itself, which shows whether the machine moved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Final

from pytest_energy.against.blocks import Paired
from pytest_energy.against.contest import Contest
from pytest_energy.against.side import SideFailedError
from pytest_energy.against.verdicts import outcome_of
from pytest_energy.model.comparison import Control
from pytest_energy.model.measurement import is_control
from pytest_energy.model.metrics import ENERGY, LATENCY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.uncertainty.pairs import PairLook

CHANGED: Final = (Outcome.REGRESSED, Outcome.IMPROVED)
SHARE: Final = 10
"""One test in so many is a control."""
MOST: Final = 5

Looks = Mapping[str, Mapping[str, PairLook]]
"""By metric and name: a benchmark's id, or :func:`name_of` its control."""


def name_of(benchmark: str) -> str:
    """The name of a benchmark's control among the looks."""
    return f"control {benchmark}"


def benchmark_of(name: str) -> str:
    """The benchmark behind a name among the looks."""
    return name.removeprefix(name_of(""))


class Controls:
    """Collects the blocks of the controls and settles one after the other."""

    def __init__(self) -> None:
        self.contests: dict[str, Contest] = {}
        """By benchmark."""
        self.outcomes: dict[str, Outcome] = {}
        """By benchmark: of those that are settled."""
        self._tests: dict[str, set[str]] = {}
        """By test: its benchmarks."""
        self._closed = False

    def choose(self, able: Sequence[str], draw: Random) -> list[str]:
        """Draw some of the tests that the sides can run.

        The plugin's own control is always among them.
        """
        fixed = [test for test in able if is_control(test)]
        others = [test for test in able if test not in fixed]
        number = min(MOST, -(-len(others) // SHARE))
        tests = sorted([*fixed, *draw.sample(others, number)])
        self._tests = {test: set() for test in tests}
        return tests

    @property
    def open_benchmarks(self) -> set[str]:
        """Those that are not settled."""
        return set() if self._closed else self.contests.keys() - self.outcomes.keys()

    @property
    def open_tests(self) -> list[str]:
        """The tests of the benchmarks that are not settled."""
        left = self.open_benchmarks
        return [test for test, benchmarks in self._tests.items() if benchmarks & left]

    @property
    def by_look(self) -> dict[str, Contest]:
        """The contests by their names among the looks."""
        return {name_of(benchmark): contest for benchmark, contest in self.contests.items()}

    @property
    def moved(self) -> list[str]:
        """The benchmarks that changed although their code did not."""
        return sorted(id for id, outcome in self.outcomes.items() if outcome in CHANGED)

    @property
    def remarks(self) -> Sequence[str]:
        """Say so if the controls do not show that the machine was steady."""
        unsettled = not self._tests or self.open_benchmarks
        if unsettled or self.moved or Outcome.UNCHANGED in self.outcomes.values():
            return ()
        return (
            "No control could vouch for the machine: none was found unchanged, base against base,"
            " so a change may be the machine's",
        )

    def take(self, test: str, done: Paired | SideFailedError, block: int) -> str | None:
        """Take in a block.

        Returns:
            Why the control of this test is lost; ``None`` if it is not.
        """
        benchmarks = self._tests.setdefault(test, set())
        if why := _why_none(done):
            for benchmark in benchmarks - self.outcomes.keys():
                self.contests.pop(benchmark, None)
            return why
        assert isinstance(done, Paired)
        again = {measured.id: measured for measured in done.head.measurements}
        for base in done.base.measurements:
            if base.id in again:
                contest = self.contests.setdefault(base.id, Contest())
                contest.add(block, done, base, again[base.id])
                benchmarks.add(base.id)
        return None

    def close(self) -> None:
        """No further block follows: whatever is open then is settled as it is."""
        self._closed = True

    def settle(self, looks: Looks, gated: Callable[[str, Contest], Collection[str]]) -> None:
        """Settle what the looks decide.

        Args:
            looks: At all benchmarks and controls.
            gated: The metrics that decide on a benchmark, sorted.
        """
        for benchmark, contest in self.contests.items():
            if benchmark not in self.outcomes:
                metrics = gated(benchmark, contest)
                if outcome := self._outcome(benchmark, contest, metrics, looks):
                    self.outcomes[benchmark] = outcome

    def _outcome(
        self, benchmark: str, contest: Contest, metrics: Collection[str], looks: Looks
    ) -> Outcome | None:
        """What a control comes to; ``None`` as long as it is open."""
        if not contest.blocks:
            return Outcome.INVALID if contest.given_up or self._closed else None
        if not metrics:
            return Outcome.UNMEASURED
        name = name_of(benchmark)
        head = contest.head[-1]
        outcomes = [outcome_of(metric, looks[metric].get(name), head) for metric in metrics]
        if changed := [outcome for outcome in outcomes if outcome in CHANGED]:
            return changed[0]
        if None in outcomes and not self._closed:
            return None
        calm = all(outcome is Outcome.UNCHANGED for outcome in outcomes)
        return Outcome.UNCHANGED if calm else Outcome.INCONCLUSIVE

    def describe(self, benchmark: str, looks: Looks) -> Control:
        """The control of a benchmark with its change: of the energy, or of the time alone."""
        of_benchmarks = looks.get(ENERGY) or looks.get(LATENCY, {})
        found = of_benchmarks.get(name_of(benchmark))
        change, low, high = (found.change, found.low, found.high) if found else (None, None, None)
        outcome = self.outcomes.get(benchmark, Outcome.INCONCLUSIVE)
        blocks = self.contests[benchmark].blocks
        return Control(outcome=outcome, change=change, low=low, high=high, blocks=blocks)


def _why_none(done: Paired | SideFailedError) -> str | None:
    """Why two runs of the base say nothing; ``None`` if they do."""
    if isinstance(done, SideFailedError):
        return done.how
    runs = [run for run in (done.base, done.head) if run.outcome != "passed"]
    if runs:
        return runs[0].error or runs[0].text or f"it was {runs[0].outcome}"
    return None if done.base.measurements else "it measured nothing"
