"""Which verdicts fail a test."""

from __future__ import annotations

import pytest

from pytest_energy.gate.policy import fails_test
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Verdict
from pytest_energy.settings import FAILING, Settings, load_settings
from tests.gate_data import measurement

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
