"""The tables of the papers, from made-up results."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tables import PAPERS, tables_of
from benchmarks.tables.__main__ import main
from benchmarks.tables.hours import best_begin, mean_from, read_hours
from benchmarks.tables.layout import Cell, Table, figure_of, metric, paper_rows
from benchmarks.tables.paper_c import IMAGES_A_WEEK, METHODS
from benchmarks.tables.paper_e import low_carbon
from benchmarks.tables.ranks import agreement, data_effect, group_effect
from benchmarks.tables.render import render_markdown
from pytest_energy.carbon import VIDEO_METHOD, co2_g, given_intensity
from pytest_energy.errors import FileFormatError
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import (
    UNITS,
    Environment,
    Kind,
    Quantity,
    Reason,
    ReasonCode,
    Round,
)
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict


def result(
    kind: Kind,
    workload: Mapping[str, Any],
    metrics: Mapping[str, float | tuple[float, float]],
    **more: Any,
) -> Result:
    """A result of a run. A metric may be a pair of value and uncertainty."""
    pairs = {name: m if isinstance(m, tuple) else (m, None) for name, m in metrics.items()}
    return Result(
        id=f"test::{kind}[{'-'.join(map(str, workload.values()))}]",
        kind=kind,
        workload=dict(workload),
        metrics={
            name: Quantity(value=value, uncertainty=uncertainty, unit=UNITS.get(name, "1"))
            for name, (value, uncertainty) in pairs.items()
        },
        verdict=Verdict(outcome=Outcome.NEW),
        **{"status": "measured", **more},
    )


def inference_c(technique: str, **metrics: float | tuple[float, float]) -> Result:
    """A row of the CIFAR-100 side of paper C's Table 4."""
    return result(
        "inference",
        {
            "paper": "c",
            "task": "classification",
            "model": "resnet50_cifar",
            "technique": technique,
            "dataset": "cifar100",
            "data": "cifar100",
        },
        metrics,
    )


def cell(table: Table, label: str, heading: str) -> Cell:
    """The cell of a row and a column."""
    row = next(row for row in table.rows if row[0].text == label)
    return row[table.headings.index(heading)]


def training_b(model: str, dataset: str, energy_j: float, **metrics: float) -> Result:
    """One of paper B's runs."""
    workload = {
        "paper": "b",
        "technique": "baseline",
        "model": model,
        "dataset": dataset,
        "data": dataset,
    }
    metrics = {"total_energy_j": energy_j, "energy_j": energy_j / 10, **metrics}
    return result("training", workload, metrics)


def titled(paper: str, results: Sequence[Result], part: str) -> Table:
    """The first table of a paper with ``part`` in its title."""
    return next(table for table in tables_of(paper, results) if part in table.title)


def with_facts(measured: Result, **facts: Any) -> Result:
    """The result with more facts in its workload."""
    return measured.model_copy(update={"workload": {**measured.workload, **facts}})


@pytest.mark.parametrize("paper", PAPERS)
def test_without_results_every_cell_of_ours_says_that_nothing_ran(paper: str) -> None:
    """A table of an empty run has the paper's figures, and no figure of ours."""
    for table in tables_of(paper, []):
        ours = [
            cell.text
            for row in table.rows
            for heading, cell in list(zip(table.headings, row, strict=True))[1:]
            if "paper" not in heading and "(" not in heading
        ]
        assert all(not text.replace(".", "").isdigit() or text == "0" for text in ours), ours


def test_paper_c_keeps_the_rows_of_each_table() -> None:
    """Tables 1 to 4 have the paper's 18, 14, 8 and 7 rows, in its order."""
    tables = tables_of("c", [])
    assert [len(table.rows) for table in tables] == [18, 14, 8, 7]
    assert tables[3].rows[0][0].text == "Baseline"


def test_every_method_of_paper_c_has_a_technique() -> None:
    """The mapping from labels to techniques has every row of the paper's tables."""
    files = ("c_table1_segmentation_training.csv", "c_table2_classification_training.csv")
    assert {row["method"] for file in files for row in paper_rows(file)} == set(METHODS)


