"""What the control says: whether the machine moved, or the code did."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pytest_energy.model.measurement import is_control
from pytest_energy.model.result import ControlCheck, MetricVerdict, Result

MOVED: Final = 0.015
"""A smaller change of the control, as a fraction, is not called one: days differ by as much."""
BEGIN, END = "[begin]", "[end]"


def check_control(results: Iterable[Result]) -> ControlCheck | None:
    """Combine the benchmarks of the control.

    Returns:
        ``None`` unless the control was compared with baselines.
    """
    controls = [result for result in results if is_control(result.id)]
    compared = [metric for result in controls if (metric := _compared(result))]
    if not compared:
        return None
    logs = [math.log1p(metric.change or 0.0) for metric in compared]
    # Each interval holds the scatter of its own baseline, and these are independent.
    halves = [
        (math.log1p(metric.high or 0.0) - math.log1p(metric.low or 0.0)) / 2 for metric in compared
    ]
    mean, half = statistics.fmean(logs), math.hypot(*halves) / len(halves)
    low, change, high = (math.expm1(value) for value in (mean - half, mean, mean + half))
    tolerance = min(metric.tolerance or 0.0 for metric in compared)
    machine: Literal["moved", "steady", "unclear"] = "unclear"
    if abs(change) >= MOVED and (low > 0 or high < 0):
        machine = "moved"
    elif -tolerance <= low and high <= tolerance:
        machine = "steady"
    return ControlCheck(
        machine=machine,
        change=change,
        low=low,
        high=high,
        benchmarks=len(compared),
        drift=_drift(controls),
    )


def _compared(result: Result) -> MetricVerdict | None:
    """The first gated metric with an interval: energy, or another where there are no joules."""
    return next(
        (
            metric
            for metric in result.verdict.gated
            if metric.change is not None and metric.change > -1 and metric.low != metric.high
        ),
        None,
    )


def _drift(controls: Sequence[Result]) -> float | None:
    """The mean change from the beginning to the end, of the joules or else of the seconds."""
    values = {
        result.id: quantity.value
        for result in controls
        if (quantity := result.energy or result.metrics.get("latency_s")) and quantity.value > 0
    }
    ends = {
        test_id: test_id.removesuffix(BEGIN) + END for test_id in values if test_id.endswith(BEGIN)
    }
    logs = [math.log(values[end] / values[begin]) for begin, end in ends.items() if end in values]
    return math.expm1(statistics.fmean(logs)) if logs else None
