"""A run as input for ``benchmark-action/github-action-benchmark``, which draws it over commits.

The format is that of its tool ``customSmallerIsBetter``: a list of objects with ``name``, ``unit``,
``value``, and optionally the texts ``range`` and ``extra``.
"""

from __future__ import annotations

import json

from pytest_energy.model.result import Result, Run
from pytest_energy.report.machines import Machines
from pytest_energy.report.numbers import supported
from pytest_energy.report.sentences import mark_simulated

SMALLER_IS_BETTER = ("energy_j", "total_energy_j", "latency_s", "peak_memory_bytes", "flops")
"""The metrics for a chart where less is better."""


def render_github_benchmark(run: Run) -> str:
    """JSON with one entry for each measured metric of each benchmark.

    The names have the machine in them, because the action compares what has the same name. The
    texts say what the gate decided on that metric, if it did: a latency has not regressed because
    the energy has.
    """
    machines = Machines(run)
    entries: list[dict[str, str | float]] = []
    for result in run.benchmarks:
        for metric in SMALLER_IS_BETTER:
            if (quantity := result.metrics.get(metric)) is None:
                continue
            entry: dict[str, str | float] = {
                "name": f"{result.id} {metric} ({machines.of(result)})",
                "unit": quantity.unit,
                "value": supported(quantity),
                "extra": f"{mark_simulated(result, run)}{', '.join(_decided(result, metric))}",
            }
            # None is known where all rounds agree, such as without a clock.
            if quantity.uncertainty:
                entry["range"] = f"± {quantity.uncertainty:.2g}"
            entries.append(entry)
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _decided(result: Result, metric: str) -> list[str]:
    gated = (each for each in result.verdict.gated if each.metric == metric)
    return [result.status, *(each.outcome.label for each in gated)]
