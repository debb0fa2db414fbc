"""Which verdicts fail a test."""

from __future__ import annotations

import pytest

from pytest_energy.gate.policy import fails_test, with_budgets, with_failures
from pytest_energy.model.measurement import MeterInfo, Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Budget, MetricVerdict, Run, SuiteShift, Verdict
from pytest_energy.settings import FAILING, Settings, load_settings
from tests.gate_data import measurement, result, run_of

DEFAULT = Settings().failing


STRICT = Settings(strict=True).failing


def verdict(outcome: Outcome, metric: str = "energy_j") -> Verdict:
    """A verdict with one gated metric."""
    one = MetricVerdict(metric=metric, outcome=outcome, tolerance=0.05, low=0.06, high=0.1)
    return Verdict(outcome=outcome, metrics=[one])


@pytest.mark.parametrize(
    ("outcome", "by_default", "strictly"),
    [
        (Outcome.REGRESSED, True, True),
        (Outcome.IMPROVED, False, False),
        (Outcome.UNCHANGED, False, False),
        (Outcome.INCONCLUSIVE, False, True),
        (Outcome.NEW, False, True),
        (Outcome.INCOMPARABLE, False, True),
        (Outcome.INVALID, False, True),
        (Outcome.UNMEASURED, False, True),
    ],
)
def test_only_a_regression_fails_by_default(
    outcome: Outcome, by_default: bool, strictly: bool
) -> None:
    """Strict mode fails whatever is not known to be as good as before."""
    assert fails_test(verdict(outcome), measurement(), DEFAULT) is by_default
    assert fails_test(verdict(outcome), measurement(), STRICT) is strictly


def test_the_rise_of_an_estimate_fails_only_where_asked_for() -> None:
    """An estimate's joules do not; its counted facts do."""
    estimated = measurement(
        status="estimated",
        metrics={
            "energy_j": Quantity(value=1, unit="J/pass"),
            "flops": Quantity(value=1, unit="FLOP", exact=True),
        },
    )
    joules = verdict(Outcome.REGRESSED)
    assert not fails_test(joules, estimated, DEFAULT)
    assert fails_test(joules, estimated, DEFAULT | {"estimated"})
    assert fails_test(verdict(Outcome.REGRESSED, "flops"), estimated, DEFAULT)


def test_the_option_takes_known_outcomes_only() -> None:
    """A word that is no outcome is refused; the error lists those that are."""
    from pytest_energy.errors import UsageError
    from pytest_energy.options import OPTIONS

    option = next(option for option in OPTIONS if option.name == "fail-on")
    given = {option: ("--energy-fail-on", "regressed,invalid")}
    assert load_settings(given).failing == {"regressed", "invalid"}
    with pytest.raises(UsageError, match=r"--energy-fail-on=worse: .*" + ", ".join(FAILING)):
        load_settings({option: ("--energy-fail-on", "worse")})


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        (0.994, Outcome.OVER_BUDGET),  # wholly above
        (0.996, Outcome.INCONCLUSIVE),  # the lower end is the limit
        (1.003, Outcome.INCONCLUSIVE),
        (1.004, Outcome.UNCHANGED),  # the upper end is the limit
        (2.0, Outcome.UNCHANGED),
    ],
)
def test_a_budget_is_judged_by_the_whole_interval(limit: float, outcome: Outcome) -> None:
    """The joules are 1 ± 0.004; the more severe of budget and baseline counts."""
    unchanged = verdict(Outcome.UNCHANGED)
    judged = with_budgets(unchanged, measurement(), {"energy_j": limit, "energy_j_per_token": 1.0})
    assert judged.budgets == [
        Budget(
            metric="energy_j",
            outcome=outcome,
            limit=limit,
            value=1.0,
            uncertainty=0.004,
            unit="J/pass",
        )
    ]
    assert judged.outcome is outcome
    assert with_budgets(verdict(Outcome.OVER_BUDGET), measurement(), {"energy_j": 2}).outcome is (
        Outcome.OVER_BUDGET
    )
    assert fails_test(judged, measurement(), DEFAULT) is (outcome is Outcome.OVER_BUDGET)


