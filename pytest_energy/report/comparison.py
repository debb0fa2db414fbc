"""A run held against an older results file, where no committed baseline spoke.

The verdicts are the gate's own; nothing fails by them, for nobody accepted what they are held
against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.gate.baseline import Baseline
from pytest_energy.gate.make_baseline import extended, facts_of
from pytest_energy.gate.verdict import judge
from pytest_energy.model.metrics import ENERGY, TOLERANCES
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run
from pytest_energy.report.summary import Headline, counts, headline, joules_compared


@dataclass(frozen=True)
class Reference:
    """An older run, and how its file is called."""

    name: str
    run: Run

    def __str__(self) -> str:
        commit = f"commit {self.run.run.commit[:12]}, " if self.run.run.commit else ""
        return f"{self.name} ({commit}{self.run.created.replace('T', ' ').removesuffix('Z')} UTC)"


def newest(references: Sequence[Reference]) -> Reference | None:
    """The one that was made last."""
    return max(references, key=lambda one: one.run.created, default=None)


def compare(run: Run, reference: Reference) -> Run:
    """``run`` with verdicts against ``reference`` where a benchmark has none of its own."""
    older = {result.id: result for result in reference.run.benchmarks}
    results = [
        result
        if result.verdict.outcome.traits.has_baseline or result.id not in older
        else _judged(result, older[result.id], run, reference)
        for result in run.benchmarks
    ]
    return run.model_copy(update={"benchmarks": results})


def headline_against(before: Run, after: Run, reference: Reference) -> Headline:
    """The verdict on a run: the gate's if it gave one, else what the comparison comes to."""
    gate = headline(before)
    found = counts(after)
    if gate.failed or joules_compared(before) or found == counts(before):
        return gate
    worst = Outcome.REGRESSED if Outcome.REGRESSED in found else Outcome.UNCHANGED
    told = ", ".join(f"{number} {outcome}" for outcome, number in found.items())
    text = f"{told}. Nobody accepted that file as a baseline, so nothing fails by it."
    return Headline(worst.traits.symbol, f"Compared with {reference}", text, failed=False)


def _judged(result: Result, older: Result, run: Run, reference: Reference) -> Result:
    kept, facts = _as_baselines(older, reference.run)
    if kept is None and facts is None:
        return result
    verdict = judge(result, kept, facts, run.environment, tolerances_in_force(result, run))
    notes = [f"compared with {reference}, which nobody accepted as a baseline", *verdict.notes]
    return result.model_copy(
        update={"verdict": verdict.model_copy(update={"notes": notes, "history": []})}
    )


def tolerances_in_force(result: Result, run: Run) -> dict[str, float]:
    """Those that the gate used, or the run's, or the usual one."""
    told = {
        one.metric: one.tolerance for one in result.verdict.metrics if one.tolerance is not None
    }
    usual = run.run.settings.get("tolerance")
    return {**TOLERANCES, **({ENERGY: usual} if isinstance(usual, float) else {}), **told}


def _as_baselines(older: Result, run: Run) -> tuple[Baseline | None, Baseline | None]:
    """What the older result says of its machine, if it measured anything, and of any."""
    measured = older.status in ("measured", "estimated")
    kept = extended(None, older, run.environment, run.run.commit) if measured else None
    return kept, facts_of(older)