def test_as_good_as_the_baseline_is_bold_and_the_best_is_starred() -> None:
    """Less energy than the baseline is bold. The least energy of the column is starred."""
    results = [
        inference_c("baseline", energy_j=1.0),
        inference_c("blurpool", energy_j=1.2),
        inference_c("coordconv", energy_j=0.9),
        inference_c("ge_theta", energy_j=0.8),
    ]
    table = tables_of("c", results)[3]
    heading = "CIFAR-100 energy J"
    assert not cell(table, "BlurPool", heading).as_good
    assert cell(table, "CoordConv", heading) == Cell("0.9", as_good=True, best=False)
    assert cell(table, "GE- θ", heading) == Cell("0.8", as_good=True, best=True)
    assert cell(table, "Baseline", heading) == Cell("1")


def test_a_difference_inside_the_uncertainty_is_as_good() -> None:
    """2 % more energy, each known to 3 %, is as good as the baseline."""
    results = [
        inference_c("baseline", energy_j=(1.0, 0.03)),
        inference_c("blurpool", energy_j=(1.02, 0.03)),
    ]
    assert cell(tables_of("c", results)[3], "BlurPool", "CIFAR-100 energy J").as_good


def test_a_figure_has_its_uncertainty() -> None:
    """Value and uncertainty end at the same digit, that of the second digit of the uncertainty."""
    table = tables_of("c", [inference_c("baseline", energy_j=(0.98765, 0.01234))])[3]
    assert cell(table, "Baseline", "CIFAR-100 energy J").text == "0.988 ± 0.012"
    assert "±: 95 % uncertainty" in render_markdown([table])


@pytest.mark.parametrize(("gain", "bold"), [(0.1, False), (0.0, True)])
def test_a_gain_that_two_estimates_share_is_no_doubt_about_which_is_better(
    gain: float, bold: bool
) -> None:
    """3 % more energy is not as good, though both are known to 20 %: the error is common."""
    results = []
    for technique, joules in (("baseline", 1.0), ("blurpool", 1.03)):
        own = 0.01 if gain else 0.1
        quantity = Quantity(
            value=joules,
            unit="J",
            uncertainty=0.2,
            budget={"gain": gain * joules, "scatter": own * joules},
        )
        estimate = inference_c(technique)
        results.append(
            estimate.model_copy(update={"metrics": {"energy_j": quantity}, "status": "estimated"})
        )
    assert cell(tables_of("c", results)[3], "BlurPool", "CIFAR-100 energy J").as_good == bold


def test_runs_on_unlike_data_are_never_pooled() -> None:
    """A cell with a run on the digits and one on CIFAR-100 names both and has no figure."""
    runs = [inference_c("baseline", energy_j=1.0), inference_c("baseline", energy_j=3.0)]
    runs[1] = with_facts(runs[1], data="digits")
    text = cell(tables_of("c", runs)[3], "Baseline", "CIFAR-100 energy J").text
    assert text == "unlike runs (data: cifar100, digits)"


def test_scores_after_unlike_epochs_are_never_pooled() -> None:
    """Joules of the schedule are alike, however many of its epochs ran; an accuracy is not."""
    facts = {"paper": "c", "task": "classification", "model": "resnet50_cifar"}
    facts |= {"technique": "baseline", "dataset": "cifar100"}
    runs = [
        result(
            "training",
            facts,
            {"accuracy": 0.1 * ran, "total_energy_j": 1e6 * ran, "epochs_run": ran},
        )
        for ran in (2, 4)
    ]
    table = tables_of("c", runs)[1]
    unlike = "unlike runs (epochs run: 2, 4)"
    assert cell(table, "Baseline", "CIFAR-100 accuracy test %").text == unlike
    assert cell(table, "Baseline", "CIFAR-100 energy MJ").text.startswith("3 ±")


def test_unlike_runs_are_not_tested_together() -> None:
    """Kruskal-Wallis over runs on the digits and on CIFAR-10 would compare the data."""
    runs = [
        with_facts(training_b(model, "mnist", joules + run), run=run, data=data)
        for model, joules in (("vgg16_transfer", 10.0), ("vgg19_transfer", 20.0))
        for run, data in enumerate(("digits", "mnist"))
    ]
    refused = cell(titled("b", runs, "Table 3"), "energy", "statistic").text
    assert refused == "unlike runs (data: digits, mnist)"


