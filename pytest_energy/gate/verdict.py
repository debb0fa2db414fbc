"""From a measurement and its baseline to a verdict; no files.

A noisy metric is judged by the interval of its relative change, an exact one by its value. The
metric's name decides which direction is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pytest_energy.gate.baseline import Baseline, estimate_of, standard_within
from pytest_energy.gate.classify import (
    ONE_LOOK,
    Rule,
    classify,
    classify_exact,
    classify_interval,
    mirrored,
    relative_difference,
    worst,
)
from pytest_energy.gate.make_baseline import meter_facts
from pytest_energy.gate.pooling import count_visits, visit_estimates
from pytest_energy.gate.schedule import ALONE, Suite
from pytest_energy.model.measurement import Environment, Facts, Measurement, Quantity, ReasonCode
from pytest_energy.model.metrics import ENERGY, LATENCY, higher_is_better
from pytest_energy.model.metrics import metric as metric_named
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Past, Verdict
from pytest_energy.model.workload import facts_workload, workload_hash
from pytest_energy.options import ENOUGH_RUNS
from pytest_energy.uncertainty.change import (
    Estimate,
    Prior,
    Scatter,
    learn_scatter,
    relative_change,
)
from pytest_energy.uncertainty.gum import combine, expand
from pytest_energy.uncertainty.rounds import BOARD_GAIN

NO_PRIOR: Final = Prior(0.0, weight=0.0)
"""For metrics that a test records itself, such as an accuracy: nothing is assumed of them."""
GAIN_BETWEEN_BOARDS: Final = BOARD_GAIN * math.sqrt(2 / 3)
"""Relative standard uncertainty of the ratio of two boards' readings."""
# A value known only to lie within ±a has the standard uncertainty a / √3 (JCGM 100:2008, 4.3.7).
# The ratio has two such gains, which are independent: √2 · a / √3.


def judge(
    measured: Measurement,
    baseline: Baseline | None,
    facts: Baseline | None,
    environment: Environment,
    tolerances: Mapping[str, float],
    rule: Rule = ONE_LOOK,
    suite: Suite = ALONE,
) -> Verdict:
    """Compare a measurement with its baseline.

    Args:
        measured: The new measurement.
        baseline: The machine's baseline. Another machine's makes the result incomparable.
        facts: The baseline of the exact metrics, which hold on any machine.
        environment: The environment of the new run.
        tolerances: The accepted relative change, by metric. The metrics named here gate. Exact
            metrics always gate, with a tolerance of zero unless named. Other metrics are reported.
        rule: How sure a verdict must be.
        suite: What the verdict takes from the other benchmarks.
    """
    environment = measured.measured_in(environment)
    comparison = _Comparison(measured, baseline, facts, environment, tolerances, rule, suite)
    metrics = [comparison.judge_metric(name) for name in comparison.metric_names()]
    outcome = worst(metrics)
    return Verdict(
        outcome=outcome,
        metrics=metrics,
        differences=[*comparison.differences, *comparison.facts_no_longer_counted()],
        context=compare_facts(baseline.context, environment.context, "context") if baseline else [],
        cause=likely_cause(metrics, outcome),
        notes=comparison.notes(),
        history=[
            Past(commit=run.commit, values=run.values, conditions=run.conditions)
            for run in (baseline.accepted if baseline else ())
        ],
    )


def rises_are_better(metric: str, measured: Measurement) -> bool:
    """By what the test says of its own metric, else by its name."""
    declared = measured.better.get(metric)
    return higher_is_better(metric) if declared is None else declared == "higher"


def contended(measured: Measurement) -> bool:
    """Whether use of the device by others is the only reason that joules are missing."""
    fatal = {reason.code for reason in measured.reasons if reason.fatal}
    return not measured.has_joules and fatal == {ReasonCode.CONTENDED}


def unconfirmed(verdict: Verdict, why: str) -> Verdict:
    """The verdict on a change that was seen once, but not a second time."""
    changed = (Outcome.REGRESSED, Outcome.IMPROVED)
    metrics = [
        metric.model_copy(update={"outcome": Outcome.INCONCLUSIVE})
        if metric.outcome in changed and not metric.exact
        else metric
        for metric in verdict.metrics
    ]
    notes = [why, *verdict.notes] if metrics != verdict.metrics else verdict.notes
    return verdict.model_copy(
        update={"metrics": metrics, "outcome": worst(metrics), "notes": notes}
    )


