"""What a comparison has found so far, and what of it is decided."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from pytest_energy.against.blocks import Paired
from pytest_energy.against.contest import NO_COST, Contest, Cost
from pytest_energy.against.controls import Controls, Looks, benchmark_of
from pytest_energy.against.messages import SideRun, Started
from pytest_energy.against.side import SideFailedError
from pytest_energy.against.trees import Reference
from pytest_energy.against.verdicts import compare, outcome_of, withdrawn
from pytest_energy.gate.policy import fails_test, with_budgets
from pytest_energy.gate.pooling import pool
from pytest_energy.model.comparison import Against, Comparison, SideName
from pytest_energy.model.measurement import (
    Environment,
    Measurement,
    Reason,
    ReasonCode,
)
from pytest_energy.model.metrics import ENERGY, TOLERANCES
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Undecided, Verdict
from pytest_energy.report.numbers import percent
from pytest_energy.session.suite_shift import suite_shift
from pytest_energy.uncertainty.pairs import (
    FEWEST_TO_FAIL,
    LOOKS,
    PairLook,
    further_blocks,
    look,
    smallest_change,
)

Last = Literal["blocks", "comparison-time", "interruption"]
"""Why no further block follows: the limit of their number or of time, or an interruption."""


@dataclass(frozen=True)
class Rules:
    """What governs the decisions."""

    reference: Reference
    seed: int
    tolerances: Callable[[str], Mapping[str, float]]
    """The accepted relative changes of a benchmark, by metric; the first argument is its id."""
    failing: Collection[str]
    """Outcomes that fail a test."""
    most_blocks: int
    most_s: float | None = None
    """Seconds that the whole comparison may take."""
    suite_tolerance: float = TOLERANCES[ENERGY]
    """The accepted relative change of the whole suite's energy."""
    budgets: Callable[[str], Mapping[str, float]] = lambda benchmark: {}
    """The most joules of a benchmark, by metric."""
    options: tuple[str, ...] = ()
    """Further ones without which it would be another comparison."""


@dataclass
class CaseState:
    """What is known of one test."""

    contests: dict[str, Contest] = field(default_factory=dict)
    """By benchmark."""
    results: dict[str, Result] = field(default_factory=dict)
    """Of the benchmarks that are decided."""
    failure: str | None = None
    """What the head says of a test that failed there, whatever it measured."""
    error: str = ""
    """The line of it that names the exception."""
    lost: bool = False
    """Whether the head crashed or hung in it: this fails the test, as its results say."""
    skipped: str | None = None
    """Why the head skipped it."""
    screening: tuple[Measurement, ...] = ()
    """What the head measured for the committed baselines."""
    cost: Cost = NO_COST
    """Of all its blocks."""
    blocks: int = 0
    """That it took part in."""
    ended: bool = False
    """Whether it is not measured any further."""


