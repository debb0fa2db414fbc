"""Accept results of a finished run as baselines, and find baselines without a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.baseline_history import creep
from pytest_energy.gate.baseline_store import FACTS, BaselineStore
from pytest_energy.gate.make_baseline import has_something_to_keep
from pytest_energy.model.environment import slug as slug_of
from pytest_energy.model.measurement import Measurement, ReasonCode, is_control
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, Verdict
from pytest_energy.settings import Update

ACCEPTED: Final[Mapping[Update, frozenset[Outcome]]] = {
    "none": frozenset(),
    "new": frozenset({Outcome.NEW}),
    "improved": frozenset({Outcome.NEW, Outcome.IMPROVED}),
    "all": frozenset(Outcome) - {Outcome.INVALID, Outcome.OVER_BUDGET},
}
"""Outcomes that become the baseline, by the value of ``--energy-update``."""
OF_ANOTHER_MACHINE: Final = ("identity.", "meter.")
"""Prefixes of differences between machines, as opposed to workloads."""


@dataclass(frozen=True)
class Acceptance:
    """The effect of accepting a run."""

    written: tuple[Path, ...]
    """The changed files."""
    refused: tuple[str, ...]
    """Benchmarks that cannot be a baseline, each with the reason."""


def is_accepted(update: Update, verdict: Verdict, measured: Measurement, *, has_own: bool) -> bool:
    """Whether ``--energy-update`` makes a result the baseline.

    Results of failed tests are never accepted, nor results that hold nothing for a baseline.

    Args:
        update: The value of the option.
        verdict: The verdict on ``measured``.
        measured: The result that may become the baseline.
        has_own: Whether the machine that measured it already has a baseline of it.
    """
    selected = acceptance_outcome(verdict, has_own=has_own) in ACCEPTED[update]
    if budget_refusal(verdict):
        return False
    return selected and refusal_reason(measured) is None and has_something_to_keep(measured)


def acceptance_outcome(verdict: Verdict, *, has_own: bool) -> Outcome:
    """The outcome that decides on acceptance.

    A benchmark that only other machines have measured is new on this one.
    """
    elsewhere = all(change.name.startswith(OF_ANOTHER_MACHINE) for change in verdict.differences)
    if verdict.outcome is Outcome.INCOMPARABLE and elsewhere and not has_own:
        return Outcome.NEW
    return verdict.outcome


def budget_refusal(verdict: Verdict) -> str | None:
    """Why a result over its budget cannot be a baseline, which would not lift the budget."""
    over = [budget for budget in verdict.budgets if budget.outcome is Outcome.OVER_BUDGET]
    if not over:
        return None
    budget = over[0]
    return (
        f"over budget: {budget.metric} {budget.value:.4g} {budget.unit}, at most {budget.limit:g}"
        " (max_joules in the marker of the test)"
    )


def refusal_reason(measured: Measurement) -> str | None:
    """Why a measurement cannot be a baseline; ``None`` if it can."""
    failed = [reason for reason in measured.reasons if reason.code is ReasonCode.TEST_FAILED]
    fatal = [reason for reason in measured.reasons if reason.fatal]
    if measured.status == "invalid" or failed:
        return "; ".join(reason.message for reason in [*fatal, *failed]) or "invalid"
    return unresolved_estimate(measured)


def unresolved_estimate(measured: Measurement) -> str | None:
    """Why an estimate says too little to be a baseline; ``None`` if it does not, or is measured.

    A sensor makes a window that it cannot resolve invalid. A model gives a number nevertheless.
    """
    short = [each for each in measured.reasons if each.code is ReasonCode.WINDOW_TOO_SHORT]
    return short[0].message if short and measured.status == "estimated" else None


def machine_of(result: Result, run: Run) -> str:
    """The baseline folder of the machine on which a result was measured."""
    return slug_of(result.measured_in(run.environment).identity)


def select_results(run: Run, store: BaselineStore, update: Update) -> list[Result]:
    """The results of a run that should be accepted.

    Args:
        run: A finished run, perhaps of another machine.
        store: The present baselines.
        update: As for ``--energy-update``.
    """
    # What is refused is selected, too, so that accept() can say so.
    refused = {Outcome.INVALID, Outcome.OVER_BUDGET} if update == "all" else set()
    outcomes = ACCEPTED[update] | refused
    return [
        result
        for result in run.benchmarks
        if acceptance_outcome(result.verdict, has_own=_has_own(result, run, store)) in outcomes
    ]


def _has_own(result: Result, run: Run, store: BaselineStore) -> bool:
    return store.load(result.id, machine_of(result, run)) is not None


def drift_refusal(
    result: Result, store: BaselineStore, machine: str, tolerance: float, tag: str | None
) -> str | None:
    """Why a result must not be accepted unless the user accepts the drift; ``None`` if it may.

    Each of many small rises is within the tolerance, but their sum is not.

    Args:
        result: The result that may become the baseline.
        store: The present baselines.
        machine: The folder of the machine that measured it.
        tolerance: The accepted relative change of the energy.
        tag: A revision from which on accepted changes add up, such as the last tag.
    """
    baseline = store.load(result.id, machine)
    if baseline is None or result.energy is None:
        return None
    if result.verdict.outcome is Outcome.INCOMPARABLE:
        return None  # it begins a level, and has no small change to add
    if any(m.metric == ENERGY and abs(m.change or 0.0) > tolerance for m in result.verdict.gated):
        return None  # a change of its own, which the user sees
    path = store.path(result.id, machine)
    change = creep(path, baseline, result.energy.value, tolerance, tag)
    if change is None or change <= tolerance:
        return None
    since = f"since {tag}" if tag else "over its accepted runs"
    return (
        f"small accepted changes add up to {100 * change:+.1f} % {since}, tolerance"
        f" {100 * tolerance:g} %"
    )


def accept(
    run: Run,
    results: Collection[Result],
    store: BaselineStore,
    refuses: Callable[[Result], str | None] = lambda result: None,
) -> Acceptance:
    """Make results the baselines of the machines that measured them. Invalid ones are refused.

    Args:
        run: Which measured them.
        results: Those to accept.
        store: Takes them.
        refuses: Why a valid result is refused nevertheless.
    """
    written: list[Path] = []
    refused: list[str] = []
    for result in results:
        if reason := refusal_reason(result) or budget_refusal(result.verdict) or refuses(result):
            refused.append(f"{result.id}: {reason}")
            continue
        machine = machine_of(result, run)
        written += store.save(result, run.environment, machine, run.run.commit)
    return Acceptance(tuple(written), tuple(refused))


@dataclass(frozen=True)
class Collected:
    """The tests that pytest collected."""

    root: Path
    """The folder that ids are relative to."""
    asked: Sequence[str]
    """The files, folders and ids on the command line; empty means all tests."""
    files: frozenset[str]
    """The test files that pytest read."""
    tests: frozenset[str]
    """The ids of the collected tests."""

    def was_asked_for(self, test_id: str) -> bool:
        """Whether the command line includes a test of this id, existing or not."""
        if is_control(test_id):
            return False  # its option collects it, whatever else was asked for
        inside = tuple(f"{asked}{mark}" for asked in self.asked for mark in ("/", "::", "["))
        everywhere = not self.asked or "." in self.asked
        return everywhere or test_id in self.asked or test_id.startswith(inside)

    def holds(self, test_id: str) -> bool:
        """Whether the id is that of a test or of a window, ``<test>::<window>``."""
        return test_id in self.tests or any(test_id.startswith(f"{test}::") for test in self.tests)

    def was_unread(self, test_id: str) -> bool:
        """Whether the test's file exists, but was skipped or ignored."""
        file = test_id.partition("::")[0]
        return file not in self.files and (self.root / file).exists()


@dataclass(frozen=True)
class Orphans:
    """Baselines of tests that were not collected."""

    gone: tuple[tuple[Path, Baseline], ...]
    """The test no longer exists."""
    unread: tuple[tuple[Path, Baseline], ...]
    """The test may exist: its file was not read."""


def orphans(store: BaselineStore, collected: Collected) -> Orphans:
    """The baselines that the command line includes, but whose tests were not collected."""
    missing = [
        (store.path(baseline.id, slug), baseline)
        for slug in (*store.slugs(), FACTS)
        for baseline in store.load_all(slug)
        if collected.was_asked_for(baseline.id) and not collected.holds(baseline.id)
    ]
    return Orphans(
        gone=tuple(entry for entry in missing if not collected.was_unread(entry[1].id)),
        unread=tuple(entry for entry in missing if collected.was_unread(entry[1].id)),
    )
