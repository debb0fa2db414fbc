"""A run compared with an older results file, for benchmarks without a committed baseline.

The gate judges them as usual, but nothing fails: nobody accepted the older results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.gate.make_baseline import extend_baseline, facts_baseline
from pytest_energy.gate.verdict import judge
from pytest_energy.model.metrics import ENERGIES, ENERGY, TOLERANCES
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, Verdict
from pytest_energy.report.summary import (
    Headline,
    counted_outcome,
    counts,
    headline,
    joules_compared,
)


@dataclass(frozen=True)
class Reference:
    """An older run and the name of its file."""

    name: str
    run: Run

    def __str__(self) -> str:
        commit = f"commit {self.run.run.commit[:12]}, " if self.run.run.commit else ""
        return f"{self.name} ({commit}{self.run.created.replace('T', ' ').removesuffix('Z')} UTC)"


def newest(references: Sequence[Reference]) -> Reference | None:
    """The latest run."""
    return max(references, key=lambda reference: reference.run.created, default=None)


def compare(run: Run, reference: Reference) -> Run:
    """``run``, with verdicts against ``reference`` for benchmarks without a baseline."""
    older = {result.id: result for result in reference.run.benchmarks}
    results = [
        result
        if result.verdict.outcome.traits.has_baseline or result.id not in older
        else _judged(result, older[result.id], run, reference)
        for result in run.benchmarks
    ]
    return run.model_copy(update={"benchmarks": results})


def judge_energies(run: Run, reference: Reference) -> list[Result]:
    """The results of ``run`` that ``reference`` has, judged by their joules against it alone."""
    older = {result.id: result for result in reference.run.benchmarks}
    return [
        _judged(_energies_only(result), _energies_only(older[result.id]), run, reference)
        for result in run.benchmarks
        if result.id in older
    ]


def _energies_only(result: Result) -> Result:
    """The result without other metrics, and as if it had not been compared."""
    metrics = {name: known for name, known in result.metrics.items() if name in ENERGIES}
    verdict = Verdict(outcome=Outcome.NEW)
    return result.model_copy(update={"metrics": metrics, "verdict": verdict, "comparison": None})


def headline_against(before: Run, after: Run, reference: Reference) -> Headline:
    """The gate's verdict on a run, or a summary of the comparison if the gate compared nothing."""
    gate = headline(before)
    by_outcome = counts(after)
    if gate.failed or joules_compared(before) or by_outcome == counts(before):
        return gate
    worst = Outcome.REGRESSED if Outcome.REGRESSED in by_outcome else Outcome.UNCHANGED
    listed = ", ".join(counted_outcome(outcome, number) for outcome, number in by_outcome.items())
    text = f"{listed}. That file is no accepted baseline, so no test fails."
    return Headline(worst.traits.symbol, f"Compared with {reference}", text, failed=False)


def _judged(result: Result, older: Result, run: Run, reference: Reference) -> Result:
    facts = facts_baseline(older)
    baseline = None
    if older.has_joules:
        baseline = extend_baseline(None, older, reference.run.environment, reference.run.run.commit)
    if baseline is None and facts is None:
        return result
    verdict = judge(result, baseline, facts, run.environment, tolerances_in_force(result, run))
    notes = [f"compared with {reference}, which is no accepted baseline", *verdict.notes]
    # The older run is in the history already, as an older run and not as an accepted one.
    return result.model_copy(
        update={"verdict": verdict.model_copy(update={"notes": notes, "history": []})}
    )


def tolerances_in_force(result: Result, run: Run) -> dict[str, float]:
    """The tolerances that the gate used, else those of the run's settings, else the defaults."""
    used = {v.metric: v.tolerance for v in result.verdict.metrics if v.tolerance is not None}
    chosen = run.run.settings.get("tolerance")
    return {**TOLERANCES, **({ENERGY: chosen} if isinstance(chosen, float) else {}), **used}
