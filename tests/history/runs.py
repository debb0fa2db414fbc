"""Made-up runs of many commits, with levels, scatter and shifts that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from pytest_energy.model.measurement import Environment, Facts, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Result, Run, RunInfo, Verdict

BEGIN = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
H100: Facts = {"device": "NVIDIA H100 80GB HBM3"}


def result_of(test: str, energy_j: float, *, accepted: bool = False) -> Result:
    """A measured result with its joules."""
    energy = Quantity(value=energy_j, unit="J/pass", uncertainty=energy_j * 0.004)
    verdict = MetricVerdict(
        metric="energy_j", outcome=Outcome.UNCHANGED, tolerance=0.05, change=0.0
    )
    return Result(
        id=test,
        kind="inference",
        workload={"model": test, "batch_size": 1},
        status="measured",
        metrics={
            "energy_j": energy,
            "latency_s": Quantity(value=energy_j / 300, unit="s"),
            "accuracy": Quantity(value=0.75, unit="1"),
        },
        verdict=Verdict(outcome=Outcome.UNCHANGED, metrics=[verdict], accepted=accepted),
    )


def run_of(
    number: int,
    results: Sequence[Result],
    *,
    identity: Facts = H100,
    context: Mapping[str, str] | None = None,
    commit: str | None = None,
) -> Run:
    """The run of the night ``number``."""
    created = (BEGIN + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Run(
        created=created,
        environment=Environment(identity=identity, context=dict(context or {"torch": "2.9.0"})),
        run=RunInfo(commit=commit or f"{number + 1:04x}" * 10, branch="main"),
        benchmarks=list(results),
    )


def history(
    nights: int,
    tests: int,
    *,
    scatter: float = 0.01,
    shift: Callable[[int], float] = lambda night: 0.0,
    steps: Mapping[tuple[int, int], float] | None = None,
    context: Callable[[int], Mapping[str, str]] | None = None,
    first: int = 0,
    seed: int = 1,
) -> list[Run]:
    """Runs of a suite, one a night.

    Args:
        nights: Number of runs.
        tests: Number of benchmarks, ``bench.py::test_0`` and so on.
        scatter: Relative standard deviation of each result.
        shift: The relative change that all benchmarks of a night have in common.
        steps: By benchmark and first night: a relative change that stays.
        context: The machine's context of a night.
        first: The first night.
        seed: Of the scatter.
    """
    random = np.random.default_rng(seed)
    runs = []
    for night in range(first, first + nights):
        results = []
        for test in range(tests):
            moved = sum(
                math.log1p(change)
                for (index, first), change in (steps or {}).items()
                if index == test and night >= first
            )
            log = moved + math.log1p(shift(night)) + random.normal(0, scatter)
            results.append(result_of(f"bench.py::test_{test}", (1 + test) * math.exp(log)))
        runs.append(run_of(night, results, context=context(night) if context else None))
    return runs