@settings(deadline=None)  # the first example imports SciPy
@given(st.lists(st.floats(1, 100), min_size=2, max_size=6, unique=True))
def test_repetitions_lie_around_their_average(joules: list[float]) -> None:
    """Median and mean of runs lie between the runs, and have an uncertainty."""
    facts = {"paper": "b", "model": "vgg16_transfer"}
    runs = [
        result("training", {**facts, "run": run}, {"energy_j": value})
        for run, value in enumerate(joules)
    ]
    for average in ("median", "mean"):
        figure = figure_of(runs, metric("energy_j"), average)
        assert figure.value is not None
        assert min(joules) <= figure.value <= max(joules) * (1 + 1e-12)
        assert figure.uncertainty is not None
        assert figure.uncertainty > 0


def test_half_the_epochs_show_the_mean_of_three_runs() -> None:
    """The paper trains this method three times and prints the mean."""
    facts = {"paper": "c", "task": "classification", "model": "resnet50_cifar"}
    facts |= {"technique": "poly_half", "dataset": "cifar100"}
    runs = [
        result("training", {**facts, "run": run}, {"accuracy": accuracy})
        for run, accuracy in enumerate((0.70, 0.71, 0.78))
    ]
    table = tables_of("c", runs)[1]
    assert cell(table, "Poly LR 1/2 Epochs", "CIFAR-100 accuracy test %").text == "73 ± 11"


def test_random_weights_make_an_accuracy_incomparable() -> None:
    """The note stands for a scored training of a pretrained model, unless weights were given."""
    scored = training_b("vgg16_transfer", "mnist", 1e6, accuracy=0.9)
    note = "Random weights: the accuracy is not comparable"
    assert note in " ".join(titled("b", [scored], "Table 6").notes)
    given_weights = with_facts(scored, weights="vgg16-397923af.pth")
    assert note not in " ".join(titled("b", [given_weights], "Table 6").notes)


def test_paper_e_has_the_training_of_the_pruned_model() -> None:
    """Pruning stands beside mixed precision in the table of trainings."""
    facts = {"paper": "e", "model": "resnet18_cifar", "technique": "pruning"}
    table = tables_of("e", [result("training", facts, {"accuracy": 0.5})])[0]
    assert cell(table, "ResNet-18, pruning", "accuracy %").text == "50"


def test_paper_d_has_precision_and_caps_to_the_target() -> None:
    """Each knob has a row with the energy of reaching the target accuracy."""
    facts = {"paper": "d", "model": "resnet50", "sweep": "target"}
    runs = [
        result("call", {**facts, knob: value}, {"energy_j": joules})
        for knob, value, joules in (
            ("precision", "mixed", 3e6),
            ("power_cap_w", 150, 4e6),
            ("batch", 64, 5e6),
        )
    ]
    table = titled("d", runs, "target accuracy")
    texts = [cell(table, label, "energy MJ").text for label in ("mixed", "cap 150 W", "batch 64")]
    assert texts == ["3", "4", "5"]


def test_a_change_has_the_uncertainty_that_its_sides_do_not_share() -> None:
    """100 ± 3 against 60 ± 3: the ratio 0.6 has 0.035."""
    results = [
        result(
            "training",
            {"paper": "d", "model": "resnet50", "sweep": "precision", "precision": name},
            {"total_energy_j": (energy_j, 3.0)},
        )
        for name, energy_j in (("float32", 100.0), ("mixed", 60.0))
    ]
    label = "mixed against single precision, training energy"
    assert cell(tables_of("d", results)[0], label, "ours").text == "-40% ± 3.5 %"


def test_the_papers_figure_stands_beside_ours() -> None:
    """The next column has the paper's own figure."""
    table = tables_of("c", [inference_c("baseline", energy_j=1.0)])[3]
    assert cell(table, "Baseline", "CIFAR-100 energy J (paper)").text == "0.98"


