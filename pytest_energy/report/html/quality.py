"""How well was measured: counter against trace, throttling, contention, and what went wrong."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.model.measurement import ReasonCode
from pytest_energy.model.result import Result, Run
from pytest_energy.report.html.drawer import Drawer
from pytest_energy.report.numbers import MISSING, percent, seconds


@dataclass(frozen=True)
class Finding:
    """One line on the quality of the measurement."""

    name: str
    value: str
    about: str


@dataclass(frozen=True)
class Remark:
    """A reason code, how often it was given, and by which benchmark first."""

    code: ReasonCode
    count: int
    fatal: int
    example: str


def build_findings(run: Run, drawers: Sequence[Drawer]) -> list[Finding]:
    """What tells how far the joules may be trusted."""
    return [
        Finding("Tick of the counter", seconds(run.run.meter.tick_s if run.run.meter else None),
                "how often the sensor's counter moves, as measured in this session"),
        Finding("Trace against counter", _agreement(drawers),
                "median difference of two ways to the same joules; a larger one is a warning"),
        Finding("Uncertainty of energy", _uncertainty(run.benchmarks),
                "median and largest, relative, 95 %"),
        Finding("Throttled", _with(run.benchmarks, ReasonCode.THROTTLED),
                "benchmarks that the card slowed down"),
        Finding("Contended", _contended(run.benchmarks),
                "benchmarks that shared the device"),
        Finding("Mean power above the limit", _with(run.benchmarks, ReasonCode.IMPLAUSIBLE_POWER),
                "benchmarks whose joules imply more than the card may draw"),
    ]  # fmt: skip


def _agreement(drawers: Sequence[Drawer]) -> str:
    found = [one for drawer in drawers for one in drawer.agreements]
    if not found:
        return MISSING
    largest = max(found, key=abs)
    return f"{percent(statistics.median(found), 2)} (largest {percent(largest, 2)})"


def _uncertainty(results: Sequence[Result]) -> str:
    found = [
        one.energy.uncertainty / one.energy.value
        for one in results
        if one.energy and one.energy.uncertainty and one.energy.value > 0
    ]
    if not found:
        return MISSING
    middle, largest = statistics.median(found), max(found)
    return f"± {percent(middle, 2, sign=False)} (largest ± {percent(largest, 2, sign=False)})"


def _with(results: Sequence[Result], code: ReasonCode) -> str:
    if not any(result.rounds for result in results):
        return MISSING
    return f"{_number(results, code)} of {len(results)}"


def _number(results: Sequence[Result], code: ReasonCode) -> int:
    return sum(code in {reason.code for reason in result.reasons} for result in results)


def _contended(results: Sequence[Result]) -> str:
    told = _with(results, ReasonCode.CONTENDED)
    unknown = _number(results, ReasonCode.PROCESSES_UNKNOWN)
    return f"{told}, not known of {unknown}" if unknown else told


def build_remarks(run: Run) -> list[Remark]:
    """Reason codes of all benchmarks, the most frequent first."""
    given = [
        (reason, result)
        for result in run.benchmarks
        for reason in {reason.code: reason for reason in result.reasons}.values()
    ]
    counted = Counter(reason.code for reason, _ in given)
    return [
        Remark(
            code,
            number,
            sum(reason.fatal for reason, _ in given if reason.code is code),
            next(reason.message for reason, _ in given if reason.code is code),
        )
        for code, number in counted.most_common()
    ]