def compare_facts(before: Facts, after: Facts, prefix: str = "") -> list[Difference]:
    """The differences between two sets of facts, sorted by name: ``prefix.name``, if prefixed."""
    begin = f"{prefix}." if prefix else ""
    return [
        Difference(name=f"{begin}{name}", before=before.get(name), after=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


@dataclass(frozen=True)
class _Comparison:
    """One measurement beside its baselines; judges one metric at a time."""

    measured: Measurement
    baseline: Baseline | None
    facts: Baseline | None
    environment: Environment
    tolerances: Mapping[str, float]
    rule: Rule
    suite: Suite

    def metric_names(self) -> list[str]:
        """Energy, then other noisy metrics, exact ones, and those that only a baseline has."""
        metrics = self.measured.metrics
        noisy = {name for name, quantity in metrics.items() if not quantity.exact}
        before = self.facts.metrics.keys() if self.facts else set()
        if self.baseline:
            # Without a tolerance, a metric that is gone decides nothing and is not reported.
            before |= self.baseline.metrics.keys() & self.tolerances.keys()
        exact, missing = metrics.keys() - noisy, before - metrics.keys()
        return [ENERGY, *sorted(noisy - {ENERGY}), *sorted(exact), *sorted(missing - {ENERGY})]

    @cached_property
    def _visits(self) -> int:
        """Number of visits of the measurement, at least 1."""
        return count_visits(self.measured) or 1

    @cached_property
    def differences(self) -> list[Difference]:
        """The reasons why joules cannot be compared with the baseline."""
        baseline, measured = self.baseline, self.measured
        if baseline is None:
            return []
        differences = compare_facts(baseline.identity, self.environment.identity, "identity")
        differences += compare_facts(baseline.workload, measured.workload, "workload")
        if baseline.meter and measured.meter:
            before, after = meter_facts(baseline.meter), meter_facts(measured.meter)
            differences += compare_facts(before, after, "meter")
        return differences

    def facts_no_longer_counted(self) -> list[Difference]:
        """Exact metrics that only the baseline has. Their gate must not go off in silence."""
        return [
            Difference(name=f"facts.{name}", before=before.value, after=None)
            for name, before in sorted(self.facts.metrics.items() if self.facts else ())
            if name not in self.measured.metrics
        ]

    def judge_metric(self, metric: str) -> MetricVerdict:
        quantity = self.measured.metrics.get(metric)
        if quantity is None:
            return self._judge_missing(metric)
        return (self._judge_exact if quantity.exact else self._judge_noisy)(metric, quantity)

    def _judge_missing(self, metric: str) -> MetricVerdict:
        counted = self.facts.metrics.get(metric) if self.facts else None
        measured = self.baseline.metrics.get(metric) if self.baseline else None
        before = counted or measured
        if counted:
            outcome = Outcome.INCOMPARABLE
        elif contended(self.measured):
            outcome = Outcome.INCONCLUSIVE  # nothing is known against the code
        elif self.measured.status == "invalid":
            outcome = Outcome.INVALID
        else:
            outcome = Outcome.UNMEASURED
        return self._verdict(
            metric,
            outcome,
            # It gates in any case: no energy must never look like a pass.
            tolerance=self.tolerances.get(metric, 0.0),
            baseline=before.value if before else None,
            unit=before.unit if before else "",
        )

    def _judge_exact(self, metric: str, quantity: Quantity) -> MetricVerdict:
        """By value: two counts of the same model are equal, so any difference is a change."""
        tolerance = self.tolerances.get(metric, 0.0)
        before = self.facts.metrics.get(metric) if self.facts else None
        if self.facts is None or before is None:
            return self._verdict(metric, Outcome.NEW, tolerance=tolerance)
        if self.facts.workload_hash != workload_hash(facts_workload(self.measured.workload)):
            return self._verdict(metric, Outcome.INCOMPARABLE, tolerance=tolerance)
        change = relative_difference(quantity.value, before.value)
        outcome = self._in_direction_of(metric, classify_exact(change, tolerance))
        if math.isinf(change):  # from nothing to something; JSON has no infinity
            return self._verdict(metric, outcome, tolerance=tolerance, baseline=before.value)
        return self._verdict(
            metric,
            outcome,
            tolerance=tolerance,
            baseline=before.value,
            change=change,
            low=change,
            high=change,
        )

    def _judge_noisy(self, metric: str, quantity: Quantity) -> MetricVerdict:
        """By the interval of the change."""
        levels = self.baseline.levels(metric) if self.baseline else [[]]
        runs = levels[-1]
        if self.measured.status == "invalid":
            # The same disturbance slowed the passes, so latency is no better than the joules.
            spoilt = Outcome.INCONCLUSIVE if contended(self.measured) else Outcome.INVALID
            return self._verdict(metric, spoilt)
        if self.differences:
            return self._verdict(metric, Outcome.INCOMPARABLE)
        signed = self.baseline.values(metric) if self.baseline else []
        if signed and (min(signed) <= 0 or quantity.value < 0):
            return self._judge_signed(metric, quantity, signed)
        if not runs:
            return self._verdict(metric, Outcome.NEW)
        # A metric that does not gate is classified, for the report, by the tolerance of energy.
        tolerance = self.tolerances.get(metric, self.tolerances.get(ENERGY, 0.0))
        if quantity.value <= 0:
            return self._judge_zero(metric, tolerance, levels)
        has_two_gains = self._other_board and metric_named(metric).depends_on_gain
        scatter = scatter_of_baseline = self._scatter(metric, levels)
        if self._visits > 1:  # a single visit shows no variation
            scatter = self._scatter(metric, [*levels, visit_estimates(self.measured, metric)])
        change = relative_change(
            estimate_of(quantity),
            runs,
            scatter,
            visits=self._visits,
            extra=GAIN_BETWEEN_BOARDS if has_two_gains else 0.0,
        )
        shift = self.suite.shifts.get(metric)
        if shift is not None:
            change = change.without(shift)
        low, high = change.interval(self.rule.coverage)
        return self._verdict(
            metric,
            self._in_direction_of(metric, classify(change, tolerance, self.rule)),
            change=change.relative,
            low=low,
            high=high,
            suite_shift=shift.relative if shift else None,
            **self._baseline_value(runs, scatter_of_baseline),
        )

    def _judge_signed(
        self, metric: str, quantity: Quantity, earlier: Sequence[float]
    ) -> MetricVerdict:
        """By the difference, since zero and negative values have no logarithm.

        The difference is a share of the baseline's absolute value. Of a baseline of zero there is
        no share: any difference beyond the uncertainty is a change.
        """
        before, count = statistics.fmean(earlier), len(earlier)
        scatter = statistics.stdev(earlier) * math.sqrt(1 + 1 / count) if count > 1 else 0.0
        freedom = float(count - 1) if scatter else math.inf
        half = expand(combine((scatter, standard_within(quantity))), freedom)
        difference = quantity.value - before
        scale = abs(before)
        tolerance = self.tolerances.get(metric, self.tolerances.get(ENERGY, 0.0))
        edges = (difference - half, difference + half)
        outcome = classify_interval(*edges, tolerance * scale)
        if not scale and edges[0] <= 0 <= edges[1]:
            outcome = Outcome.UNCHANGED  # an interval is never within a tolerance of nothing
        numbers = {"change": difference, "low": edges[0], "high": edges[1]}
        shares = {name: number / scale for name, number in numbers.items()} if scale else {}
        return self._verdict(
            metric, self._in_direction_of(metric, outcome), baseline=before, **shares
        )

    def _judge_zero(
        self, metric: str, tolerance: float, levels: Sequence[Sequence[Estimate]]
    ) -> MetricVerdict:
        """Zero has no logarithm, so no interval.

        Where more is better, everything is lost. Where less is better, a zero is more likely a
        fault of the test than a gain.
        """
        if not self._higher_is_better(metric):
            return self._verdict(metric, Outcome.INCONCLUSIVE)
        outcome = self._in_direction_of(metric, classify_exact(-1.0, tolerance))
        lost = {"change": -1.0, "low": -1.0, "high": -1.0}
        value = self._baseline_value(levels[-1], self._scatter(metric, levels))
        return self._verdict(metric, outcome, **lost, **value)

    def _scatter(self, metric: str, levels: Sequence[Sequence[Estimate]]) -> Scatter:
        """The variation between runs."""
        # No round reports a test's own metric, so no uncertainty is known of it. A test that gives
        # the same accuracy each time varies by nothing: an assumed 1 % would hide a real loss.
        exact_so_far = self.measured.metrics[metric].uncertainty is None
        own = exact_so_far and not metric_named(metric).from_rounds
        return learn_scatter(levels, NO_PRIOR if own else self.suite.prior)

    def _baseline_value(self, runs: Sequence[Estimate], scatter: Scatter) -> dict[str, float]:
        """The baseline's value and its uncertainty, which includes the variation between runs."""
        # The geometric mean: the comparison works on logarithms, too.
        value = math.exp(statistics.fmean(math.log(run.value) for run in runs))
        within = combine(run.relative / len(runs) for run in runs)
        standard = combine((scatter.relative / math.sqrt(len(runs)), within))
        half = expand(standard, scatter.degrees_of_freedom) * value
        return {"baseline": value, "baseline_uncertainty": half}

    def _verdict(
        self, metric: str, outcome: Outcome, **fields: float | str | None
    ) -> MetricVerdict:
        quantity = self.measured.metrics.get(metric)
        common = {
            "metric": metric,
            "outcome": outcome,
            "value": quantity.value if quantity else None,
            "unit": quantity.unit if quantity else "",
            "tolerance": self.tolerances.get(metric),
            "higher_is_better": self._higher_is_better(metric),
            "exact": quantity is not None and quantity.exact,
        }
        return MetricVerdict.model_validate({**common, **fields})

    def _higher_is_better(self, metric: str) -> bool:
        return rises_are_better(metric, self.measured)

    def _in_direction_of(self, metric: str, outcome: Outcome) -> Outcome:
        """The outcome in the direction of this metric, given the one for 'less is better'."""
        return mirrored(outcome) if self._higher_is_better(metric) else outcome

    @property
    def _other_board(self) -> bool:
        before = self.baseline.context.get("board") if self.baseline else None
        after = self.environment.context.get("board")
        return before is not None and after is not None and before != after

    def notes(self) -> list[str]:
        """What limits the certainty of the verdict."""
        if self.baseline is None or self.differences:
            return []
        notes = []
        if (runs := len(self.baseline.level(ENERGY))) < ENOUGH_RUNS:
            notes.append(
                f"The baseline has {runs} of {ENOUGH_RUNS} runs; a run-to-run variation of"
                f" {100 * self.suite.prior.relative:.2g} % is assumed."
            )
        if self._other_board:
            notes.append(
                "The baseline was measured on another board. Sensors of one model differ by up to"
                f" ±{100 * BOARD_GAIN:g} %; the interval includes this."
            )
        return notes


def likely_cause(metrics: Iterable[MetricVerdict], outcome: Outcome) -> str | None:
    """The likely cause of a change of energy or time: changed facts, and power × time.

    Facts alone have none: they would name themselves.
    """
    changes = {entry.metric: entry for entry in metrics if entry.change is not None}
    deciding = [
        entry
        for entry in changes.values()
        if entry.tolerance is not None and entry.outcome is outcome
    ]
    facts_alone = bool(deciding) and all(map(_is_fact, deciding))
    if outcome is Outcome.UNCHANGED or facts_alone or not {ENERGY, LATENCY} & changes.keys():
        return None
    causes = [
        f"{metric_named(name).label} {_percent(entry.change)}"
        for name, entry in changes.items()
        if _is_fact(entry)
    ]
    power, time = changes.get("power_w"), changes.get("latency_s")
    if power and time:
        causes.append(f"power {_percent(power.change)} × time {_percent(time.change)}")
    return "; ".join(causes) or None


def _is_fact(entry: MetricVerdict) -> bool:
    """Whether it is a counted fact of the work that changed, such as its FLOPs."""
    return entry.exact and bool(entry.change)


def _percent(fraction: float | None) -> str:
    if fraction is None:
        return "–"
    text = f"{fraction * 100:+.1f} %".replace("-", "−")
    return "+0.0 %" if text == "−0.0 %" else text