def test_a_missing_cell_says_why_and_is_never_zero() -> None:
    """Not run, not measured and invalid are three different texts."""
    unmeasured = inference_c("baseline", params=2.0).model_copy(
        update={
            "status": "unmeasured",
            "reasons": [Reason(code=ReasonCode.NO_METER, message="no meter here")],
        }
    )
    invalid = inference_c("blurpool").model_copy(
        update={
            "status": "invalid",
            "reasons": [Reason(code=ReasonCode.WINDOW_TOO_SHORT, message="too short")],
        }
    )
    table = tables_of("c", [unmeasured, invalid])[3]
    heading = "CIFAR-100 energy J"
    assert cell(table, "Baseline", heading).text == "not measured (no-meter)"
    assert cell(table, "BlurPool", heading).text == "invalid (window-too-short)"
    assert cell(table, "CoordConv", heading).text == "not run"


def test_co2_is_that_of_a_week_of_video_from_joules() -> None:
    """0.1 g an image is 1814.4 kg for 30 images a second; a frame of eight has eight times that."""
    table = tables_of("c", [inference_c("baseline", co2_g=0.1)])[3]
    assert cell(table, "Baseline", "CIFAR-100 CO₂ kg/week, 1 image a frame").text == "1814"
    assert cell(table, "Baseline", "CIFAR-100 CO₂ kg/week, 8 images a frame").text == "1.452e+04"


def test_the_papers_joules_give_about_its_printed_weeks_with_eight_images_a_frame() -> None:
    """1.57 J at 436 g/kWh is 3.45 kg a week for one image a frame, and 27.6 kg for eight."""
    grams = co2_g(1.57, given_intensity(436))
    facts = {"paper": "c", "task": "segmentation", "model": "bisenet_resnet18"}
    facts |= {"technique": "baseline", "dataset": "cityscapes"}
    table = tables_of("c", [result("inference", facts, {"co2_g": grams})])[2]
    heading = "Cityscapes CO₂ kg/week, {} a frame"
    assert cell(table, "Baseline", heading.format("1 image")).text == "3.45"
    eight = heading.format("8 images")
    assert float(cell(table, "Baseline", eight).text) == pytest.approx(27.6, abs=0.05)
    assert cell(table, "Baseline", f"{eight} (paper)").text == "28.6"


def test_the_papers_weeks_follow_its_milliseconds() -> None:
    """Every printed week is time × 250 W for eight images a frame at 436 g/kWh, within 1 %."""
    for file, datasets in (
        ("c_table3_segmentation_inference.csv", ("cityscapes", "coco_stuff")),
        ("c_table4_classification_inference.csv", ("cifar100", "tiny_imagenet")),
    ):
        for line, dataset in product(paper_rows(file), datasets):
            joules = 8 * IMAGES_A_WEEK * 250 * float(line[f"{dataset}_time_ms"]) / 1e3
            kg = co2_g(joules, given_intensity(436)) / 1e3
            assert kg == pytest.approx(float(line[f"{dataset}_co2_kg_per_week"]), rel=0.015)


def test_a_week_of_co2_names_its_method() -> None:
    """The notes name the method, including the PUE."""
    assert VIDEO_METHOD in " ".join(tables_of("c", [])[3].notes)


def test_equal_figures_have_no_best() -> None:
    """If all figures of a column are equal, none is starred."""
    results = [inference_c(name, energy_j=1.0) for name in ("baseline", "blurpool")]
    table = tables_of("c", results)[3]
    assert cell(table, "BlurPool", "CIFAR-100 energy J") == Cell("1", as_good=True, best=False)


def test_random_images_are_not_another_data_set() -> None:
    """Paper C ran inference on random images: a note says so, and not as a departure."""
    measured = inference_c("baseline", energy_j=1.0)
    changed = measured.model_copy(update={"workload": {**measured.workload, "data": "random"}})
    notes = " ".join(tables_of("c", [changed])[3].notes)
    assert "Inference ran on random images." in notes
    assert "not on cifar100" not in notes


