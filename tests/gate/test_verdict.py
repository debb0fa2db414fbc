"""From a measurement and its baseline to a verdict."""

from __future__ import annotations

import math
import statistics

import pytest

from pytest_energy.gate.baseline import AcceptedRun, Baseline, estimate_of
from pytest_energy.gate.schedule import Suite
from pytest_energy.gate.verdict import compare_facts, judge, unconfirmed
from pytest_energy.model.measurement import (
    Environment,
    Facts,
    Measurement,
    MeterInfo,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.model.metrics import CATALOGUE
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Difference, MetricVerdict, Past, Result, Verdict
from pytest_energy.model.workload import facts_workload, workload_hash
from pytest_energy.report.sentences import sentence
from pytest_energy.report.text.failure import explain
from pytest_energy.uncertainty.change import Change, Prior, learn_scatter, relative_change
from pytest_energy.uncertainty.gum import expand

WORKLOAD: Facts = {"model": "resnet50", "data": "random"}


HERE = Environment(
    identity={"device": "NVIDIA H200", "power_limit_w": 700.0}, context={"torch": "2.10"}
)


NVML = MeterInfo(name="nvml", source="counter")


TOLERANCES = {"energy_j": 0.05}


def joules(value: float, relative: float = 0.002) -> Quantity:
    """Energy of a pass, known to so much."""
    return Quantity(value=value, unit="J/pass", uncertainty=value * relative, degrees_of_freedom=8)


def flops(value: float) -> Quantity:
    """An exact count."""
    return Quantity(value=value, unit="FLOP", exact=True)


def measured(**fields: object) -> Measurement:
    """A measurement; ``fields`` replace what it has."""
    values = {
        "id": "t.py::test_a",
        "kind": "inference",
        "workload": WORKLOAD,
        "status": "measured",
        "meter": NVML,
        "metrics": {"energy_j": joules(1.0)},
        **fields,
    }
    return Measurement.model_validate(values)


def baseline_of(*energies_j: float, **fields: object) -> Baseline:
    """A baseline of runs that found these joules."""
    values = {
        "schema": "pytest-energy/baseline/1",
        "id": "t.py::test_a",
        "kind": "inference",
        "workload": WORKLOAD,
        "workload_hash": workload_hash(WORKLOAD),
        "identity": HERE.identity,
        "context": {"torch": "2.9"},
        "meter": NVML,
        "metrics": {"energy_j": joules(energies_j[-1] if energies_j else 1.0)},
        "accepted": [
            AcceptedRun(values={"energy_j": value}, standard={"energy_j": 0.001}, rounds=3)
            for value in energies_j
        ],
        **fields,
    }
    return Baseline.model_validate(values)


ENOUGH = baseline_of(1.0, 1.004, 0.996, 1.002, 0.998, 1.001, 1.003, 0.999)


def outcome(energy_j: float, baseline: Baseline | None = ENOUGH) -> Outcome:
    """The verdict on so many joules."""
    found = measured(metrics={"energy_j": joules(energy_j)})
    return judge(found, baseline, None, HERE, TOLERANCES).outcome


@pytest.mark.parametrize(
    ("energy_j", "expected"),
    [
        (1.0, Outcome.UNCHANGED),
        (1.10, Outcome.REGRESSED),
        (0.90, Outcome.IMPROVED),
        (1.05, Outcome.INCONCLUSIVE),
        (0.95, Outcome.INCONCLUSIVE),
    ],
)
def test_the_interval_decides(energy_j: float, expected: Outcome) -> None:
    """Wholly beyond the tolerance is a change, wholly within is none, across it is undecided."""
    assert outcome(energy_j) is expected


def test_without_a_baseline_it_is_new() -> None:
    """A first run is new, and does not fail."""
    assert outcome(1.0, None) is Outcome.NEW


def test_a_wide_scatter_between_runs_widens_the_interval() -> None:
    """The same rise is undecided where accepted runs differed as much among themselves."""
    noisy = baseline_of(1.0, 1.08, 0.92, 1.06, 0.94)
    assert outcome(1.10, noisy) is Outcome.INCONCLUSIVE


def test_few_runs_are_said_to_be_few() -> None:
    """Where the scatter is assumed, the verdict says so and how many runs would do."""
    notes = judge(measured(), baseline_of(1.0), None, HERE, TOLERANCES).notes
    assert notes == ["The baseline has 1 of 8 runs; a run-to-run variation of 1 % is assumed."]
    assert judge(measured(), ENOUGH, None, HERE, TOLERANCES).notes == []
    suite = Suite(prior=Prior(0.0099, 8.0))
    (note,) = judge(measured(), baseline_of(1.0), None, HERE, TOLERANCES, suite=suite).notes
    assert "a run-to-run variation of 0.99 % is assumed" in note


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"identity": {**HERE.identity, "device": "NVIDIA A100"}}, ["identity.device"]),
        ({"identity": {**HERE.identity, "power_limit_w": 300.0}}, ["identity.power_limit_w"]),
        (
            {"workload": {"model": "resnet50", "data": "mnist"}, "workload_hash": "0"},
            ["workload.data"],
        ),
        (
            {"meter": MeterInfo(name="codecarbon", source="model", estimated=True)},
            ["meter.estimated", "meter.name", "meter.source"],
        ),
    ],
)
def test_what_cannot_be_compared_is_named(fields: dict[str, object], names: list[str]) -> None:
    """Another card, limit, data or kind of meter is incomparable, whatever the joules."""
    found = judge(measured(), baseline_of(0.5, **fields), None, HERE, TOLERANCES)
    assert found.outcome is Outcome.INCOMPARABLE
    assert [difference.name for difference in found.differences] == names


