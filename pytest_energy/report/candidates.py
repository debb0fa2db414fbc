"""Candidates that one test compared in turn (``energy.compare``), in words and as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_energy.model.measurement import Pair
from pytest_energy.model.metrics import ENERGY
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.summary import test_id

TITLE: Final = "compared in one test"


@dataclass(frozen=True)
class CandidateRow:
    """A candidate beside its reference."""

    id: str
    """Of the candidate's benchmark."""
    sentence: str
    """``fast saves 12.0 % [11.2, 12.8] against eager``."""
    energy: str
    """``1.000 ± 0.004 → 0.880 ± 0.005 J/call``, the reference first."""
    difference: str
    """``−12.0 % [−12.8, −11.2]``."""
    blocks: str


def pair_sentence(pair: Pair) -> str:
    """``fast saves 12.0 % [11.2, 12.8] against eager``."""
    if pair.change is None or pair.low is None or pair.high is None:
        return f"{pair.candidate} against {pair.reference}: no ratio"
    if pair.high < 0:
        saving = numbers.interval(-pair.change, -pair.high, -pair.low, sign=False)
        return f"{pair.candidate} saves {saving} against {pair.reference}"
    change = numbers.interval(pair.change, pair.low, pair.high, sign=pair.low <= 0)
    if pair.low > 0:
        return f"{pair.candidate} costs {change} more than {pair.reference}"
    return f"{pair.candidate} against {pair.reference}: {change}, no proven difference"


def difference(result: Result) -> str:
    """``−12.0 % [−12.8, −11.2]``: a candidate's joules against those of its reference."""
    pair = result.pair
    if pair is None or pair.change is None or pair.low is None or pair.high is None:
        return numbers.MISSING
    return numbers.interval(pair.change, pair.low, pair.high)


def candidate_rows(run: Run) -> list[CandidateRow]:
    """The candidates of a run that have a ratio, in the order of the run."""
    results = {result.id: result for result in run.benchmarks}
    return [
        CandidateRow(
            id=result.id,
            sentence=pair_sentence(result.pair),
            energy=_both(result, results.get(f"{test_id(result)}::{result.pair.reference}")),
            difference=difference(result),
            blocks=str(len(result.pair.differences)),
        )
        for result in run.benchmarks
        if result.pair and result.pair.change is not None
    ]


def _both(result: Result, reference: Result | None) -> str:
    after, before = result.energy, reference.energy if reference else None
    if after is None or before is None:
        return numbers.quantity(after)
    both = MetricVerdict(
        metric=ENERGY,
        outcome=Outcome.NEW,
        baseline=before.value,
        baseline_uncertainty=before.uncertainty,
        value=after.value,
        unit=after.unit,
    )
    return numbers.pair(both, after.uncertainty)