def test_a_smaller_model_in_its_place_is_stated() -> None:
    """At small scale a run to a target trains another model, and the table says which."""
    workload = {"paper": "d", "model": "resnet50", "sweep": "target", "batch": 64}
    small = {**workload, "small_model": "resnet18", "scale": "small"}
    notes = [
        " ".join(tables_of("d", [result("call", facts, {"energy_j": 1.0})])[0].notes)
        for facts in (small, {**small, "scale": "full"})
    ]
    assert "resnet18 was trained in place of resnet50" in notes[0]
    assert "resnet18" not in notes[1]


def test_a_score_of_another_task_is_not_called_missing() -> None:
    """A classifier has no mean average precision."""
    workload = {"paper": "d", "model": "resnet50", "technique": "baseline"}
    classifier = result("training", {**workload, "task": "classification"}, {"accuracy": 0.5})
    table = tables_of("d", [classifier])[1]
    assert cell(table, "ResNet-50", "mAP").text == "–"
    assert cell(table, "ResNet-50", "accuracy").text == "0.5"


def test_empty_co2_says_which_option_fills_it() -> None:
    """Papers C and E have a column of CO₂."""
    for table in (tables_of("c", [])[3], tables_of("e", [])[0]):
        assert "--energy-carbon-intensity" in " ".join(table.notes)


def test_departures_are_stated() -> None:
    """Other data than the paper's, small scale and estimates are each noted."""
    measured = inference_c("baseline", energy_j=1.0)
    workload = {**measured.workload, "data": "digits", "scale": "small"}
    changed = measured.model_copy(update={"workload": workload, "status": "estimated"})
    notes = " ".join(tables_of("c", [changed])[3].notes)
    assert "digits, not on cifar100" in notes
    assert "Small scale" in notes
    assert "estimates" in notes


@pytest.mark.parametrize(("run", "noted"), [(11.0, True), (20.0, False)])
def test_scores_after_a_part_of_the_epochs_have_a_note(run: float, noted: bool) -> None:
    """Accuracy after 11 of 20 epochs has a note, at any scale."""
    facts = {"paper": "e", "technique": "baseline", "model": "resnet18_cifar", "epochs": 20}
    training = result("training", facts, {"accuracy": 0.5, "epochs_run": run})
    assert any("11 of 20" in note for note in tables_of("e", [training])[0].notes) == noted


def test_repeated_runs_show_their_median() -> None:
    """Paper B's three runs of a training become one row."""
    results = [
        training_b("vgg16_transfer", "mnist", kwh * 3.6e6, accuracy=accuracy)
        for kwh, accuracy in ((1.0, 0.9), (5.0, 0.94), (2.0, 0.92))
    ]
    table = tables_of("b", results)[1]
    assert cell(table, "VGG16, MNIST", "energy kWh").text == "2.0 ± 6.5"
    assert cell(table, "VGG16, MNIST", "accuracy").text == "0.920 ± 0.062"
    assert cell(table, "VGG16, MNIST", "energy kWh (Oregon)").text == "0.0879"


def test_the_profilers_channels_are_scaled_to_the_full_schedule() -> None:
    """Two measured epochs of 1 kJ on the GPU become 10 kJ of a schedule of ten."""
    rounds = [
        Round(start=0, duration_s=1, passes=1, energy_j=1500, channels={"gpu0": 1000, "cpu": 500})
    ] * 2
    training = training_b("vgg16_transfer", "mnist", 15000)
    table = tables_of("b", [training.model_copy(update={"rounds": rounds})])[2]
    assert float(cell(table, "VGG16, MNIST", "GPU").text) == pytest.approx(10e3 / 3.6e6, rel=1e-3)
    assert "no ram/dram channel" in cell(table, "VGG16, MNIST", "RAM").text


def test_paper_d_answers_its_statements_by_ratios() -> None:
    """Mixed precision at 60 % of the energy of float32 reads −40 %."""
    results = [
        result(
            "training",
            {"paper": "d", "model": "resnet50", "sweep": "precision", "precision": name},
            {"total_energy_j": energy_j},
        )
        for name, energy_j in (("float32", 100.0), ("mixed", 60.0))
    ]
    table = tables_of("d", results)[0]
    label = "mixed against single precision, training energy"
    assert cell(table, label, "ours").text == "-40%"


