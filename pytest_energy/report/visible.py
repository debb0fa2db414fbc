"""What a comparison in alternation can tell apart: the smallest rises, benchmark by benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from pytest_energy.model.metrics import metric
from pytest_energy.model.result import Result, Run
from pytest_energy.report import numbers
from pytest_energy.report.labels import short_names

HEADS = ("benchmark", "metric", "scatter of a block", "tolerance", "smallest rise", "blocks")


def visible_rows(run: Run) -> list[tuple[str, ...]]:
    """The table of all benchmarks with a head, the least sensitive first; empty without blocks."""
    names = short_names([result.id for result in run.benchmarks])
    found = [entry for result in run.benchmarks for entry in _entries(result, names[result.id])]
    found.sort(key=lambda entry: entry[0], reverse=True)
    return [HEADS, *(row for _, row in found)] if found else []


def _entries(result: Result, name: str) -> Iterator[tuple[float, tuple[str, ...]]]:
    """The smallest rise of each gated metric, and its row."""
    comparison = result.comparison
    for of_metric, rise in comparison.visible.items() if comparison else ():
        assert comparison is not None
        gated = {entry.metric: entry.tolerance for entry in result.verdict.gated}
        sample = [block.differences[of_metric] for block in comparison.blocks]
        yield (
            rise,
            (
                name,
                metric(of_metric).label,
                numbers.percent(math.expm1(statistics.stdev(sample)), sign=False),
                numbers.percent(gated.get(of_metric), sign=False),
                numbers.percent(rise),
                str(comparison.visible_blocks),
            ),
        )