def test_an_own_metric_is_no_cause() -> None:
    """A throughput that fell says nothing about why, least of all about itself."""
    both = {"energy_j": joules(1), "throughput": Quantity(value=10.0, unit="1")}
    run = AcceptedRun(
        values={"energy_j": 1.0, "throughput": 10.0},
        standard={"energy_j": 0.001, "throughput": 0.0},
        rounds=3,
    )
    before = baseline_of(metrics=both, accepted=[run] * 8)
    now = measured(metrics={"energy_j": joules(1), "throughput": Quantity(value=5.0, unit="1")})
    found = judge(now, before, None, HERE, {**TOLERANCES, "throughput": 0.1})
    assert found.outcome is Outcome.REGRESSED
    assert "throughput" not in (found.cause or "")


@pytest.mark.parametrize("status", ["unmeasured", "measured"])
def test_more_flops_regress_on_any_machine(status: str) -> None:
    """A change of an exact metric counts without joules, and with the same joules as before."""
    metrics = {"flops": flops(112.0)} | ({"energy_j": joules(1)} if status == "measured" else {})
    counted_on = workload_hash(facts_workload(WORKLOAD))
    facts = baseline_of(metrics={"flops": flops(100.0)}, accepted=[], workload_hash=counted_on)
    found = judge(measured(status=status, metrics=metrics), ENOUGH, facts, HERE, TOLERANCES)
    assert found.outcome is Outcome.REGRESSED
    assert found.cause is None  # it would name itself
    allowed = judge(
        measured(metrics={"energy_j": joules(1), "flops": flops(112.0)}),
        ENOUGH,
        facts,
        HERE,
        {**TOLERANCES, "flops": 0.2},
    )
    assert allowed.outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("accuracy", "tolerance", "expected"),
    [
        (0.7, 0.02, Outcome.REGRESSED),
        (0.99, 0.02, Outcome.IMPROVED),
        (0.0, 0.02, Outcome.REGRESSED),
        (0.0, 1.0, Outcome.UNCHANGED),
    ],
)
def test_accuracy_gates_downwards(accuracy: float, tolerance: float, expected: Outcome) -> None:
    """Of accuracy less is worse, and none at all is the worst."""
    before = baseline_of(
        1.0, accepted=[AcceptedRun(values={"energy_j": 1.0, "accuracy": 0.9}, rounds=3)]
    )
    found = judge(
        measured(metrics={"energy_j": joules(1), "accuracy": Quantity(value=accuracy, unit="1")}),
        before,
        None,
        HERE,
        {**TOLERANCES, "accuracy": tolerance},
    )
    verdicts = {metric.metric: metric for metric in found.metrics}
    assert verdicts["accuracy"].outcome is expected
    assert verdicts["accuracy"].change == pytest.approx(accuracy / 0.9 - 1)
    if not accuracy:
        assert (verdicts["accuracy"].low, verdicts["accuracy"].high) == (-1.0, -1.0)
    assert verdicts["accuracy"].baseline == pytest.approx(0.9)


