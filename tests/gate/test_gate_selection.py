"""The baselines of the selected tests."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_energy.gate.baseline import AcceptedRun, Baseline
from pytest_energy.gate.detectability import needed_retry_s, rises
from pytest_energy.gate.schedule import ADAPTIVE, ALONE, FIXED, Schedule, Suite
from pytest_energy.gate.selection import (
    Selected,
    count_comparisons,
    remedy,
    select,
    suite_prior,
    tightness,
    too_tight,
)
from pytest_energy.gate.tolerances import TolerancePattern
from pytest_energy.marker import MarkerSettings
from pytest_energy.model.metrics import TOLERANCES
from pytest_energy.uncertainty.change import Prior
from pytest_energy.uncertainty.pairs import fit_suite_variance
from tests.gate_data import H200, baseline_of, measurement, store_with

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


def accepted(energies_j: Iterable[float], relative: float = 0.01) -> Baseline:
    """Runs of three rounds of a second; ``relative`` is the standard uncertainty within each."""
    runs = [
        AcceptedRun(
            rounds=3,
            spent_j=300.0,
            values={"energy_j": energy_j, "power_w": 100.0},
            standard={"energy_j": relative * energy_j},
        )
        for energy_j in energies_j
    ]
    return baseline_of(*runs)


def test_the_table_counts_for_the_ids_that_it_names(tmp_path: Path) -> None:
    """Its pattern is that of the benchmark or the window."""
    table = (TolerancePattern("*::decode", {"energy_j": 0.2}),)
    store = store_with(tmp_path, 1.0, test_id="t.py::test_a::decode")
    store.save(measurement(), H200, SLUG, None)
    chosen = select(store.load_all(SLUG), {"t.py::test_a": MarkerSettings()}, TOLERANCES, table)
    assert {entry.baseline.id: entry.tolerances["energy_j"] for entry in chosen} == {
        "t.py::test_a": 0.05,
        "t.py::test_a::decode": 0.2,
    }


def test_the_variation_within_runs_is_taken_off_that_of_the_suite() -> None:
    """Ten baselines of four runs are enough; where they vary unequally, they count for less."""
    draw = random.Random(3)
    scatters = [0.02, 0.03, 0.04, 0.05, 0.06] * 2
    levels = [[draw.lognormvariate(0, scatter) for _ in range(4)] for scatter in scatters]
    fitted = fit_suite_variance([list(map(math.log, level)) for level in levels])
    prior = suite_prior(accepted(level, relative=0.02) for level in levels)
    assert prior.relative == pytest.approx(math.sqrt(fitted.variance - 0.02**2))
    assert prior.weight == pytest.approx(fitted.degrees_of_freedom)
    assert suite_prior(accepted(level[:3]) for level in levels) == Prior()


def test_baselines_that_vary_unequally_count_for_less() -> None:
    """Smyth 2004, 6.2: half of them vary a hundred times as much as the other half."""
    draw = random.Random(5)
    levels = [[draw.lognormvariate(0, size) for _ in range(9)] for size in (0.001, 0.1) * 5]
    assert 0 < suite_prior(map(accepted, levels)).weight < 2


def test_a_protocol_of_one_visit_has_one_look() -> None:
    """A tolerance that this look can see is not too tight."""
    entry = Selected(accepted([1.0] * 8), {"energy_j": 0.05})
    assert too_tight([entry], FIXED) == []
    assert too_tight([replace(entry, tolerances={"energy_j": 0.01})], FIXED)


def test_a_tolerance_is_too_tight_for_the_looks_that_the_limit_of_time_allows() -> None:
    """Two visits see less than ten, and of one baseline run the first sees most."""
    several = accepted([1.0, 1.003, 1.006, 1.009])
    entry = Selected(several, {"energy_j": 0.035})
    rise = rises(several, 0.035)
    assert rise(10) < 0.07 < rise(2)
    assert too_tight([entry], ADAPTIVE) == []
    assert too_tight([entry], ADAPTIVE, retry_s=0.0) == [entry]
    assert f"rises above {100 * rise(2):.2g} %" in tightness(entry, ADAPTIVE, retry_s=0.0)
    single = Selected(accepted([1.0]), {"energy_j": 0.113})
    rise = rises(single.baseline, 0.113)
    assert rise(1) < 2 * 0.113 < rise(2)
    assert f"rises above {100 * rise(1):.2g} %" in tightness(single, ADAPTIVE, retry_s=0.0)
    assert too_tight([single], ADAPTIVE, retry_s=0.0) == []


def test_what_a_tolerance_asks_of_the_suite_is_asked_of_the_suite() -> None:
    """A suite that varies less sees smaller rises."""
    entry = Selected(accepted([1.0], relative=0.0005), {"energy_j": 0.025})
    assert too_tight([entry], ADAPTIVE) == [entry]
    assert too_tight([entry], ADAPTIVE, Suite(prior=Prior(0.004, 8.0))) == []


@pytest.mark.parametrize("schedule", [ADAPTIVE, Schedule(visits=6)])
@pytest.mark.parametrize("relative", [0.01, 0.008])
def test_the_remedy_is_the_time_that_shows_twice_the_tolerance(
    schedule: Schedule, relative: float
) -> None:
    """Seconds for further visits, rounded up; where no time helps, another way to compare."""
    baseline = accepted([1.0, 1.003, 1.006, 1.009])
    suite = Suite(prior=Prior(relative, 8.0))
    entry = Selected(baseline, {"energy_j": 0.04})
    needed_s = needed_retry_s(baseline, 0.08, 0.04, schedule, suite)
    sentence = tightness(entry, schedule, suite, retry_s=0.0)
    assert needed_s is not None
    assert sentence.endswith(f"; --energy-retry-time={math.ceil(needed_s)} shows smaller ones")
    tight = replace(entry, tolerances={"energy_j": 0.0099})
    assert tightness(tight, schedule, suite).startswith(
        f"{baseline.id}: 0.99 % is too tight: with 4 baseline runs only rises above "
    )
    assert tightness(tight, schedule, suite).endswith(
        " are called regressed; smaller ones need --energy-against=REF, not more visits"
    )
    assert remedy(3.2) == "--energy-retry-time=4 shows smaller ones"
