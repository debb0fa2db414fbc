"""What was compared with another revision, for the head of the page."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_energy.model.comparison import describe_reference
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Run
from pytest_energy.report.pairs import control_of, moved, only_on_the_head


@dataclass(frozen=True)
class ControlRow:
    """The base measured against itself in one benchmark."""

    id: str
    outcome: Outcome
    change: str
    blocks: int | None


@dataclass(frozen=True)
class Pairs:
    """Base, head, controls, and what only one of both has."""

    base: str
    """``main (1a2b3c4d5)``"""
    blocks: int
    seed: int
    turns: bool
    """Whether some benchmarks alternated whole runs, since the device did not hold both sides."""
    controls: tuple[ControlRow, ...]
    new: tuple[tuple[str, str], ...]
    """The benchmarks that do not run on the base, and why."""
    notes: tuple[str, ...]
    """Benchmarks that only the base has, lost controls, an early end."""


def build_pairs(run: Run) -> Pairs | None:
    """The comparison; ``None`` without another revision."""
    against = run.run.against
    if against is None:
        return None
    comparisons = [result.comparison for result in run.benchmarks if result.comparison]
    return Pairs(
        base=describe_reference(against.reference, against.commit),
        blocks=against.blocks,
        seed=against.seed,
        turns=any(each.alternated == "runs" for each in comparisons),
        controls=tuple(_control(run, id, outcome) for id, outcome in against.controls.items()),
        new=tuple((each.id, "; ".join(each.verdict.notes)) for each in only_on_the_head(run)),
        notes=tuple(against.notes),
    )


def _control(run: Run, id: str, outcome: Outcome) -> ControlRow:
    control = control_of(run, id)
    blocks = len(control.blocks) if control else None
    return ControlRow(id, outcome, moved(control), blocks)