def test_a_loss_of_nothing_is_undecided() -> None:
    """Where less is better, a value of zero is rather a fault of the test than a gain."""
    before = baseline_of(1.0, accepted=[AcceptedRun(values={"energy_j": 1, "loss": 0.1}, rounds=3)])
    gone = measured(metrics={"energy_j": joules(1), "loss": Quantity(value=0, unit="1")})
    found = judge(gone, before, None, HERE, {**TOLERANCES, "loss": 0.1})
    assert found.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("value", "uncertainty", "expected"),
    [
        (0.0, 0.01, Outcome.UNCHANGED),
        (0.009, 0.01, Outcome.UNCHANGED),
        (0.011, 0.01, Outcome.REGRESSED),
        (-0.011, 0.01, Outcome.IMPROVED),
        (0.001, None, Outcome.REGRESSED),
        (0.0, None, Outcome.UNCHANGED),
    ],
)
def test_of_a_baseline_of_zero_the_uncertainty_decides(
    value: float, uncertainty: float | None, expected: Outcome
) -> None:
    """No share of nothing can be tolerated, so that an interval would never be within it."""
    before = baseline_of(1.0, accepted=[AcceptedRun(values={"energy_j": 1, "loss": 0}, rounds=3)])
    loss = Quantity(value=value, unit="1", uncertainty=uncertainty)
    now = measured(metrics={"energy_j": joules(1), "loss": loss})
    found = judge(now, before, None, HERE, {**TOLERANCES, "loss": 0.05})
    assert {each.metric: each.outcome for each in found.metrics}["loss"] is expected


def test_a_metric_without_tolerance_does_not_gate() -> None:
    """Latency that doubles is told, and decides nothing unless a tolerance asks for it."""
    before = baseline_of(
        1.0, accepted=[AcceptedRun(values={"energy_j": 1, "latency_s": 1}, rounds=3)]
    )
    slow = measured(metrics={"energy_j": joules(1), "latency_s": Quantity(value=2, unit="s")})
    assert judge(slow, before, None, HERE, TOLERANCES).outcome is Outcome.UNCHANGED
    gated = judge(slow, before, None, HERE, {**TOLERANCES, "latency_s": 0.1})
    assert gated.outcome is Outcome.REGRESSED


@pytest.mark.parametrize("status", ["invalid", "unmeasured"])
def test_what_was_not_measured_says_so(status: str) -> None:
    """No joules is an outcome of its own and never a zero."""
    reason = Reason(code=ReasonCode.COUNTER_RESET, message="the counter went back")
    found = judge(
        measured(status=status, metrics={}, reasons=[reason]), ENOUGH, None, HERE, TOLERANCES
    )
    assert found.outcome.value == status
    assert found.metrics[0].value is None


def test_a_gpu_that_others_use_is_inconclusive() -> None:
    """It says nothing against the code; with another fatal reason beside it, it is invalid."""
    used = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    reset = Reason(code=ReasonCode.COUNTER_RESET, message="the counter went back")
    for reasons, expected in (([used], Outcome.INCONCLUSIVE), ([used, reset], Outcome.INVALID)):
        spoilt = measured(status="invalid", metrics={}, reasons=reasons)
        assert judge(spoilt, ENOUGH, None, HERE, TOLERANCES).outcome is expected


@pytest.mark.parametrize(
    "metric",
    [row.name for row in CATALOGUE if row.depends_on_gain and row.name != "energy_j"],
)
def test_what_comes_of_joules_is_as_uncertain_between_boards(metric: str) -> None:
    """The gain of a board falsifies power and Score as it does the energy."""
    before = baseline_of(accepted=[AcceptedRun(values={"energy_j": 1, metric: 1}, rounds=3)] * 8)
    other = before.model_copy(update={"context": {"board": ["a"]}})
    now = measured(metrics={"energy_j": joules(1), metric: Quantity(value=1, unit="1")})
    here = HERE.model_copy(update={"context": {"board": ["b"]}})
    found = [judge(now, one, None, here, TOLERANCES) for one in (before, other)]
    same, between = (next(m for m in one.metrics if m.metric == metric) for one in found)
    assert same.high is not None
    assert between.high is not None
    assert between.high > same.high + 0.05