def hours_file(folder: Path, hours: Mapping[int, float]) -> Path:
    """A file with the carbon intensities of ``hours``."""
    path = folder / "hours.csv"
    lines = (f"{hour},{grams}" for hour, grams in hours.items())
    path.write_text("\n".join(("hour,g_per_kwh", *lines)))
    return path


def test_training_at_low_carbon_hours_is_the_same_joules_at_another_time(tmp_path: Path) -> None:
    """2 kWh in 90 minutes from 3 o'clock: an hour at 100 and half an hour at 250 g/kWh, 0.3 kg."""
    hours = dict.fromkeys(range(24), 400.0) | {3: 100.0, 4: 250.0}
    facts = {"paper": "e", "technique": "baseline", "model": "resnet18_cifar", "epochs": 20}
    training = result("training", facts, {"total_energy_j": 7.2e6, "latency_s": 270.0})
    table = low_carbon([training], read_hours(hours_file(tmp_path, hours)))
    assert cell(table, "ResNet-18", "best begun at").text == "3"
    assert cell(table, "ResNet-18", "CO₂ kg then").text == "0.3"
    mean_g = sum(hours.values()) / 24
    assert cell(table, "ResNet-18", "CO₂ kg at any hour").text == f"{2 * mean_g / 1e3:.4g}"
    assert cell(table, "EfficientNet-B0", "CO₂ kg then").text == "not run"


@given(st.lists(st.floats(0, 1000), min_size=24, max_size=24), st.floats(0.01, 500))
def test_the_best_hours_are_no_worse_than_any(hours: list[float], duration_h: float) -> None:
    """On any day the chosen start emits least, and the mean over all starts is the day's."""
    means = [mean_from(begin, duration_h, hours) for begin in range(24)]
    assert mean_from(best_begin(duration_h, hours), duration_h, hours) == min(means)
    assert fmean(means) == pytest.approx(fmean(hours))


def test_hours_that_are_missing_or_no_numbers_are_named(tmp_path: Path) -> None:
    """A file with a negative intensity and without the last hour is refused for both faults."""
    path = hours_file(tmp_path, {hour: -1.0 if hour == 5 else 1.0 for hour in range(23)})
    with pytest.raises(FileFormatError, match=r"23 lines, not 24; hour 5: .*; hour 23: "):
        read_hours(path)


def test_groups_that_differ_are_significant() -> None:
    """Three architectures of three runs each, in perfect order, differ significantly."""
    values = [
        (name, base + run) for base, name in ((0, "a"), (10, "b"), (20, "c")) for run in (0, 1, 2)
    ]
    effect = group_effect([(name, float(value)) for name, value in values])
    assert effect.tested
    assert effect.p < 0.05
    assert effect.statistic == pytest.approx(7.2)


def test_the_point_biserial_sign_is_the_papers() -> None:
    """CIFAR-10 counts as 1: the correlation is negative if MNIST costs more."""
    values = [("cifar10", 1.0), ("cifar10", 2.0), ("cifar10", 3.0), ("cifar10", 4.0)]
    values += [("mnist", 8.0), ("mnist", 9.0), ("mnist", 10.0), ("mnist", 11.0)]
    assert data_effect(values, one="cifar10").statistic < -0.9
    runs = [training_b("vgg16_transfer", dataset, value) for dataset, value in values]
    assert cell(titled("b", runs, "Table 4"), "energy", "statistic").text.startswith("-0.9")


def test_the_point_biserial_of_the_papers_own_figures_is_negative() -> None:
    """In the paper's Table 6, training on CIFAR-10 took less energy than on MNIST."""
    lines = paper_rows("b_table6_scores.csv")
    values = [(line["data"], float(line["energy_kwh"])) for line in lines]
    assert data_effect(values, one="CIFAR10").statistic == pytest.approx(-0.54, abs=0.01)


