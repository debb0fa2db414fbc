"""A run as input for ``benchmark-action/github-action-benchmark``, which draws it over commits.

The format is that of its tool ``customSmallerIsBetter``: a list of objects with ``name``, ``unit``,
``value``, and optionally the texts ``range`` and ``extra``.
"""

from __future__ import annotations

import json

from pytest_energy.model.result import Run
from pytest_energy.report.sentences import mark_simulated

SMALLER_IS_BETTER = ("energy_j", "total_energy_j", "latency_s", "peak_memory_bytes", "flops")
"""The metrics for a chart where less is better."""


def render_github_benchmark(run: Run) -> str:
    """JSON with one entry for each measured metric of each benchmark."""
    entries: list[dict[str, str | float]] = []
    for result in run.benchmarks:
        for metric in SMALLER_IS_BETTER:
            if (quantity := result.metrics.get(metric)) is None:
                continue
            entry: dict[str, str | float] = {
                "name": f"{result.id} {metric}",
                "unit": quantity.unit,
                "value": quantity.value,
                "extra": f"{mark_simulated(result, run)}{result.status}, {result.verdict.outcome}",
            }
            if quantity.uncertainty is not None:
                entry["range"] = f"± {quantity.uncertainty:.2g}"
            entries.append(entry)
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