def test_a_fact_that_is_counted_no_more_is_told() -> None:
    """The gate of the FLOPs does not go off in silence, whether or not joules are measured."""
    counted = {"flops": flops(8e9), "params": Quantity(value=1e6, unit="1", exact=True)}
    facts = baseline_of(
        metrics=counted, accepted=[], workload_hash=workload_hash(facts_workload(WORKLOAD))
    )
    for status in ("measured", "unmeasured"):
        metrics = {"params": Quantity(value=1e6, unit="1", exact=True)}
        metrics |= {"energy_j": joules(1.0)} if status == "measured" else {}
        found = judge(measured(status=status, metrics=metrics), ENOUGH, facts, HERE, TOLERANCES)
        assert found.outcome is Outcome.INCOMPARABLE
        assert [(one.name, one.before, one.after) for one in found.differences] == [
            ("facts.flops", 8e9, None)
        ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([0.95], 0.945, Outcome.UNCHANGED),
        ([0.95], 0.93, Outcome.REGRESSED),
        ([0.95, 0.92, 0.97, 0.94], 0.93, Outcome.INCONCLUSIVE),
        ([0.95], 0.98, Outcome.IMPROVED),
    ],
)
def test_an_own_metric_scatters_as_accepted_runs_did(
    before: list[float], now: float, expected: Outcome
) -> None:
    """An accuracy states no uncertainty: it counts as it is, until accepted runs differ."""
    baseline = baseline_of(metrics={"accuracy": Quantity(value=before[-1], unit="1")}).model_copy(
        update={"accepted": [AcceptedRun(values={"accuracy": value}) for value in before]}
    )
    metrics = {"accuracy": Quantity(value=now, unit="1")}
    found = judge(measured(metrics=metrics), baseline, None, HERE, {"accuracy": 0.01})
    assert {one.metric: one.outcome for one in found.metrics}["accuracy"] is expected


def test_another_board_widens_the_interval() -> None:
    """Two boards of one model read differently, so that a rise between them is undecided."""
    here = HERE.model_copy(update={"context": {"board": ["b"]}})
    before = baseline_of(*[1.0] * 8, context={"board": ["a"]})
    found = judge(measured(metrics={"energy_j": joules(1.1)}), before, None, here, TOLERANCES)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.notes == [
        "The baseline was measured on another board. Sensors of one model differ by up to ±5 %;"
        " the interval includes this."
    ]


def test_the_failure_text_tells_what_why_and_what_to_do() -> None:
    """Metric, before and after, change with interval and tolerance, cause, context, commands."""
    power = {"value": 1.0, "unit": "W"}
    before = baseline_of(
        1.0,
        accepted=[
            AcceptedRun(values={"energy_j": 1.0, "power_w": 1.0, "latency_s": 1.0}, rounds=3)
        ],
    )
    now = measured(
        metrics={
            "energy_j": joules(1.12),
            "power_w": Quantity.model_validate({**power, "value": 1.12}),
            "latency_s": Quantity(value=1.0, unit="s"),
        }
    )
    verdict: Verdict = judge(now, before, None, HERE, TOLERANCES)
    text = explain(Result.of(now, verdict))
    assert text.splitlines() == [
        "energy regressed: t.py::test_a",
        "  Energy: 1.000 ± 0.023 J/pass → 1.1200 ± 0.0022 J/pass: +12 % [+8, +16] (95 %"
        " sure), tolerance 5 %",
        "  likely cause: power +12.0 % × time +0.0 %",
        "  changed since the baseline: torch 2.9 → 2.10",
        "  The baseline has 1 of 8 runs; a run-to-run variation of 1 % is assumed.",
        "  measure again:  pytest t.py::test_a --energy",
        "  accept it:      pytest t.py::test_a --energy --energy-update",
    ]


def test_the_failure_text_names_the_shift_that_was_taken_off() -> None:
    """Without it the values before and after would not agree with the change."""
    now = measured(metrics={"energy_j": joules(1.133)})
    suite = Suite(shifts={"energy_j": Change(math.log(1.03), 0.0001)})
    verdict = judge(now, baseline_of(*[1.0] * 8), None, HERE, TOLERANCES, suite=suite)
    assert "+10.0 % [" in explain(Result.of(now, verdict))
    assert " beyond the suite's +3.0 %, tolerance 5 %" in explain(Result.of(now, verdict))