class Comparing:
    """Collects blocks, looks at them, and settles one benchmark after the other.

    Where several cards measure at the same time, each has a ``Comparing`` of its own tests and
    controls. They share the permitted error, and lend scatter to one another.

    Args:
        tests: The ids of the tests, in the order of the session.
        rules: What governs the decisions.
        controls: Tests of another card that are controls of this one, too.
    """

    def __init__(self, tests: Iterable[str], rules: Rules, controls: Sequence[str] = ()) -> None:
        self.states = {test: CaseState() for test in tests}
        self.controls = Controls()
        """The base against itself."""
        self.block = 0
        """The number of the current block, from 1."""
        self.shared = NO_COST
        """Of the last block, beside its tests: starts of processes, and controls."""
        self.spent_s = 0.0
        """Seconds that the comparison has taken so far."""
        self.permitted_blocks = rules.most_blocks
        """Blocks that the limits of number and time permit."""
        self.environments = (Environment(), Environment())
        """Of base and head."""
        self.notes: dict[str, None] = {}
        """What concerns the whole comparison."""
        self.screened: dict[str, Outcome] = {}
        """By benchmark: the verdict by the committed baselines."""
        self.cards: Sequence[Comparing] = (self,)
        """Those of all cards, this one included."""
        self._rules = rules
        self._own_controls = controls
        self._looks: Looks = {}

    # ---- which tests are measured next ----

    @property
    def open_tests(self) -> list[str]:
        """The tests of the next block."""
        return [test for test, state in self.states.items() if not state.ended]

    def choose_controls(self, draw: Random) -> list[str]:
        """Draw tests that the sides can run; none where the base is the head.

        The plugin's own control is always among them. Where the committed baselines screened, their
        unchanged tests may be controls, too.
        """
        compared = [test for test, state in self.states.items() if state.contests]
        if self._rules.reference.is_self or not compared:
            return []
        screened = [test for test, state in self.states.items() if _is_by_baseline(state)]
        return self.controls.choose([*compared, *screened, *self._own_controls], draw)

    @property
    def open_controls(self) -> set[str]:
        """The benchmarks whose control is not decided."""
        return self.controls.open_benchmarks

    @property
    def open_control_tests(self) -> list[str]:
        """The tests of the controls that are not decided."""
        return self.controls.open_tests

    # ---- what the blocks gave ----

    def note_start(self, base: Started, head: Started) -> None:
        """Take in what the sides of a fresh pair are."""
        self.environments = (base.environment, head.environment)
        for test in sorted(set(base.tests) - set(head.tests)):
            self.note_gone(test)

    def note_replaced(self, files: Sequence[Path]) -> None:
        """Say which test files differ: both sides run those of the working tree."""
        if files:
            names = ", ".join(path.as_posix() for path in files)
            self.notes[
                f"Not measured: what changed in {names} since {self._reference}. Both sides run the"
                " test files of the working tree"
            ] = None

    def note_gone(self, test: str) -> None:
        """Note a test that the base alone has."""
        self.notes[f"gone: {test} exists on {self._reference} only"] = None

    def take(self, test: str, done: Paired | SideFailedError, cost: Cost = NO_COST) -> None:
        """Take in what one test gave in this block, and what that took."""
        state = self.states[test]
        state.cost += cost
        state.blocks += 1
        if isinstance(done, SideFailedError):
            self._end_without_side(test, state, done.side, str(done))
        elif done.head.outcome != "passed":
            _end_as_on_head(state, done.head)
        elif done.base.outcome != "passed":
            self._end_without_base(test, state, done)
        else:
            self._pair(test, state, done)

    def take_control(self, done: Paired | SideFailedError, test: str) -> None:
        """Take in a block of the base against itself."""
        if why := self.controls.take(test, done, self.block):
            self.notes[f"The control {test} was lost: {why}"] = None

    def _pair(self, test: str, state: CaseState, done: Paired) -> None:
        before = {measured.id: measured for measured in done.base.measurements}
        for head in done.head.measurements:
            if head.id in before:
                contest = state.contests.setdefault(head.id, Contest())
                contest.add(self.block, done, before[head.id], head)
            elif head.id not in state.contests:
                self._keep(state, self._new(head, f"not measured on {self._reference}"))
        for gone in before.keys() - {head.id for head in done.head.measurements}:
            self.notes[f"gone: {gone} is measured on {self._reference} only"] = None
        state.ended = not state.contests

    def _end_without_side(self, test: str, state: CaseState, side: SideName, how: str) -> None:
        state.ended = True
        state.lost = side == "head"
        reason = Reason(code=ReasonCode.SIDE_FAILED, message=how)
        for benchmark in state.contests or {test: Contest()}:
            contest = state.contests.get(benchmark, Contest())
            self._keep(state, self._invalid(benchmark, contest, [reason]))

    def _end_without_base(self, test: str, state: CaseState, done: Paired) -> None:
        state.ended = True
        why = done.base.error or done.base.text or f"it was {done.base.outcome}"
        for head in done.head.measurements:
            contest = state.contests.get(head.id)
            if contest and contest.blocks:
                message = f"the base side failed in block {self.block}: {why}"
                reason = Reason(code=ReasonCode.SIDE_FAILED, message=message)
                self._keep(state, self._invalid(head.id, contest, [reason]))
            else:
                self._keep(state, self._new(head, f"does not run on {self._reference}: {why}"))

    # ---- the first stage: committed baselines ----

    def take_screening(self, test: str, done: SideRun | SideFailedError) -> None:
        """Take in what the head alone gave for the committed baselines."""
        state = self.states[test]
        if isinstance(done, SideFailedError):
            self._end_without_side(test, state, done.side, str(done))
        elif done.outcome != "passed":
            _end_as_on_head(state, done)
        else:
            state.screening = done.measurements

    def screen(self, judge: Callable[[Measurement], Result]) -> list[Result]:
        """Judge by the committed baselines whatever the head has measured alone, on all cards.

        A test whose benchmarks are all unchanged is decided; the others are measured against the
        reference. If the whole suite shifted by more than the tolerance, all are: the baselines
        cannot tell a machine that moved from a change that hits everything.

        Args:
            judge: The verdict of a committed baseline.

        Returns:
            All verdicts of this stage.
        """
        screening = [
            (card, state, [self._by_baseline(judge(measured)) for measured in state.screening])
            for card in self.cards
            for state in card.states.values()
        ]
        judged = [result for _, _, results in screening for result in results]
        shift = suite_shift(judged, self._rules.suite_tolerance)
        shifted = shift is not None and shift.outcome is not Outcome.UNCHANGED
        if shift is not None and shifted:
            self.notes[
                f"The whole suite shifted by {percent(shift.change)} since its baselines, so every"
                f" benchmark is measured against {self._reference}"
            ] = None
        for card, state, results in screening:
            card.screened |= {result.id: result.verdict.outcome for result in results}
            calm = all(one.verdict.outcome is Outcome.UNCHANGED for one in results)
            if results and calm and not shifted:
                state.ended = True
                state.results = {result.id: result for result in results}
        return judged

    def _by_baseline(self, result: Result) -> Result:
        note = f"compared with the committed baseline, not with {self._reference}"
        verdict = result.verdict.model_copy(update={"notes": [note, *result.verdict.notes]})
        return result.model_copy(update={"verdict": verdict})

    # ---- decisions ----

    def look(self, *, last: Last | None = None) -> list[Result]:
        """Look at all blocks so far.

        Args:
            last: Why no further block follows; then whatever is open is inconclusive.

        Returns:
            The results that this look settled.
        """
        # Whoever interrupts has perhaps seen the blocks, so that ends with no look of its own.
        final = last is not None and last != "interruption"
        self._looks = {metric: self._look_at(metric, final) for metric in self._metrics()}
        if last:
            self.controls.close()
        self.controls.settle(self._looks, self._gated)
        before = {id for state in self.states.values() for id in state.results}
        for state in self.states.values():
            if not state.ended:
                self._settle(state, last)
        results = [result for state in self.states.values() for result in state.results.values()]
        return [result for result in results if result.id not in before]

    def _metrics(self) -> set[str]:
        contests = [*self._contests().values(), *self.controls.contests.values()]
        return {metric for contest in contests for metric in contest.metrics}

    def _contests(self) -> dict[str, Contest]:
        return {
            benchmark: contest
            for state in self.states.values()
            for benchmark, contest in state.contests.items()
        }

    def _look_at(self, metric: str, final: bool) -> dict[str, PairLook]:
        """Look at one metric of all benchmarks and controls: they lend scatter to one another."""
        samples: dict[str, list[float]] = {}
        tolerances: dict[str, float] = {}
        for number, card in enumerate(self.cards):
            # A control that all cards measure has the same name on each.
            prefix = "" if card is self else f"{number} "
            for name, contest in (card._contests() | card.controls.by_look).items():
                if len(sample := contest.sample(metric)) >= LOOKS[0]:
                    samples[prefix + name] = sample
                    tolerances[prefix + name] = self._tolerance(name, metric)
        most_blocks = self._rules.most_blocks
        return look(samples, tolerances, self.family, most_blocks, final=final)

    def _tolerance(self, id: str, metric: str) -> float:
        """Of a gated metric its own; others are judged by that of the energy, without gating."""
        tolerances = self._rules.tolerances(benchmark_of(id))
        return tolerances.get(metric, tolerances.get(ENERGY, TOLERANCES[ENERGY]))

    @property
    def family(self) -> int:
        """The number of comparisons that share the chance of a false alarm, on all cards."""
        return max(1, sum(card._count_comparisons() for card in self.cards))

    def _count_comparisons(self) -> int:
        gated = [
            len(self._gated(benchmark, contest)) for benchmark, contest in self._contests().items()
        ]
        # A card that is still in its first block does not know how many benchmarks its tests have.
        unknown = [state for state in self.states.values() if not state.contests | state.results]
        return sum(gated) + len(self.controls.contests) + sum(not one.ended for one in unknown)

    def _gated(self, benchmark: str, contest: Contest) -> list[str]:
        """The metrics that decide, as far as each block tells of them."""
        return sorted(contest.metrics & self._rules.tolerances(benchmark).keys())

    def _settle(self, state: CaseState, last: Last | None) -> None:
        for benchmark, contest in state.contests.items():
            if benchmark in state.results:
                continue
            if contest.given_up or (last and not contest.blocks):
                self._keep(state, self._invalid(benchmark, contest, []))
            elif contest.blocks and (last or self._is_decided(benchmark, contest)):
                self._keep(state, self._compared(benchmark, contest, last, state))
        state.ended = state.contests.keys() <= state.results.keys()

    def _is_decided(self, benchmark: str, contest: Contest) -> bool:
        outcomes = [
            outcome_of(metric, self._looks[metric].get(benchmark), contest.head[-1])
            for metric in self._gated(benchmark, contest)
        ]
        return Outcome.REGRESSED in outcomes or None not in outcomes

    def final(self) -> list[Result]:
        """The results, once the controls are settled; inconclusive where a control moved."""
        results = [result for state in self.states.values() for result in state.results.values()]
        return [self._with_controls(result) for result in results]

    def _with_controls(self, result: Result) -> Result:
        comparison = result.comparison
        if comparison is not None and result.id in self.controls.contests:
            control = self.controls.describe(result.id, self._looks)
            comparison = comparison.model_copy(update={"control": control})
        if comparison is not None and (visible := self._visible(result.id)):
            update = {"visible": visible, "visible_blocks": self.permitted_blocks}
            comparison = comparison.model_copy(update=update)
        verdict = result.verdict
        if moved := self.controls.moved:
            why = f"the control {moved[0]} moved, measured base against base: {self._moved_what()}"
            verdict = withdrawn(result, why)
            fails = fails_test(verdict, result, self._rules.failing)
            verdict = verdict.model_copy(update={"fails": fails})
        return Result.of(result, verdict, comparison)

    def _moved_what(self) -> str:
        if len(self.cards) == 1:
            return "the machine changed, so this session proves nothing"
        return "its card changed, so no result of this card proves anything"

    def _visible(self, benchmark: str) -> dict[str, float]:
        """The smallest rises that would be called regressed, by gated metric."""
        changes = {
            metric: smallest_change(
                self._looks[metric][benchmark],
                self._tolerance(benchmark, metric),
                self.family,
                self._rules.most_blocks,
                self.permitted_blocks,
            )
            for metric in sorted(self._rules.tolerances(benchmark))
            if benchmark in self._looks.get(metric, {})
        }
        return {metric: change for metric, change in changes.items() if change is not None}

    def describe(self) -> Against:
        """The comparison on all cards as a whole, as far as it is."""
        controls: dict[str, Outcome] = {}
        for number, card in enumerate(self.cards):
            for benchmark, outcome in card.controls.outcomes.items():
                name = f"{benchmark} (card {number})" if benchmark in controls else benchmark
                controls[name] = outcome
        return Against(
            reference=self._rules.reference.name,
            commit=self._rules.reference.commit,
            seed=self._rules.seed,
            blocks=max(card.block for card in self.cards),
            controls=controls,
            screened={id: one for card in self.cards for id, one in card.screened.items()},
            notes=list(
                dict.fromkeys(
                    [
                        *self._describe_screening(),
                        *self._describe_controls(),
                        *self._describe_nothing(),
                        *self._describe_limit(),
                        *(note for card in self.cards for note in card.notes),
                    ]
                )
            ),
        )

    def _describe_screening(self) -> Sequence[str]:
        screened = sum(len(card.screened) for card in self.cards)
        if not screened:
            return ()
        states = (state for card in self.cards for state in card.states.values())
        decided = sum(len(state.results) for state in states if _is_by_baseline(state))
        return (
            f"Screened by the committed baselines: {decided} of {screened} unchanged, and not"
            f" measured against {self._reference} (--energy-against-all measures every one)",
        )

    def _describe_controls(self) -> Iterator[str]:
        """Say where the controls do not show that the machine was steady."""
        for number, card in enumerate(self.cards):
            on_card = "" if len(self.cards) == 1 else f"Card {number}: "
            yield from (f"{on_card}{remark}" for remark in card.controls.remarks)

    def _describe_nothing(self) -> Sequence[str]:
        """Say so if no test gave anything that could be compared."""
        begun = any(card.block for card in self.cards)
        if not begun or any(card._contests() or card.screened for card in self.cards):
            return ()
        return (f"Nothing was compared: no test ran both here and on {self._reference}",)

    def _describe_limit(self) -> Sequence[str]:
        """Say so if the limit of time lets nothing fail."""
        fewest = min(card.permitted_blocks for card in self.cards)
        if fewest >= FEWEST_TO_FAIL:
            return ()
        return (
            f"The limit of time permits about {fewest} block{'s'[: fewest != 1]}, and no rise is"
            f" called regressed before {FEWEST_TO_FAIL}: raise --energy-against-time",
        )

    # ---- results ----

    def _keep(self, state: CaseState, result: Result) -> None:
        verdict = with_budgets(result.verdict, result, self._rules.budgets(result.id))
        fails = fails_test(verdict, result, self._rules.failing)
        fails = fails or state.lost or state.failure is not None
        verdict = verdict.model_copy(update={"fails": fails})
        state.results[result.id] = Result.of(result, verdict, result.comparison)

    def _compared(
        self, benchmark: str, contest: Contest, last: Last | None, state: CaseState
    ) -> Result:
        looks = {
            metric: found[benchmark] for metric, found in self._looks.items() if benchmark in found
        }
        base, head = pool(contest.base), pool(contest.head)
        tolerances = self._rules.tolerances(benchmark)
        verdict = compare(base, head, looks, tolerances, self.environments)
        notes = [self._how(contest)]
        undecided = None
        if verdict.outcome is Outcome.INCONCLUSIVE:
            undecided = self._undecided(verdict, contest, looks, last or "blocks", state)
        if contest.spoilt:
            notes.append(f"{len(contest.spoilt)} blocks were left out: one side was invalid")
        verdict = verdict.model_copy(update={"notes": notes, "undecided": undecided})
        return Result.of(head, verdict, self._describe(contest))

    def _undecided(
        self,
        verdict: Verdict,
        contest: Contest,
        looks: Mapping[str, PairLook],
        last: Last,
        state: CaseState,
    ) -> Undecided | None:
        """What would decide the gated metrics that are open; ``None`` if blocks tell of none."""
        open_metrics = [
            metric
            for metric in verdict.gated
            if metric.outcome is Outcome.INCONCLUSIVE and metric.metric in contest.metrics
        ]
        if not open_metrics:
            return None
        stopped = Undecided(limit=last, allowed=self._rules.most_s, spent_s=self.spent_s)
        most_blocks = self._rules.most_blocks
        further = [
            further_blocks(looks[metric.metric], metric.tolerance or 0.0, self.family, most_blocks)
            for metric in open_metrics
            if metric.metric in looks
        ]
        known = [blocks for blocks in further if blocks is not None]
        if len(known) < len(open_metrics):
            return stopped
        blocks, needed = max(known), self.block + max(known)
        cost = blocks * (self.shared + 1 / max(state.blocks, 1) * state.cost)
        rounds = blocks / len(contest.blocks) * contest.rounds_cost
        return stopped.model_copy(
            update={
                "blocks": blocks,
                "needed_blocks": needed if needed > most_blocks else None,
                "duration_s": cost.duration_s,
                "energy_j": _joules(cost, rounds),
                "shared_s": blocks * self.shared.duration_s,
            }
        )

    def _how(self, contest: Contest) -> str:
        blocks = len(contest.blocks)
        text = f"measured against {self._reference} in {blocks} block{'s'[: blocks != 1]}"
        if "runs" in contest.alternated:
            text += "; the device does not hold both sides, so whole runs alternated, not rounds"
        return text

    def _new(self, head: Measurement, why: str) -> Result:
        verdict = compare(
            head.model_copy(update={"metrics": {}}),
            head,
            {},
            self._rules.tolerances(head.id),
            self.environments,
        )
        new = verdict.model_copy(update={"outcome": Outcome.NEW, "notes": [why]})
        return Result.of(head, new, self._describe(Contest()))

    def _invalid(self, benchmark: str, contest: Contest, reasons: list[Reason]) -> Result:
        """A benchmark whose sides gave nothing that can be compared."""
        measured, found = self._unusable(benchmark, contest)
        invalid = measured.model_copy(
            update={"status": "invalid", "reasons": [*found, *reasons], "metrics": {}}
        )
        tolerances = self._rules.tolerances(benchmark)
        verdict = compare(measured, invalid, {}, tolerances, self.environments)
        return Result.of(invalid, verdict, self._describe(contest))

    def _unusable(self, benchmark: str, contest: Contest) -> tuple[Measurement, list[Reason]]:
        """The last measurement of the head, if there is any, and why a pair was not valid."""
        if contest.spoilt:
            base, head = contest.spoilt[-1]
            return head, [*head.reasons, *(_of_base(reason) for reason in base.reasons)]
        if contest.head:
            return contest.head[-1], []
        return Measurement(id=benchmark, kind="call", workload={}, status="invalid"), []

    def _describe(self, contest: Contest) -> Comparison:
        return Comparison(
            reference=self._rules.reference.name,
            commit=self._rules.reference.commit,
            options=list(self._rules.options),
            seed=self._rules.seed,
            alternated="runs" if "runs" in contest.alternated else "rounds",
            blocks=contest.blocks,
            spoilt=len(contest.spoilt),
        )

    @property
    def _reference(self) -> str:
        return str(self._rules.reference)


def _joules(cost: Cost, rounds: Cost) -> float | None:
    """The joules of some work; ``None`` if those of its rounds are unknown."""
    if rounds.energy_j is None:
        return None
    if cost.energy_j is not None:
        # A meter that counts for its own process only has not seen the sides.
        return max(cost.energy_j, rounds.energy_j)
    return rounds.energy_j / rounds.duration_s * cost.duration_s if rounds.duration_s else None


def _end_as_on_head(state: CaseState, head: SideRun) -> None:
    """A test that did not pass on the head has the outcome that it has there."""
    state.ended = True
    if head.outcome == "skipped":
        state.skipped = head.text or "skipped"
    else:
        state.failure, state.error = head.text or head.error, head.error


def _is_by_baseline(state: CaseState) -> bool:
    """Whether the committed baselines decided a test, so that it was not compared."""
    return bool(state.screening and state.results) and not state.contests


def _of_base(reason: Reason) -> Reason:
    return reason.model_copy(update={"message": f"base side: {reason.message}"})


def missing(error: str) -> SideRun:
    """What a side answers for a test that it does not have."""
    why = error or "there is no such test"
    return SideRun(outcome="missing", text=why, error=why)