def test_the_policy_on_a_budget_holds_beside_a_regression() -> None:
    """Each fails the test if it is named, and only then."""
    judged = with_budgets(verdict(Outcome.REGRESSED), measurement(), {"energy_j": 0.1})
    for failing, fails in (
        ({Outcome.OVER_BUDGET.value}, True),
        ({"regressed"}, True),
        ({"improved"}, False),
    ):
        assert fails_test(judged, measurement(), failing) is fails


def test_joules_of_unknown_uncertainty_are_compared_as_they_are() -> None:
    """As those of a log."""
    bare = measurement(metrics={"energy_j": Quantity(value=1.0, unit="J/pass")})
    for limit, outcome in ((1.0, Outcome.UNCHANGED), (0.99, Outcome.OVER_BUDGET)):
        judged = with_budgets(verdict(Outcome.UNCHANGED), bare, {"energy_j": limit})
        assert judged.outcome is outcome


def test_estimated_or_missing_joules_have_no_budget() -> None:
    """An estimate gets a note, before the others; what was not measured is invalid anyway."""
    noted = verdict(Outcome.UNCHANGED).model_copy(update={"notes": ["other"]})
    estimated = with_budgets(noted, measurement(status="estimated"), {"energy_j": 0.1})
    assert estimated.budgets == []
    assert estimated.notes == [
        "The budget (max_joules) was not checked: the joules are estimated.",
        "other",
    ]
    assert with_budgets(noted, measurement(status="unmeasured"), {"energy_j": 0.1}) is noted
    assert with_budgets(noted, measurement(), {}) is noted


def shifted(outcome: Outcome, *, meter: MeterInfo | None = None, **fields: object) -> Run:
    """A run whose suite has shifted by 6 %."""
    shift = SuiteShift(
        outcome=outcome, change=-0.06, low=-0.07, high=-0.05, tolerance=0.05, benchmarks=12
    )
    run = run_of(result())
    info = run.run.model_copy(update={"suite_shift": shift, "meter": meter, **fields})
    return run.model_copy(update={"run": info})


def test_a_shift_of_the_suite_fails_the_run() -> None:
    """After other failures; that of an estimate does not."""
    failing = Settings(fail_on=("regressed", "improved"))
    run = shifted(Outcome.IMPROVED, failures=["earlier"])
    assert with_failures(run, failing).run.failures == [
        "earlier",
        "The whole suite shifted: \u22126.0 % (median of 12), tolerance 5 %",
    ]
    assert with_failures(run, Settings()).run.failures == ["earlier"]
    (sentence,) = with_failures(shifted(Outcome.REGRESSED), Settings()).run.failures
    assert sentence.startswith("The whole suite regressed: ")
    for estimated, count in ((True, 0), (False, 1)):
        meter = MeterInfo(name="m", source="model", estimated=estimated)
        found = with_failures(shifted(Outcome.REGRESSED, meter=meter), Settings()).run.failures
        assert len(found) == count


def test_uncompared_baselines_fail_where_asked_for() -> None:
    """Each is counted."""
    failing = Settings(fail_on=("uncompared",))
    for names, sentence in (
        (["a"], ["1 baseline was not compared"]),
        (["a", "b"], ["2 baselines were not compared"]),
        ([], []),
    ):
        run = run_of(result())
        run = run.model_copy(update={"run": run.run.model_copy(update={"uncompared": names})})
        assert with_failures(run, failing).run.failures == sentence
        assert with_failures(run, Settings()) is run


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        ((Outcome.INCONCLUSIVE, Outcome.UNCHANGED), None),  # half, which is accepted
        ((Outcome.INCONCLUSIVE, Outcome.NEW), "1 of 1 benchmarks is inconclusive, more than 50 %"),
        (
            (Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE, Outcome.REGRESSED),
            "2 of 3 benchmarks are inconclusive, more than 50 %",
        ),
    ],
)
def test_a_gate_that_decides_too_little_fails(
    outcomes: tuple[Outcome, ...], sentence: str | None
) -> None:
    """By the share among the benchmarks with a baseline."""
    run = run_of(*(result(1.0, f"t.py::test_{n}", each) for n, each in enumerate(outcomes)))
    failures = with_failures(run, Settings(fail_on=("inconclusive>50%",))).run.failures
    assert failures == ([sentence] if sentence else [])
