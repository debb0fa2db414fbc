"""Each fact about a metric stands in one module."""

from __future__ import annotations

import pytest

from pytest_energy.model.metrics import CATALOGUE, higher_is_better, metric
from tests.model.changed_package import output_of

LAST_ROW = """    Metric(
        "co2_g",
"""
NEW_ROW = f"""    Metric(
        "water_l",
        "Water",
        "more",
        "litres of cooling water",
        unit="l",
        tolerance=0.2,
        recordable=False,
        in_baselines=False,
    ),
{LAST_ROW}"""
SHOW = """
import json
from pytest_energy.errors import UsageError
from pytest_energy.gate.make_baseline import extend_baseline
from pytest_energy.gate.verdict import judge
from pytest_energy.model.measurement import Quantity
from pytest_energy.report.html.render import render_html
from pytest_energy.report.text.failure import explain
from pytest_energy.fixture.own_metric import own_metrics
from pytest_energy.settings import Settings
from tests.report.handmade import result, run as run_of

metrics = {name: Quantity(value=2.0, unit="l") for name in ("water_l", "beer_l")}
measured = result(metrics={**result().metrics, **metrics})
run = run_of(measured)
baseline = extend_baseline(None, measured, run.environment, None)
try:
    own_metrics({"water_l": 1.0}, "here")
    refused = ""
except UsageError as error:
    refused = str(error)
verdict = judge(measured, None, None, run.environment, Settings().tolerance)
print(json.dumps({
    "page": render_html(run),
    "baseline": sorted(baseline.metrics),
    "refused": refused,
    "gated": [found.metric for found in verdict.metrics if found.tolerance],
    "higher is better": [found.metric for found in verdict.metrics if found.higher_is_better],
}))
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the program says of a result with a new metric of the catalogue, and one of its own."""
    folder = tmp_path_factory.mktemp("water")
    return output_of(folder, "metrics.py", SHOW, (LAST_ROW, NEW_ROW))


def test_a_new_metric_is_on_the_page(shown: dict[str, str]) -> None:
    """It is a column with its label and explanation."""
    assert "<span>Water</span>" in shown["page"]
    assert 'title="litres of cooling water"' in shown["page"]
    assert "<span>beer l</span>" in shown["page"]


def test_a_new_metric_gates_by_its_tolerance(shown: dict[str, list[str]]) -> None:
    """The settings have its default tolerance, and the gate its direction."""
    assert shown["gated"] == ["energy_j", "water_l"]
    assert shown["higher is better"] == ["water_l"]


def test_a_new_metric_may_be_measured_only(shown: dict[str, str]) -> None:
    """A test that records it is refused."""
    assert "'water_l' is measured" in shown["refused"]


def test_a_new_metric_may_stay_out_of_baselines(shown: dict[str, list[str]]) -> None:
    """The baseline has every other noisy metric."""
    assert shown["baseline"] == ["beer_l", "energy_j", "latency_s"]


@pytest.mark.parametrize(
    ("name", "more"),
    [("top5_accuracy", True), ("tokens_hz", True), ("f1", True), ("loss", False), ("wer", False)],
)
def test_the_suffix_tells_which_way_a_metric_of_a_test_is_better(name: str, more: bool) -> None:
    """A metric that the catalogue does not know has its direction by its name."""
    assert higher_is_better(name) is more


def test_only_the_gated_energy_has_a_default_tolerance() -> None:
    """Other metrics gate where somebody gives a tolerance."""
    assert [row.name for row in CATALOGUE if row.tolerance is not None] == ["energy_j"]
    assert metric("energy_j").tolerance == 0.05
