"""The quality of the measurement: counter against trace, throttling, contention, remarks."""

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
    """A reason code, how many benchmarks have it, and the first message."""

    code: ReasonCode
    count: int
    fatal: int
    example: str


def build_findings(run: Run, drawers: Sequence[Drawer]) -> list[Finding]:
    """Evidence of how far the joules can be trusted."""
    contended = _with(run.benchmarks, ReasonCode.CONTENDED)
    if unknown := _number(run.benchmarks, ReasonCode.PROCESSES_UNKNOWN):
        contended += f", unknown for {unknown}"
    return [
        Finding("Tick of the counter", seconds(run.run.meter.tick_s if run.run.meter else None),
                "interval between updates of the sensor's counter, measured in this session"),
        Finding("Trace against counter", _agreement(drawers),
                "median difference between two measurements of the same joules; should be small"),
        Finding("Uncertainty of energy", _uncertainty(run.benchmarks),
                "relative half-width at 95 %: median and largest"),
        Finding("Throttled", _with(run.benchmarks, ReasonCode.THROTTLED),
                "benchmarks during which the card slowed down"),
        Finding("Contended", contended,
                "benchmarks during which others used the device"),
        Finding("Mean power above the limit", _with(run.benchmarks, ReasonCode.IMPLAUSIBLE_POWER),
                "benchmarks whose joules imply more power than the card can draw"),
    ]  # fmt: skip


def _agreement(drawers: Sequence[Drawer]) -> str:
    agreements = [agreement for drawer in drawers for agreement in drawer.agreements]
    if not agreements:
        return MISSING
    largest = max(agreements, key=abs)
    return f"{percent(statistics.median(agreements), 2)} (largest {percent(largest, 2)})"


def _uncertainty(results: Sequence[Result]) -> str:
    energies = [result.energy for result in results if result.energy]
    relative = [e.uncertainty / e.value for e in energies if e.uncertainty and e.value > 0]
    if not relative:
        return MISSING
    middle, largest = statistics.median(relative), max(relative)
    return f"± {percent(middle, 2, sign=False)} (largest ± {percent(largest, 2, sign=False)})"


def _with(results: Sequence[Result], code: ReasonCode) -> str:
    # Without a round nothing was checked, and "0 of 3" would claim the opposite. So it would of
    # an estimate: a model reads neither clocks nor processes.
    if not any(result.rounds for result in results):
        return MISSING
    checked = [result for result in results if result.status != "estimated"]
    return f"{_number(checked, code)} of {len(checked)}" if checked else "not checked"


def _number(results: Sequence[Result], code: ReasonCode) -> int:
    return sum(code in {reason.code for reason in result.reasons} for result in results)


def build_remarks(run: Run) -> list[Remark]:
    """Reason codes of all benchmarks, the most frequent first."""
    pairs = [
        (reason, result)
        for result in run.benchmarks
        for reason in {reason.code: reason for reason in result.reasons}.values()
    ]
    counted = Counter(reason.code for reason, _ in pairs)
    return [
        Remark(
            code,
            number,
            sum(reason.fatal for reason, _ in pairs if reason.code is code),
            next(reason.message for reason, _ in pairs if reason.code is code),
        )
        for code, number in counted.most_common()
    ]
