"""A suite that moves together: the change that its benchmarks have in common.

Temperature, a driver or clocks move all benchmarks of a session alike, and so does a change of the
code that hits everything. The median of many benchmarks shows it. It is taken off before each
benchmark is judged, and is a verdict of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from pytest_energy.gate.classify import classify
from pytest_energy.gate.policy import with_failures
from pytest_energy.model.environment import slug
from pytest_energy.model.measurement import is_control
from pytest_energy.model.metrics import ENERGY, TOLERANCES
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Result, Run, SuiteShift
from pytest_energy.session.control import check_control
from pytest_energy.settings import Settings
from pytest_energy.uncertainty.change import Change, median_change

FEWEST_COMPARABLE: Final = 20
"""Comparable benchmarks from which on a suite has a shift."""


class CommonChanges:
    """The changes of the results so far, taken up one by one.

    All of them anew would cost more with each further result. Therefore they are kept in order, in
    which a median is found at once.
    """

    def __init__(self) -> None:
        self._ratios: dict[str, dict[str, float]] = {}  # by metric and benchmark
        self._ascending: dict[str, list[float]] = {}  # by metric

    def replace(self, result: Result) -> None:
        """Take up a result in place of an earlier one of the same benchmark."""
        for name, ratios in self._ratios.items():
            if (earlier := ratios.pop(result.id, None)) is not None:
                ascending = self._ascending[name]
                del ascending[bisect_left(ascending, earlier)]
        if result.status != "measured" or not _moves_with_the_suite(result):
            return
        for metric in result.verdict.gated:
            if (ratio := _whole_change(metric)) is not None:
                self._ratios.setdefault(metric.metric, {})[result.id] = ratio
                insort(self._ascending.setdefault(metric.metric, []), ratio)

    def shifts(self) -> dict[str, Change]:
        """The change that the results have in common, for each metric that enough compare."""
        return {
            metric: median_change(ascending)
            for metric, ascending in self._ascending.items()
            if len(ascending) >= FEWEST_COMPARABLE
        }


def shifts_of(results: Iterable[Result]) -> dict[str, Change]:
    """The change that the results have in common, for each metric that enough of them compare."""
    changes = CommonChanges()
    for result in results:
        changes.replace(result)
    return changes.shifts()


def _moves_with_the_suite(result: Result) -> bool:
    """Whether a result was compared with a baseline, and shows the code of the suite."""
    # A control shows the machine. A revision was measured in the same hour: nothing drifted.
    return result.comparison is None and not is_control(result.id)


def _whole_change(metric: MetricVerdict) -> float | None:
    """The logarithm of new over old, the suite's part included; ``None`` if it says nothing."""
    # An interval of no width belongs to an exact metric, which no machine shifts.
    if metric.change is None or metric.change <= -1 or metric.low == metric.high:
        return None
    return math.log1p(metric.change) + math.log1p(metric.suite_shift or 0.0)


def finish(run: Run, settings: Settings) -> Run:
    """The finished run with what only all of its results show.

    That is the suite's shift, what the control says of the machine, and the run's failures.

    Args:
        run: With the results of all processes.
        settings: Of the session.
    """
    if settings.update != "all":
        run = with_shift(run, settings.tolerance[ENERGY], settings.failing)
    if check := check_control(run.benchmarks):
        run = run.model_copy(update={"run": run.run.model_copy(update={"control": check})})
    return with_failures(run, settings)


def with_common_changes(run: Run) -> Run:
    """A merged run with its shift and its control; they say nothing of several machines."""
    machines = {slug(result.measured_in(run.environment).identity) for result in run.benchmarks}
    tolerance = run.run.settings.get("tolerance")
    if len(machines) != 1:
        return run
    limit = tolerance if isinstance(tolerance, float) else TOLERANCES[ENERGY]
    update = {
        "suite_shift": suite_shift(run.benchmarks, limit),
        "control": check_control(run.benchmarks),
    }
    return run.model_copy(update={"run": run.run.model_copy(update=update)})


