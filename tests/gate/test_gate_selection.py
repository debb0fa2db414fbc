"""The baselines of the selected tests."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_energy.gate.detectability import rises
from pytest_energy.gate.schedule import ADAPTIVE, ALONE, Suite
from pytest_energy.gate.selection import (
    Selected,
    count_comparisons,
    select,
    suite_prior,
    tightness,
    too_tight,
)
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import TOLERANCES
from pytest_energy.uncertainty.change import Prior
from tests.gate_data import H200, measurement, store_with

SLUG = "nvidia-h200"


def selected(folder: Path, markers: dict[str, MarkerSettings]) -> tuple[Selected, ...]:
    """The baselines of these tests, out of one with windows, one without and one not selected."""
    store = store_with(folder, 1.0, 1.01)
    for window in ("prefill", "decode"):
        store.save(measurement(test_id=f"t.py::test_phases::{window}"), H200, SLUG, None)
    store.save(measurement(test_id="t.py::test_not_selected"), H200, SLUG, None)
    return select(store.load_all(SLUG), markers, TOLERANCES, ())


def test_every_compared_figure_shares_the_chance_of_a_false_alarm(tmp_path: Path) -> None:
    """Benchmarks and windows with a baseline count, times their gated metrics; others do not."""
    names = ("t.py::test_a", "t.py::test_phases", "t.py::test_new")
    markers = {test_id: MarkerSettings() for test_id in names}
    assert count_comparisons(selected(tmp_path, markers)) == 3
    markers["t.py::test_a"] = MarkerSettings(tolerances={"latency_s": 0.1, "energy_j": 0.1})
    assert count_comparisons(selected(tmp_path, markers)) == 3
    assert count_comparisons(selected(tmp_path, {})) == 1


def test_a_tolerance_below_what_can_be_detected_is_named(tmp_path: Path) -> None:
    """The sentence has the tolerance, the runs behind the baseline and the detectable change."""
    markers = {"t.py::test_a": MarkerSettings(tolerance=0.001)}
    (entry,) = too_tight(selected(tmp_path, markers), ADAPTIVE)
    assert tightness(entry, ADAPTIVE).startswith(
        "t.py::test_a: 0.1 % is too tight: with 2 baseline runs only rises above "
    )
    assert (
        too_tight(selected(tmp_path, {"t.py::test_a": MarkerSettings(tolerance=0.5)}), ADAPTIVE)
        == []
    )


def test_what_can_be_detected_is_that_of_the_suite_and_of_all_visits(tmp_path: Path) -> None:
    """Two visits find only larger rises than all; more variation in the suite, likewise."""
    store = store_with(tmp_path, 1.0)
    (entry,) = select(
        store.load_all(SLUG), {"t.py::test_a": MarkerSettings()}, {"energy_j": 0.01}, ()
    )

    def smallest(suite: Suite = ALONE) -> float:
        sentence = tightness(entry, ADAPTIVE, suite)
        assert "with one baseline run only rises above" in sentence
        return float(re.findall(r"above ([\d.]+) %", sentence)[0])

    rise = rises(entry.baseline, 0.01, ADAPTIVE, ALONE)
    by_visits = [100 * rise(visit) for visit in range(1, ADAPTIVE.visits + 1)]
    assert smallest() == pytest.approx(min(by_visits), rel=0.05)
    assert by_visits[1] > 1.2 * min(by_visits)
    assert smallest(Suite(prior=Prior(0.04, 8.0))) > 2 * smallest()


def test_a_baseline_without_joules_is_not_too_tight(tmp_path: Path) -> None:
    """Nothing of it is compared by an interval."""
    (entry,) = selected(tmp_path, {"t.py::test_a": MarkerSettings(tolerance=0.001)})
    bare = entry.baseline.model_copy(update={"metrics": {}, "accepted": []})
    assert too_tight([replace(entry, baseline=bare)], ADAPTIVE) == []


@pytest.mark.parametrize(("scatter", "expected"), [(0.04, 0.04), (0.003, 0.01)])
def test_the_suite_shows_how_much_runs_vary(
    tmp_path: Path, scatter: float, expected: float
) -> None:
    """More than the assumed 1 % replaces it; less does not: one session shows little."""
    draw = random.Random(7)
    for number in range(12):
        energies_j = [draw.gauss(1, scatter) for _ in range(8)]
        store = store_with(tmp_path, *energies_j, test_id=f"t.py::test_{number}")
    prior = suite_prior(store.load_all(SLUG))
    assert prior.relative == pytest.approx(expected, rel=0.2)
    assert prior.weight == pytest.approx(8)
    assert suite_prior(store.load_all(SLUG)[:9]) == Prior()
