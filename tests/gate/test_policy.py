"""Which verdicts fail a test, what short rounds saved, which visits belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.gate.policy import fails_test
from pytest_energy.gate.pooling import Visits
from pytest_energy.gate.verdict import unconfirmed
from pytest_energy.model.measurement import Quantity
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import MetricVerdict, Verdict
from pytest_energy.model.revision import Revision
from pytest_energy.session.conclude import comparisons
from pytest_energy.session.energy_session import EnergySession
from pytest_energy.session.notes import saved
from pytest_energy.settings import FAILING, MarkerSettings, Settings, load_settings
from tests.gate_data import H200, measurement, result, store_with

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
    from pytest_energy.settings import OPTIONS

    option = next(option for option in OPTIONS if option.name == "fail-on")
    given = {option: ("--energy-fail-on", "regressed,invalid")}
    assert load_settings(given).failing == {"regressed", "invalid"}
    with pytest.raises(UsageError, match=r"--energy-fail-on=worse: .*" + ", ".join(FAILING)):
        load_settings({option: ("--energy-fail-on", "worse")})


def test_a_rise_seen_once_is_inconclusive() -> None:
    """Why it was not seen twice is told; what had not changed stays as it was."""
    found = unconfirmed(verdict(Outcome.REGRESSED), "process 7 used the GPU")
    assert (found.outcome, found.notes) == (Outcome.INCONCLUSIVE, ["process 7 used the GPU"])
    calm = verdict(Outcome.UNCHANGED)
    assert unconfirmed(calm, "process 7 used the GPU") == calm


def test_every_compared_figure_shares_the_chance_of_a_false_alarm(tmp_path: Path) -> None:
    """Benchmarks and windows with a baseline count, times their gated metrics; others do not."""
    store = store_with(tmp_path, 1.0, 1.01)
    for window in ("prefill", "decode"):
        store.save(measurement(test_id=f"t.py::test_phases::{window}"), H200, "nvidia-h200", None)
    store.save(measurement(test_id="t.py::test_not_selected"), H200, "nvidia-h200", None)
    selected = ("t.py::test_a", "t.py::test_phases", "t.py::test_new")
    markers = {test_id: MarkerSettings() for test_id in selected}
    session = EnergySession(Settings(), tmp_path, None, None, H200, store, Revision())
    assert comparisons(markers, session) == 3
    markers["t.py::test_a"] = MarkerSettings(tolerances={"latency_s": 0.1, "energy_j": 0.1})
    assert comparisons(markers, session) == 3
    assert comparisons({}, session) == 1


def test_visits_belong_together_only_while_asked_for() -> None:
    """A test that is repeated by other means begins anew."""
    visits = Visits()
    assert len(visits.add(measurement())) == 1
    visits.again[measurement().id] = "suspect"
    assert visits.number(measurement().id) == 2
    assert len(visits.add(measurement())) == 2
    assert len(visits.further()) == 1
    assert len(visits.add(measurement())) == 1


def test_what_was_saved_is_said() -> None:
    """Joules of the passes that were not run; nothing where all were."""
    assert saved([result(2.0)], {}) == []
    assert saved([result(2.0)], {"t.py::test_a": 130}) == [
        "adaptive rounds ran 30 of the fixed protocol's 130 passes: 200 J saved"
        " (--energy-protocol=fixed runs them all)"
    ]
