"""The tables of the papers, from made-up results."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tables import PAPERS, tables_of
from benchmarks.tables.__main__ import main
from benchmarks.tables.hours import best_begin, mean_from, read_hours
from benchmarks.tables.layout import Cell, Table, paper_rows
from benchmarks.tables.paper_c import METHODS
from benchmarks.tables.paper_e import low_carbon
from benchmarks.tables.ranks import agreement, architecture_effect, data_effect
from pytest_energy.carbon import VIDEO_METHOD
from pytest_energy.errors import FileFormatError
from pytest_energy.model.json_files import save_run
from pytest_energy.model.measurement import Environment, Kind, Quantity, Reason, ReasonCode, Round
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
        metrics={n: Quantity(value=v, uncertainty=u, unit="1") for n, (v, u) in pairs.items()},
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
    """0.1 g an image is 1814.4 kg for 30 images a second through a week."""
    table = tables_of("c", [inference_c("baseline", co2_g=0.1)])[3]
    assert cell(table, "Baseline", "CIFAR-100 CO₂ kg/week").text == "1814"


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
    assert cell(table, "VGG16, MNIST", "energy kWh").text == "2"
    assert cell(table, "VGG16, MNIST", "accuracy").text == "0.92"
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
    effect = architecture_effect([(name, float(value)) for name, value in values])
    assert effect.tested
    assert effect.p < 0.05
    assert effect.statistic == pytest.approx(7.2)


def test_the_point_biserial_sign_follows_the_later_label() -> None:
    """The correlation is positive if MNIST costs more than CIFAR-10."""
    values = [("cifar10", 1.0), ("cifar10", 2.0), ("cifar10", 3.0), ("cifar10", 4.0)]
    values += [("mnist", 8.0), ("mnist", 9.0), ("mnist", 10.0), ("mnist", 11.0)]
    assert data_effect(values).statistic > 0.9


def test_instruments_that_agree_in_rank_have_spearman_one() -> None:
    """A monotone relation of five pairs gives ρ = 1."""
    assert agreement([(x, x**3) for x in (1.0, 2.0, 3.0, 4.0, 5.0)]).statistic == pytest.approx(1)


@pytest.mark.parametrize(
    "refused",
    [
        architecture_effect([]),
        architecture_effect([("a", 1.0), ("b", 2.0), ("c", 3.0)]),
        data_effect([("a", 1.0), ("a", 2.0), ("b", 3.0), ("b", 4.0)]),
        agreement([(1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]),
    ],
)
def test_too_few_values_are_refused(refused: Any) -> None:
    """A test is refused if even a perfect order could not reach significance."""
    assert not refused.tested
    assert "too few" in refused.refusal


def test_equal_values_are_not_tested() -> None:
    """Values that are all equal have no ranks to test."""
    assert architecture_effect([(n, 1.0) for n in "aaabbbccc"]).refusal == "all values are equal"


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