@pytest.mark.parametrize(
    ("part", "variable", "statistic", "count"),
    [
        # (12 / 15·16) Σ R²/n - 3·16 with the ranks of the 15 printed energies
        ("Table 3", "energy", "8.660", "15"),
        ("Table 4", "energy", "-0.541", "15"),
        ("Table 5", "energy", "0.750", "15"),
        ("instruments", "wattmeter and profiler agree in rank", "0.943", "6"),
    ],
)
def test_the_papers_tests_stand_beside_ours(
    part: str, variable: str, statistic: str, count: str
) -> None:
    """They are recomputed from the printed figures; the paper states the last one as 0.94."""
    table = titled("b", [], part)
    assert cell(table, variable, "paper, recomputed: statistic").text == statistic
    assert cell(table, variable, "paper, recomputed: n").text == count


def test_emissions_that_the_paper_does_not_print_are_missing() -> None:
    """No figure stands for them."""
    assert cell(titled("b", [], "Table 3"), "CO₂ emissions", "paper, recomputed: p").text == "–"


@pytest.mark.parametrize("variable", ["energy", "CO₂ emissions", "FLOPs"])
def test_architectures_are_tested_for_energy_emissions_and_flops(variable: str) -> None:
    """Table 3 has one line for each dependent variable."""
    runs = [
        training_b(model, "mnist", base + run, co2_g=base + run, flops=base)
        for model, base in (("vgg16_transfer", 10.0), ("vgg19_transfer", 20.0), ("other", 30.0))
        for run in range(3)
    ]
    table = titled("b", runs, "Table 3")
    assert float(cell(table, variable, "statistic").text) >= 7.2
    assert float(cell(table, variable, "p").text) < 0.05


def test_locations_are_compared_and_stand_in_tables_of_their_own() -> None:
    """Three intensities: Table 5 compares them, and the scores of each have a table."""
    runs = [
        with_facts(
            training_b("vgg16_transfer", "mnist", 1e6 + run, co2_g=grams + run),
            run=run,
            location=f"{grams} g/kWh",
        )
        for grams in (436, 90, 1000)
        for run in range(3)
    ]
    tables = tables_of("b", runs)
    assert [t.title for t in tables if "Table 6" in t.title] == [
        f"Paper B, Table 6: accuracy, energy, Score ({grams} g/kWh)" for grams in (90, 436, 1000)
    ]
    table = titled("b", runs, "Table 5")
    assert float(cell(table, "CO₂ emissions", "statistic").text) == pytest.approx(7.2)
    assert "90 g/kWh, 436 g/kWh, 1000 g/kWh" in " ".join(table.notes)


def test_instruments_that_agree_in_rank_have_spearman_one() -> None:
    """A monotone relation of five pairs gives ρ = 1."""
    assert agreement([(x, x**3) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]).statistic == pytest.approx(1)


