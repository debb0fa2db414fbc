"""From a measurement and its baseline to a verdict; no files.

A noisy metric is judged by the interval of its relative change, an exact one by its value. Which
way is better is known by the metric's name.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_energy.gate.baseline import Baseline, estimate_of
from pytest_energy.gate.classify import (
    ONE_LOOK,
    Rule,
    _by_value,
    _directed,
    _ratio,
    classify,
    worst,
)
from pytest_energy.gate.make_baseline import meter_facts
from pytest_energy.gate.pooling import visit_level, visits_of
from pytest_energy.model.measurement import Environment, Facts, Measurement, Quantity, ReasonCode
from pytest_energy.model.metrics import ENERGY, higher_is_better
from pytest_energy.model.metrics import metric as metric_named
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Past, Verdict
from pytest_energy.model.workload import facts_workload, workload_hash
from pytest_energy.settings import ENOUGH_RUNS
from pytest_energy.uncertainty.change import Change, Estimate, Prior, learn_scatter, relative_change
from pytest_energy.uncertainty.gum import combine, expand

PRIOR: Final = Prior()
OWN: Final = Prior(0.0)
"""For metrics that no round tells of, such as an accuracy: they scatter as accepted runs did."""
BOARD_GAIN: Final = 0.05
"""Boards of one model read within plus or minus this share of the truth: arXiv 2312.02741."""


def judge(
    measured: Measurement,
    kept: Baseline | None,
    facts: Baseline | None,
    environment: Environment,
    tolerances: Mapping[str, float],
    rule: Rule = ONE_LOOK,
) -> Verdict:
    """Compare a measurement with what was accepted.

    Args:
        measured: What was measured now.
        kept: The machine's baseline, or another machine's, which is then incomparable.
        facts: The baseline of what holds on any machine.
        environment: That of its run.
        tolerances: The relative change that is accepted, by metric. The metrics named here gate,
            and so do exact ones, at zero unless named; others are told without gating.
        rule: How sure a verdict must be.
    """
    environment = measured.measured_in(environment)
    differences = _differences(measured, kept, environment)
    comparison = _Comparison(measured, kept, facts, environment, tolerances, rule, differences)
    metrics = [comparison(name) for name in _names(measured, kept, facts, tolerances)]
    return Verdict(
        outcome=worst(metric for metric in metrics if metric.tolerance is not None),
        metrics=metrics,
        differences=[*differences, *_uncounted(measured, facts)],
        context=compare_facts(kept.context, environment.context, "context") if kept else [],
        cause=likely_cause(metrics),
        notes=comparison.notes(),
        history=[
            Past(commit=one.commit, values=one.values, conditions=one.conditions)
            for one in (kept.accepted if kept else ())
        ],
    )


def _names(
    measured: Measurement,
    kept: Baseline | None,
    facts: Baseline | None,
    tolerances: Mapping[str, float],
) -> list[str]:
    """The energy first, then what is measured, then what only a baseline has, each sorted."""
    found = {name for name, quantity in measured.metrics.items() if not quantity.exact}
    exact = measured.metrics.keys() - found
    known = (kept.metrics.keys() & tolerances.keys()) if kept else set()
    known |= facts.metrics.keys() if facts else set()
    lost = known - measured.metrics.keys()
    return [ENERGY, *sorted(found - {ENERGY}), *sorted(exact), *sorted(lost - {ENERGY})]


def _uncounted(measured: Measurement, facts: Baseline | None) -> list[Difference]:
    """Facts that were counted once and are no more: their gate must not go off in silence."""
    if facts is None:
        return []
    return [
        Difference(name=f"facts.{name}", before=before.value, after=None)
        for name, before in sorted(facts.metrics.items())
        if name not in measured.metrics
    ]


def contended(measured: Measurement) -> bool:
    """Whether nothing but the use of the device by others kept its joules from being known."""
    fatal = {reason.code for reason in measured.reasons if reason.fatal}
    return measured.status in ("invalid", "unmeasured") and fatal == {ReasonCode.CONTENDED}


def unconfirmed(verdict: Verdict, why: str) -> Verdict:
    """The verdict where a change was seen once and not, or not yet, a second time."""
    changed = (Outcome.REGRESSED, Outcome.IMPROVED)
    metrics = [
        metric.model_copy(update={"outcome": Outcome.INCONCLUSIVE})
        if metric.outcome in changed and metric.low != metric.high
        else metric
        for metric in verdict.metrics
    ]
    outcome = worst(metric for metric in metrics if metric.tolerance is not None)
    notes = [why, *verdict.notes] if metrics != verdict.metrics else verdict.notes
    return verdict.model_copy(update={"metrics": metrics, "outcome": outcome, "notes": notes})


def compare_facts(before: Facts, after: Facts, prefix: str) -> list[Difference]:
    """What differs between two sets of facts, named ``prefix.name``, sorted."""
    return [
        Difference(name=f"{prefix}.{name}", before=before.get(name), after=after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _differences(
    measured: Measurement, kept: Baseline | None, environment: Environment
) -> list[Difference]:
    if kept is None:
        return []
    found = compare_facts(kept.identity, environment.identity, "identity")
    found += compare_facts(kept.workload, measured.workload, "workload")
    if kept.meter and measured.meter:
        found += compare_facts(meter_facts(kept.meter), meter_facts(measured.meter), "meter")
    return found


@dataclass(frozen=True)
class _Comparison:
    """Judges one metric after the other, all against the same baselines."""

    measured: Measurement
    kept: Baseline | None
    facts: Baseline | None
    environment: Environment
    tolerances: Mapping[str, float]
    rule: Rule
    differences: Sequence[Difference]

    def __call__(self, metric: str) -> MetricVerdict:
        quantity = self.measured.metrics.get(metric)
        if quantity is None:
            uncounted = self.facts is not None and metric in self.facts.metrics
            return self._uncounted(metric) if uncounted else self._absent(metric)
        if quantity.exact:
            return self._exact(metric, quantity)
        return self._noisy(metric, quantity)

    def _absent(self, metric: str) -> MetricVerdict:
        missing = {"invalid": Outcome.INVALID, "unmeasured": Outcome.UNMEASURED}
        outcome = missing.get(self.measured.status, Outcome.UNMEASURED)
        if contended(self.measured):
            outcome = Outcome.INCONCLUSIVE
        kept = self.kept.metrics.get(metric) if self.kept else None
        return self._verdict(
            metric,
            outcome,
            tolerance=self.tolerances.get(metric, 0.0 if metric == ENERGY else None),
            baseline=kept.value if kept else None,
            unit=kept.unit if kept else "",
        )

    def _uncounted(self, metric: str) -> MetricVerdict:
        assert self.facts is not None
        before = self.facts.metrics[metric]
        return self._verdict(
            metric,
            Outcome.INCOMPARABLE,
            baseline=before.value,
            unit=before.unit,
            tolerance=self.tolerances.get(metric, 0.0),
        )

    def _exact(self, metric: str, quantity: Quantity) -> MetricVerdict:
        tolerance = self.tolerances.get(metric, 0.0)
        before = self.facts.metrics.get(metric) if self.facts else None
        common: dict[str, Any] = {
            "value": quantity.value,
            "unit": quantity.unit,
            "tolerance": tolerance,
        }
        if self.facts is None or before is None:
            return self._verdict(metric, Outcome.NEW, **common)
        if self.facts.workload_hash != workload_hash(facts_workload(self.measured.workload)):
            return self._verdict(metric, Outcome.INCOMPARABLE, **common)
        change = _ratio(quantity.value, before.value)
        outcome = _directed(metric, _by_value(change, tolerance))
        known = {"baseline": before.value, "change": change, "low": change, "high": change}
        return self._verdict(metric, outcome, **common, **(known if math.isfinite(change) else {}))

    def _noisy(self, metric: str, quantity: Quantity) -> MetricVerdict:
        tolerance = self.tolerances.get(metric)
        common: dict[str, Any] = {
            "value": quantity.value,
            "unit": quantity.unit,
            "tolerance": tolerance,
        }
        if self.measured.status == "invalid":  # what spoilt the joules slowed the passes as well
            spoilt = Outcome.INCONCLUSIVE if contended(self.measured) else Outcome.INVALID
            return self._verdict(metric, spoilt, **common)
        if self.differences:
            return self._verdict(metric, Outcome.INCOMPARABLE, **common)
        old = self.kept.level(metric) if self.kept else []
        if self.kept is None or not old:
            return self._verdict(metric, Outcome.NEW, **common)
        allowed = self.tolerances.get(ENERGY, 0.0) if tolerance is None else tolerance
        if quantity.value <= 0:
            return self._fallen(metric, allowed, old, common)
        change = self._change(metric, quantity, old, self.kept)
        outcome = _directed(metric, classify(change, allowed, self.rule))
        low, high = change.interval(self.rule.coverage)
        known = {"change": change.relative, "low": low, "high": high}
        return self._verdict(metric, outcome, **common, **known, **self._level(metric, old))

    def _fallen(
        self, metric: str, allowed: float, old: Sequence[Estimate], common: Mapping[str, Any]
    ) -> MetricVerdict:
        """A value of nothing has no logarithm: where more is better, all of it is lost."""
        if not higher_is_better(metric):
            return self._verdict(metric, Outcome.INCONCLUSIVE, **common)
        outcome = _directed(metric, _by_value(-1.0, allowed))
        known = {"change": -1.0, "low": -1.0, "high": -1.0, **self._level(metric, old)}
        return self._verdict(metric, outcome, **common, **known)

    def _change(
        self, metric: str, quantity: Quantity, old: Sequence[Estimate], kept: Baseline
    ) -> Change:
        visits = len(visits_of(self.measured)) or 1
        gain = BOARD_GAIN * math.sqrt(2 / 3) if self._other_board() else 0.0
        seen = visit_level(self.measured, metric)
        scatter = learn_scatter([*kept.levels(metric), seen], self._prior(metric))
        extra = gain if metric_named(metric).depends_on_gain else 0.0
        return relative_change(estimate_of(quantity), old, scatter, visits, extra)

    def _prior(self, metric: str) -> Prior:
        certain = self.measured.metrics[metric].uncertainty is None
        return OWN if certain and not metric_named(metric).from_rounds else PRIOR

    def _level(self, metric: str, old: Sequence[Estimate]) -> dict[str, float]:
        """The baseline's value and its uncertainty, scatter between runs included."""
        assert self.kept is not None
        scatter = learn_scatter(self.kept.levels(metric), self._prior(metric))
        value = math.exp(statistics.fmean(math.log(run.value) for run in old))
        within = combine(run.relative / len(old) for run in old)
        standard = combine((scatter.relative / math.sqrt(len(old)), within))
        half = expand(standard, scatter.degrees_of_freedom) * value
        return {"baseline": value, "baseline_uncertainty": half}

    def _verdict(
        self, metric: str, outcome: Outcome, **fields: float | str | None
    ) -> MetricVerdict:
        values = {"higher_is_better": higher_is_better(metric), **fields}
        return MetricVerdict.model_validate({"metric": metric, "outcome": outcome, **values})

    def _other_board(self) -> bool:
        before = self.kept.context.get("board") if self.kept else None
        after = self.environment.context.get("board")
        return before is not None and after is not None and before != after

    def notes(self) -> list[str]:
        """What a reader should know of how sure the verdict is."""
        if self.kept is None or self.differences:
            return []
        told = []
        if (runs := len(self.kept.level(ENERGY))) < ENOUGH_RUNS:
            told.append(
                f"scatter between runs is partly assumed ({PRIOR.relative:.0%}): the baseline has"
                f" {runs} accepted {'run' if runs == 1 else 'runs'}, {ENOUGH_RUNS} make it known"
            )
        if self._other_board():
            told.append(
                f"measured on another board than the baseline: sensors of one model differ by up"
                f" to ±{BOARD_GAIN:.0%}, which is counted in the interval"
            )
        return told


def likely_cause(metrics: Iterable[MetricVerdict]) -> str | None:
    """Where a change of energy comes from: facts that changed, and power × time."""
    by_name = {metric.metric: metric for metric in metrics if metric.change is not None}
    told = [
        f"{name} {_percent(found.change)}"
        for name, found in by_name.items()
        if found.change and found.low == found.high
    ]
    power, time = by_name.get("power_w"), by_name.get("latency_s")
    if power and time and power.change is not None and time.change is not None:
        told.append(f"power {_percent(power.change)} × time {_percent(time.change)}")
    return "; ".join(told) or None


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction * 100:+.1f} %".replace("-", "−")