def test_the_failure_text_tells_clocks_and_temperatures_before_and_now() -> None:
    """Medians over the rounds, beside those of the newest accepted run; throttling, too."""
    old = {"gpu0.temperature_c": 61.0, "gpu0.clock_mhz": 1980.0}
    before = baseline_of(accepted=[AcceptedRun(values={"energy_j": 1.0}, rounds=3, conditions=old)])
    now = {"gpu0.temperature_c": 83.0, "gpu0.clock_mhz": 1980.0, "gpu0.throttled.thermal": 0.2}
    rounds = [Round(start=0, duration_s=1, passes=1, energy_j=1.2, conditions=now)] * 3
    found = measured(metrics={"energy_j": joules(1.2)}, rounds=rounds)
    text = explain(Result.of(found, judge(found, before, None, HERE, TOLERANCES)))
    assert (
        "\n  while measuring: gpu0 clock 1980 MHz, gpu0 temperature 61 → 83 °C,"
        " gpu0 throttled thermal 0.2\n"
    ) in text


def test_the_failure_text_names_what_regressed() -> None:
    """Where only the FLOPs have risen, the headline says so."""
    facts = baseline_of(
        metrics={"flops": flops(100.0)},
        accepted=[],
        workload_hash=workload_hash(facts_workload(WORKLOAD)),
    )
    now = measured(status="unmeasured", metrics={"flops": flops(112.0)})
    text = explain(Result.of(now, judge(now, None, facts, HERE, TOLERANCES)))
    assert text.startswith("FLOPs regressed: t.py::test_a\n")


def lone_verdict(outcome: Outcome) -> Verdict:
    """A verdict with one gated metric."""
    metric = MetricVerdict(metric="energy_j", outcome=outcome, tolerance=0.05, low=0.06, high=0.1)
    return Verdict(outcome=outcome, metrics=[metric])


def test_a_rise_seen_once_is_inconclusive() -> None:
    """Why it was not seen twice is told; what had not changed stays as it was."""
    found = unconfirmed(lone_verdict(Outcome.REGRESSED), "process 7 used the GPU")
    assert (found.outcome, found.notes) == (Outcome.INCONCLUSIVE, ["process 7 used the GPU"])
    assert found.metrics[0].outcome is Outcome.INCONCLUSIVE
    calm = lone_verdict(Outcome.UNCHANGED)
    assert unconfirmed(calm, "process 7 used the GPU") == calm


def test_a_failure_of_facts_names_them_and_no_machine() -> None:
    """Parameters and FLOPs are the same on any machine, so its own facts explain nothing."""
    facts = baseline_of(
        metrics={"flops": flops(100.0)},
        accepted=[],
        workload_hash=workload_hash(facts_workload(WORKLOAD)),
    )
    no_meter = Reason(code=ReasonCode.NO_METER, message="--energy-meter=none")
    elsewhere = Environment(identity={"device": "CPU of a runner"})
    now = measured(status="unmeasured", metrics={"flops": flops(112.0)}, reasons=[no_meter])
    result = Result.of(now, judge(now, ENOUGH, facts, elsewhere, TOLERANCES))
    assert sentence(result) == "FLOPs 100 → 112 FLOP, +12.0 %, tolerance 0 %"
    lines = explain(result).splitlines()
    lines.remove("  changed since the baseline: torch 2.9 → –")
    assert lines == [  # measured again, a count would be the same
        "FLOPs regressed: t.py::test_a",
        "  FLOPs: 100 → 112 FLOP: +12.0 %, tolerance 0 %",
        "  accept it:      pytest t.py::test_a --energy --energy-update",
    ]


NO_FIGURES = {"energy_j": 0.05}
CONTENDED = Reason(code=ReasonCode.CONTENDED, message="PID 4711 also used gpu0")
SHORT = Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="5 ms; the sensor needs 100 ms")


@pytest.mark.parametrize(
    ("measurement", "lines"),
    [
        (
            measured(metrics={"energy_j": joules(1)}),
            [
                "no baseline: t.py::test_a",
                "  measure again:  pytest t.py::test_a --energy",
                "  record it:      pytest t.py::test_a --energy --energy-update",
            ],
        ),
        (
            measured(status="invalid", metrics={}, reasons=[SHORT]),
            [
                "could not measure t.py::test_a: window-too-short",
                "  window-too-short: 5 ms; the sensor needs 100 ms",
                "  measure again:  pytest t.py::test_a --energy",
            ],
        ),
        (
            measured(status="invalid", metrics={}, reasons=[CONTENDED]),
            [
                "not decided, others used the device: t.py::test_a",
                "  contended: PID 4711 also used gpu0",
                "  measure again:  pytest t.py::test_a --energy",
            ],
        ),
    ],
    ids=["new", "invalid", "contended"],
)
def test_the_failure_text_says_each_thing_once(measurement: Measurement, lines: list[str]) -> None:
    """The outcome stands in the first line alone, and nothing is offered that does not work."""
    verdict = judge(measurement, None, None, HERE, NO_FIGURES)
    assert explain(Result.of(measurement, verdict)).splitlines() == lines