def with_shift(run: Run, tolerance: float, failing: Collection[str]) -> Run:
    """The run with the verdict on its shift, and the results that were settled without it."""
    shift = suite_shift(run.benchmarks, tolerance)
    if shift is None:
        return run
    shifts = shifts_of(run.benchmarks)
    fails = Outcome.INCONCLUSIVE.value in failing
    benchmarks = [resettle(result, shifts, fails) for result in run.benchmarks]
    late = sum(
        after.verdict.fails and not before.verdict.fails
        for before, after in zip(run.benchmarks, benchmarks, strict=True)
    )
    # Their tests have passed, so only the session can still fail.
    failures = [
        f"{late} benchmark{' that has' if late == 1 else 's that have'} passed"
        f" {'is' if late == 1 else 'are'} inconclusive without the shift of the whole suite"
    ][:late]
    update = {"suite_shift": shift, "failures": [*run.run.failures, *failures]}
    info = run.run.model_copy(update=update)
    return run.model_copy(update={"run": info, "benchmarks": benchmarks})


def suite_shift(results: Sequence[Result], tolerance: float) -> SuiteShift | None:
    """The verdict on the shift of the energies; ``None`` if too few are comparable.

    Args:
        results: Of one session.
        tolerance: The accepted relative change of the energy.
    """
    shift = shifts_of(results).get(ENERGY)
    if shift is None:
        return None
    low, high = shift.interval()
    return SuiteShift(
        outcome=classify(shift, tolerance),
        change=shift.relative,
        low=low,
        high=high,
        tolerance=tolerance,
        benchmarks=int(shift.degrees_of_freedom) + 1,
        context=_common_context(results),
    )


def _common_context(results: Sequence[Result]) -> list[Difference]:
    """What changed since more than half of the baselines."""
    compared = [result.verdict for result in results if result.verdict.history]
    texts = Counter(
        difference.model_dump_json() for verdict in compared for difference in verdict.context
    )
    return [
        Difference.model_validate_json(text)
        for text, count in texts.items()
        if 2 * count > len(compared)
    ]


def resettle(result: Result, shifts: Mapping[str, Change], failing: bool) -> Result:
    """The result of a benchmark that was settled before the suite's shift was known.

    Only an ``unchanged`` one can be wrong: a suspect is judged after all others. If the suite's
    shift takes it out of its tolerance, it has been seen once, and is inconclusive.

    Args:
        result: As it was settled.
        shifts: The suite's shift, by metric.
        failing: Whether an inconclusive result fails.
    """
    if result.verdict.outcome is not Outcome.UNCHANGED or not _moves_with_the_suite(result):
        return result
    metrics = [
        _without(metric, shifts[metric.metric])
        if metric.metric in shifts and metric.suite_shift is None and metric.change is not None
        else metric
        for metric in result.verdict.metrics
    ]
    if metrics == result.verdict.metrics:
        return result
    verdict = result.verdict.model_copy(update={"metrics": metrics})
    if any(metric.outcome is Outcome.INCONCLUSIVE for metric in verdict.gated):
        note = "Seen once: it was settled before the shift of the whole suite was known."
        changes = {"outcome": Outcome.INCONCLUSIVE, "notes": [note, *verdict.notes]}
        verdict = verdict.model_copy(update={**changes, "fails": failing})
    return result.model_copy(update={"verdict": verdict})


def _without(metric: MetricVerdict, shift: Change) -> MetricVerdict:
    low, change, high = (
        math.expm1(math.log1p(value or 0.0) - shift.log_ratio)
        for value in (metric.low, metric.change, metric.high)
    )
    tolerance = metric.tolerance
    beyond = tolerance is not None and (low < -tolerance or high > tolerance)
    return metric.model_copy(
        update={
            "low": low,
            "change": change,
            "high": high,
            "suite_shift": shift.relative,
            "outcome": Outcome.INCONCLUSIVE if beyond else metric.outcome,
        }
    )