@pytest.mark.parametrize(
    "refused",
    [
        group_effect([]),
        group_effect([("a", 1.0), ("b", 2.0), ("c", 3.0)]),
        data_effect([("a", 1.0), ("a", 2.0), ("b", 3.0), ("b", 4.0)], one="a"),
        agreement([(1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]),
    ],
)
def test_too_few_values_are_refused(refused: Any) -> None:
    """A test is refused if even a perfect order could not reach significance."""
    assert not refused.tested
    assert "too few" in refused.refusal


def test_equal_values_are_not_tested() -> None:
    """Values that are all equal have no ranks to test."""
    assert group_effect([(n, 1.0) for n in "aaabbbccc"]).refusal == "all values are equal"


@pytest.fixture
def results_file(tmp_path: Path) -> Path:
    """A results file with a baseline and a better technique."""
    results = [inference_c("baseline", energy_j=1.0), inference_c("ge_theta", energy_j=0.8)]
    path = tmp_path / "results.json"
    run = Run(
        created="2026-01-01T00:00:00Z",
        environment=Environment(identity={}, context={}),
        run=RunInfo(energy_j=None, duration_s=1.0),
        benchmarks=results,
    )
    save_run(run, path)
    return path


def test_the_command_prints_markdown(
    results_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed table has bold, star and a legend."""
    assert main([str(results_file), "--paper", "c"]) == 0
    printed = capsys.readouterr().out
    assert "| **0.8** ★ |" in printed
    assert "best of the column" in printed
    assert "## Paper C, Table 4" in printed


def test_the_commands_of_the_page_write_tables_figures_and_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of docs/suite.md, in order, over results of the papers C and E."""
    text = (Path(__file__).parents[2] / "docs" / "suite.md").read_text("utf-8")
    commands = re.findall(r"^python -m benchmarks\.tables ([^#\n]*)", text, re.MULTILINE)
    facts = {"paper": "e", "technique": "baseline", "model": "resnet18_cifar", "epochs": 20}
    training = result("training", facts, {"total_energy_j": 7.2e6, "latency_s": 270.0})
    monkeypatch.chdir(tmp_path)
    Path(".energy").mkdir()
    saved(Path(".energy/results.json"), "h100", inference_c("baseline", energy_j=1.0), training)
    hours_file(tmp_path, dict.fromkeys(range(24), 400.0))
    printed = []
    for command in commands:
        assert main(shlex.split(command)) == 0, command
        output = capsys.readouterr()
        printed.append(output.out)
        assert (".svg: not drawn: " in output.err) == ("--figures" in command)
    assert [text[:10] for text in printed] == ["## Paper C", "## Paper C", "", "## Paper E"]
    assert "best begun at" in printed[3]
    assert Path("papers.html").is_file()
    assert Path("figures").is_dir()


def saved(path: Path, device: str, *results: Result, **carbon: float) -> str:
    """A results file of a run on ``device``."""
    run = Run(
        created="2026-01-01T00:00:00Z",
        environment=Environment(identity={"device": device}, context={}),
        run=RunInfo(energy_j=None, duration_s=1.0, carbon=dict(carbon)),
        benchmarks=list(results),
    )
    save_run(run, path)
    return str(path)


def test_the_command_splits_runs_of_unlike_conditions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two devices get tables of their own, named after them, and no figure in between."""
    paths = [
        saved(tmp_path / f"{name}.json", name, inference_c("baseline", energy_j=joules))
        for name, joules in (("h100", 1.0), ("a100", 3.0))
    ]
    assert main([*paths, "--paper", "c"]) == 0
    printed = capsys.readouterr().out
    for device, joules in (("h100", "1"), ("a100", "3")):
        title = f"## Paper C, Table 4: classification, inference ({device}, no meter"
        table = printed.partition(title)[2].partition("## ")[0]
        assert f"| {joules} |" in table
    assert "| 2 |" not in printed


def test_the_command_splits_scales_and_locations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Small and full scale, and two carbon intensities, are four tables."""
    paths = [
        saved(
            tmp_path / f"{grams}.json",
            "h100",
            *(
                with_facts(inference_c("baseline", energy_j=1.0), scale=scale)
                for scale in ("full", "small")
            ),
            intensity_g_per_kwh=grams,
        )
        for grams in (90.0, 436.0)
    ]
    assert main([*paths, "--paper", "c"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("## Paper C, Table 4") == 4
    assert "full scale, 90 g/kWh" in printed
    assert "small scale, 436 g/kWh" in printed


def test_the_command_prints_csv(results_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has plain figures, and a column of marks."""
    assert main([str(results_file), "--paper", "c", "--format", "csv"]) == 0
    lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    row = [line for line in lines if line and line[0] == "GE- θ"][-1]
    assert "0.8" in row
    assert row[-1] == "CIFAR-100 energy J: as-good best"


def test_the_command_writes_a_file(results_file: Path, tmp_path: Path) -> None:
    """--output writes the tables to the file."""
    output = tmp_path / "tables.md"
    assert main([str(results_file), "--paper", "a", "--output", str(output)]) == 0
    assert output.read_text("utf-8").startswith("## Paper A")


def test_the_command_adds_low_carbon_hours_to_paper_e(
    results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--hourly-intensity adds a table to paper E, and is refused for another paper."""
    hours = str(hours_file(tmp_path, dict.fromkeys(range(24), 300.0)))
    arguments = [str(results_file), "--hourly-intensity", hours, "--paper"]
    assert main([*arguments, "e"]) == 0
    assert "## Paper E: training at low-carbon hours" in capsys.readouterr().out
    assert main([*arguments, "c"]) == 2


def test_a_file_that_is_no_results_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file, and the exit status is 2."""
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    assert main([str(broken), "--paper", "c"]) == 2
    assert "broken.json" in capsys.readouterr().err