def verdict_on(metric: str, found: Verdict) -> MetricVerdict:
    """What a verdict says of one metric."""
    return next(each for each in found.metrics if each.metric == metric)


def test_a_verdict_has_the_numbers_that_it_was_made_from() -> None:
    """The change with its interval, and the baseline with the variation between its runs."""
    found = verdict_on("energy_j", judge(measured(), ENOUGH, None, HERE, TOLERANCES))
    runs = ENOUGH.level("energy_j")
    scatter = learn_scatter([runs])
    change = relative_change(estimate_of(joules(1.0)), runs, scatter)
    low, high = change.interval()
    value = math.exp(statistics.fmean(math.log(run.value) for run in runs))
    within = math.hypot(*(run.relative / 8 for run in runs))
    standard = math.hypot(scatter.relative / math.sqrt(8), within)
    assert found == MetricVerdict(
        metric="energy_j",
        outcome=Outcome.UNCHANGED,
        value=1.0,
        unit="J/pass",
        baseline=value,
        baseline_uncertainty=expand(standard, scatter.degrees_of_freedom) * value,
        change=change.relative,
        low=low,
        high=high,
        tolerance=0.05,
    )


def test_visits_that_differ_widen_the_interval() -> None:
    """Their variation is learnt as well, from two of them on."""
    rounds = [
        Round(start=0, duration_s=1, passes=1, energy_j=energy_j, visit=visit)
        for visit, energy_j in ((1, 0.9), (2, 1.3))
    ]
    for each, expected in ((rounds, Outcome.INCONCLUSIVE), (rounds[:1], Outcome.REGRESSED)):
        now = measured(metrics={"energy_j": joules(1.1)}, rounds=each)
        assert judge(now, ENOUGH, None, HERE, TOLERANCES).outcome is expected


def test_a_verdict_tells_the_accepted_runs_and_what_else_has_changed() -> None:
    """The page draws the one and names the other; a new benchmark has neither."""
    conditions = {"gpu0.clock_mhz": 1980.0}
    run = AcceptedRun(commit="c1", values={"energy_j": 1.0}, rounds=3, conditions=conditions)
    found = judge(measured(), baseline_of(accepted=[run]), None, HERE, TOLERANCES)
    assert found.history == [Past(commit="c1", values={"energy_j": 1.0}, conditions=conditions)]
    assert found.context == [Difference(name="context.torch", before="2.9", after="2.10")]
    new = judge(measured(), None, None, HERE, TOLERANCES)
    assert (new.history, new.context) == ([], [])
    plain = compare_facts({"b": 1, "a": 2, "c": 3}, {"b": 4, "c": 3})
    assert [(each.name, each.before, each.after) for each in plain] == [("a", 2, None), ("b", 1, 4)]


COUNTED_ON = workload_hash(facts_workload(WORKLOAD))


@pytest.mark.parametrize(
    ("facts", "hashed", "expected"),
    [
        ({"flops": flops(100.0)}, COUNTED_ON, (Outcome.REGRESSED, 100.0, 0.12)),
        ({"flops": flops(112.0)}, COUNTED_ON, (Outcome.UNCHANGED, 112.0, 0.0)),
        ({"flops": flops(0.0)}, COUNTED_ON, (Outcome.REGRESSED, 0.0, None)),
        ({"flops": flops(100.0)}, "0", (Outcome.INCOMPARABLE, None, None)),
        ({"params": flops(7.0)}, COUNTED_ON, (Outcome.NEW, None, None)),
        (None, COUNTED_ON, (Outcome.NEW, None, None)),
    ],
    ids=["more", "as many", "from none", "other workload", "not counted before", "new"],
)
def test_a_count_is_judged_by_its_value(
    facts: dict[str, Quantity] | None,
    hashed: str,
    expected: tuple[Outcome, float | None, float | None],
) -> None:
    """It has a tolerance of zero, and its interval is its change; of nothing there is no share."""
    known = facts and baseline_of(metrics=facts, accepted=[], workload_hash=hashed)
    now = measured(status="unmeasured", metrics={"flops": flops(112.0)})
    found = verdict_on("flops", judge(now, None, known or None, HERE, TOLERANCES))
    outcome, before, change = expected
    share = None if change is None else pytest.approx(change)
    assert (found.change, found.low, found.high) == (share, share, share)
    assert found.model_copy(update={"change": None, "low": None, "high": None}) == MetricVerdict(
        metric="flops",
        outcome=outcome,
        baseline=before,
        value=112.0,
        unit="FLOP",
        tolerance=0.0,
        exact=True,
    )


