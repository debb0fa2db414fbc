"""Accepting results of a finished run as baselines, and finding baselines that nothing needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.baseline_store import FACTS, BaselineStore
from pytest_energy.gate.make_baseline import has_something_to_keep
from pytest_energy.model.environment import slug as slug_of
from pytest_energy.model.measurement import Measurement, ReasonCode
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, Verdict
from pytest_energy.settings import Update

ACCEPTED: Final[Mapping[Update, frozenset[Outcome]]] = {
    "none": frozenset(),
    "new": frozenset({Outcome.NEW}),
    "improved": frozenset({Outcome.NEW, Outcome.IMPROVED}),
    "all": frozenset(Outcome) - {Outcome.INVALID},
}
"""Outcomes that become the baseline, by the value of ``--energy-update``."""
OF_ANOTHER_MACHINE: Final = ("identity.", "meter.")
"""How the differences begin that do not concern what was run."""


@dataclass(frozen=True)
class Acceptance:
    """What accepting a run did."""

    written: tuple[Path, ...]
    """The files that changed."""
    refused: tuple[str, ...]
    """Benchmarks that cannot be a baseline, each with why."""


def is_accepted(update: Update, verdict: Verdict, measured: Measurement, *, has_own: bool) -> bool:
    """Whether ``--energy-update`` makes a result the baseline.

    Never that of a failed test, nor one without anything that a baseline keeps.

    Args:
        update: The option.
        verdict: The gate's, on ``measured``.
        measured: What would be the baseline.
        has_own: Whether the machine that measured it has a baseline of it already.
    """
    wanted = outcome_of(verdict, has_own=has_own) in ACCEPTED[update]
    return wanted and refusal(measured) is None and has_something_to_keep(measured)


def outcome_of(verdict: Verdict, *, has_own: bool) -> Outcome:
    """The outcome by which results are accepted: what only other machines have is new on this."""
    elsewhere = all(one.name.startswith(OF_ANOTHER_MACHINE) for one in verdict.differences)
    if verdict.outcome is Outcome.INCOMPARABLE and elsewhere and not has_own:
        return Outcome.NEW
    return verdict.outcome


def refusal(measured: Measurement) -> str | None:
    """Why a measurement cannot be a baseline; ``None`` where it can."""
    failed = [one for one in measured.reasons if one.code is ReasonCode.TEST_FAILED]
    fatal = [one for one in measured.reasons if one.fatal]
    told = "; ".join(reason.message for reason in [*fatal, *failed])
    return (told or "invalid") if measured.status == "invalid" or failed else None


def machine_of(result: Result, run: Run) -> str:
    """The folder of the machine that a result was measured on."""
    return slug_of(result.measured_in(run.environment).identity)


def wanted(run: Run, store: BaselineStore, update: Update = "all") -> list[Result]:
    """The results of a run that are to be accepted.

    Args:
        run: What was measured, perhaps elsewhere.
        store: The baselines that there are.
        update: As for ``--energy-update``.
    """
    outcomes = ACCEPTED[update] | ({Outcome.INVALID} if update == "all" else set())
    return [
        result
        for result in run.benchmarks
        if outcome_of(result.verdict, has_own=_has_own(result, run, store)) in outcomes
    ]


def _has_own(result: Result, run: Run, store: BaselineStore) -> bool:
    return store.load(result.id, machine_of(result, run)) is not None


def accept(run: Run, results: Collection[Result], store: BaselineStore) -> Acceptance:
    """Make results the baselines of the machines that measured them; invalid ones are refused."""
    written: list[Path] = []
    refused: list[str] = []
    for result in results:
        if why := refusal(result):
            refused.append(f"{result.id}: {why}")
            continue
        machine = machine_of(result, run)
        written += store.save(result, run.environment, machine, run.run.commit)
    return Acceptance(tuple(written), tuple(refused))


@dataclass(frozen=True)
class Collected:
    """What pytest collected."""

    root: Path
    """The directory that ids are relative to."""
    asked: Sequence[str]
    """What ids had to begin with to be looked for; empty where all were."""
    files: frozenset[str]
    """The files that were read to find tests."""
    tests: frozenset[str]
    """The ids of the tests in them."""

    def was_asked_for(self, test_id: str) -> bool:
        """Whether a test of this id, if there is one, is among those that were looked for."""
        inside = tuple(f"{one}{mark}" for one in self.asked for mark in ("/", "::", "["))
        everywhere = not self.asked or "." in self.asked
        return everywhere or test_id in self.asked or test_id.startswith(inside)

    def holds(self, test_id: str) -> bool:
        """Whether it is the id of a test, or of a window of one: ``<test>::<window>``."""
        return test_id in self.tests or any(test_id.startswith(f"{one}::") for one in self.tests)

    def was_unread(self, test_id: str) -> bool:
        """Whether the test's file is there, but skipped itself or was left out."""
        file = test_id.partition("::")[0]
        return file not in self.files and (self.root / file).exists()


@dataclass(frozen=True)
class Orphans:
    """Baselines of tests that were not collected."""

    gone: tuple[tuple[Path, Baseline], ...]
    """Their tests no longer exist."""
    unread: tuple[tuple[Path, Baseline], ...]
    """Nobody knows: the file of their test was not read."""


def orphans(store: BaselineStore, collected: Collected) -> Orphans:
    """Baselines, among those asked for, of tests that were not collected."""
    missing = [
        (store.path(kept.id, slug), kept)
        for slug in (*store.slugs(), FACTS)
        for kept in store.load_all(slug)
        if collected.was_asked_for(kept.id) and not collected.holds(kept.id)
    ]
    return Orphans(
        gone=tuple(one for one in missing if not collected.was_unread(one[1].id)),
        unread=tuple(one for one in missing if collected.was_unread(one[1].id)),
    )
