"""A run as input of ``benchmark-action/github-action-benchmark``, which draws it over commits.

Its tool is ``customSmallerIsBetter``: a list of objects with ``name``, ``unit``, ``value``, and
optionally ``range`` and ``extra``, both text that is shown as it stands.
"""

from __future__ import annotations

import json

from pytest_energy.model.measurement import Quantity
from pytest_energy.model.result import Result, Run

SMALLER_IS_BETTER = ("energy_j", "total_energy_j", "latency_s", "peak_memory_bytes", "flops")
"""The metrics that fit a chart on which less is better."""


def render_github_benchmark(run: Run) -> str:
    """JSON with one entry a benchmark and metric; what was not measured has none."""
    entries = [
        _entry(result, metric, result.metrics[metric])
        for result in run.benchmarks
        for metric in SMALLER_IS_BETTER
        if metric in result.metrics
    ]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _entry(result: Result, metric: str, quantity: Quantity) -> dict[str, str | float]:
    entry: dict[str, str | float] = {
        "name": f"{result.id} {metric}",
        "unit": quantity.unit,
        "value": quantity.value,
        "extra": f"{result.status}, {result.verdict.outcome}",
    }
    if quantity.uncertainty is not None:
        entry["range"] = f"± {quantity.uncertainty:.2g}"
    return entry