def test_what_spoilt_the_joules_spoilt_the_seconds() -> None:
    """The same disturbance slowed the passes: no verdict is made of them."""
    used = Reason(code=ReasonCode.CONTENDED, message="process 7 used the GPU")
    reset = Reason(code=ReasonCode.COUNTER_RESET, message="the counter went back")
    before = baseline_of(
        1.0, accepted=[AcceptedRun(values={"energy_j": 1, "latency_s": 1}, rounds=3)]
    )
    latency = {"latency_s": Quantity(value=1.0, unit="s")}
    for reasons, expected in (([used], Outcome.INCONCLUSIVE), ([used, reset], Outcome.INVALID)):
        spoilt = measured(status="invalid", metrics=latency, reasons=reasons)
        found = judge(spoilt, before, None, HERE, TOLERANCES)
        assert verdict_on("latency_s", found) == MetricVerdict(
            metric="latency_s", outcome=expected, value=1.0, unit="s"
        )


def test_joules_that_are_missing_gate_and_show_what_they_were() -> None:
    """With a tolerance of zero if they have none; other metrics only if they have one."""
    before = baseline_of(
        1.0,
        metrics={"energy_j": joules(1.0), "latency_s": Quantity(value=2.0, unit="s")},
    )
    nothing = measured(status="unmeasured", metrics={})
    energy = {"metric": "energy_j", "outcome": Outcome.UNMEASURED, "unit": "J/pass"}
    found = judge(nothing, before, None, HERE, {"throughput_hz": 0.1})
    assert found.metrics == [MetricVerdict(**energy, baseline=1.0, tolerance=0.0)]
    both = judge(nothing, before, None, HERE, {"energy_j": 0.05, "latency_s": 0.1})
    latency = {"metric": "latency_s", "outcome": Outcome.UNMEASURED, "unit": "s"}
    assert both.metrics == [
        MetricVerdict(**energy, baseline=1.0, tolerance=0.05),
        MetricVerdict(**latency, baseline=2.0, tolerance=0.1),
    ]
    new = judge(nothing, None, None, HERE, TOLERANCES)
    assert new.metrics == [
        MetricVerdict(metric="energy_j", outcome=Outcome.UNMEASURED, tolerance=0.05)
    ]
    facts = baseline_of(metrics={"flops": flops(8.0)}, accepted=[])
    counted = judge(nothing, None, facts, HERE, TOLERANCES)
    assert counted.metrics[1] == MetricVerdict(
        metric="flops", outcome=Outcome.INCOMPARABLE, baseline=8.0, unit="FLOP", tolerance=0.0
    )


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_test_says_which_values_of_its_own_metric_are_better(better: str) -> None:
    """A name of its own says nothing about that."""
    before = baseline_of(
        1.0, accepted=[AcceptedRun(values={"energy_j": 1, "my_figure": 1}, rounds=3)]
    )
    metrics = {"energy_j": joules(1), "my_figure": Quantity(value=2.0, unit="1")}
    now = measured(metrics=metrics, better={"my_figure": better})
    found = verdict_on("my_figure", judge(now, before, None, HERE, {"my_figure": 0.1}))
    assert found.higher_is_better is (better == "higher")
    assert found.outcome is (Outcome.IMPROVED if better == "higher" else Outcome.REGRESSED)


@pytest.mark.parametrize(
    ("tolerances", "expected"),
    [({"energy_j": 0.1}, Outcome.UNCHANGED), ({}, Outcome.REGRESSED)],
)
def test_a_metric_that_does_not_gate_is_shown_by_the_tolerance_of_the_energy(
    tolerances: dict[str, float], expected: Outcome
) -> None:
    """Be it compared by a ratio or, where it was zero or negative, by a difference."""
    values = {"energy_j": 1.0, "latency_s": 1.0, "loss": -1.0}
    before = baseline_of(1.0, accepted=[AcceptedRun(values=values, rounds=3)] * 8)
    metrics = {
        "energy_j": joules(1),
        "latency_s": Quantity(value=1.05, unit="s", uncertainty=0.001),
        "loss": Quantity(value=-0.95, unit="1"),
    }
    found = judge(measured(metrics=metrics), before, None, HERE, tolerances)
    for metric in ("latency_s", "loss"):
        assert verdict_on(metric, found).outcome is expected
        assert verdict_on(metric, found).tolerance is None


@pytest.mark.parametrize(
    ("earlier", "half"),
    [
        ([-1.0], 0.1),
        ([-1.0, -1.0], 0.1),
        ([-1.2, -0.8], expand(math.hypot(0.08**0.5 * 1.5**0.5, 0.1 / 1.959964), 1)),
        ([-1.1, -1.0, -0.9], expand(math.hypot(0.1 * (4 / 3) ** 0.5, 0.1 / 1.959964), 2)),
    ],
)
def test_what_may_be_negative_is_compared_by_the_difference(
    earlier: list[float], half: float
) -> None:
    """As shares of the baseline's size, with the scatter of the accepted runs as it was."""
    runs = [AcceptedRun(values={"energy_j": 1.0, "loss": 2 * value}) for value in earlier]
    loss = Quantity(value=-1.0, unit="1", uncertainty=0.2)
    now = measured(metrics={"energy_j": joules(1), "loss": loss})
    tolerances = {**TOLERANCES, "loss": 0.7}
    found = verdict_on("loss", judge(now, baseline_of(accepted=runs), None, HERE, tolerances))
    assert (found.baseline, found.change) == (pytest.approx(-2.0), pytest.approx(0.5))
    assert (found.low, found.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    expected = Outcome.UNCHANGED if 0.5 + half < 0.7 else Outcome.INCONCLUSIVE
    assert found.outcome is expected


@pytest.mark.parametrize(
    ("metric", "uncertainty", "expected"),
    [
        ("latency_s", None, Outcome.INCONCLUSIVE),
        ("my_loss", 0.0001, Outcome.INCONCLUSIVE),
        ("my_loss", None, Outcome.REGRESSED),
    ],
    ids=["one round", "own with an uncertainty", "own"],
)
def test_what_is_measured_varies_between_runs(
    metric: str, uncertainty: float | None, expected: Outcome
) -> None:
    """Until runs are known, 1 % is assumed; a test's own figure is taken as it is."""
    before = baseline_of(1.0, accepted=[AcceptedRun(values={"energy_j": 1, metric: 1.0}, rounds=3)])
    now = Quantity(value=1.06, unit="1", uncertainty=uncertainty)
    found = judge(
        measured(metrics={"energy_j": joules(1), metric: now}, better={"my_loss": "lower"}),
        before,
        None,
        HERE,
        {**TOLERANCES, metric: 0.05},
    )
    assert verdict_on(metric, found).outcome is expected


@pytest.mark.parametrize(
    ("energy", "power", "time", "cause"),
    [
        (1.2, 1.2, 0.99999, "FLOPs +12.0 %; power +20.0 % × time +0.0 %"),
        (1.2, 0.5, 2.4, "FLOPs +12.0 %; power −50.0 % × time +140.0 %"),
        (1.2, None, 2.4, "FLOPs +12.0 %"),
        (None, None, None, None),
    ],
)
def test_the_likely_cause_is_facts_that_changed_and_power_times_time(
    energy: float | None, power: float | None, time: float | None, cause: str | None
) -> None:
    """Of a rise of joules or seconds; another metric has a cause of its own."""
    facts = baseline_of(
        metrics={"flops": flops(100.0), "params": flops(7.0)}, accepted=[], workload_hash=COUNTED_ON
    )
    values = {"energy_j": 1.0, "power_w": 1.0, "latency_s": 1.0, "my_loss": 1.0}
    before = baseline_of(accepted=[AcceptedRun(values=values, rounds=3)] * 8)
    noisy = {"energy_j": energy, "power_w": power, "latency_s": time, "my_loss": 2.0}
    metrics = {
        name: Quantity(value=value, unit="1", uncertainty=0.001)
        for name, value in noisy.items()
        if value is not None
    }
    now = measured(
        status="measured" if energy else "unmeasured",
        metrics={**metrics, "flops": flops(112.0), "params": flops(7.0)},
        better={"my_loss": "lower"},
    )
    tolerances = {**TOLERANCES, "flops": 0.2, "my_loss": 0.1}
    assert judge(now, before, facts, HERE, tolerances).cause == cause
