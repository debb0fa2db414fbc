"""The figures of the papers, from made-up results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import conftest
from benchmarks.tables.__main__ import main
from benchmarks.tables.drawing import MOST_ENTRIES, Line, Point, colours_of, curves, front_of
from benchmarks.tables.figures import figures_of, power_line, scored_epochs
from pytest_energy.model.json_files import load_run, save_run
from pytest_energy.model.measurement import UNITS, Environment, Kind, Quantity, Trace
from pytest_energy.model.outcomes import Outcome
from pytest_energy.model.result import Result, Run, RunInfo, Verdict
from pytest_energy.model.traces import Bucket, Envelope, encode
from pytest_energy.settings import Settings


def measured(kind: Kind, metrics: Mapping[str, float], **workload: Any) -> Result:
    """A result whose metrics are known to a hundredth."""
    return Result(
        id=f"test::{kind}[{'-'.join(map(str, workload.values()))}]",
        kind=kind,
        status="measured",
        workload=workload,
        metrics={
            name: Quantity(value=value, uncertainty=value / 100, unit=UNITS.get(name, "1"))
            for name, value in metrics.items()
        },
        verdict=Verdict(outcome=Outcome.NEW),
    )


def traced(model: str, power_w: float) -> Result:
    """A training of paper A with a minute at one power and a minute at twice that."""
    buckets = [Bucket(60, 60 * watts, watts, watts) for watts in (power_w, 2 * power_w)]
    trace = encode(Envelope(0.0, tuple(buckets)), "gpu0", "driver-ring", 2)
    result = measured("training", {"energy_j": 1.0}, paper="a", model=model)
    return result.model_copy(update={"trace": [trace]})


def drawn(paper: str, results: list[Result]) -> dict[str, Any]:
    """The figures that can be drawn, by name."""
    return {figure.name: figure.drawing for figure in figures_of(paper, results) if figure.drawing}


def c_training(technique: str, energy_j: float, **facts: Any) -> Result:
    """A scored training of paper C on Cityscapes."""
    metrics = {"total_energy_j": energy_j, "miou": energy_j / 1e8, "epochs_run": 10.0}
    facts = {"task": "segmentation", "dataset": "cityscapes", **facts}
    return measured("training", metrics, paper="c", technique=technique, **facts)


def test_a_line_of_power_is_the_staircase_of_its_trace() -> None:
    """Each bucket holds its mean power from its begin to its end, in minutes."""
    (trace,) = traced("resnet50", 100.0).trace or [pytest.fail("no trace")]
    assert isinstance(trace, Trace)
    line = power_line("ResNet-50", trace)
    assert list(line.x) == pytest.approx([0, 1, 1, 2])
    assert list(line.y) == pytest.approx([100, 100, 200, 200], rel=1e-3)


def test_both_models_of_paper_a_are_in_one_chart() -> None:
    """The legend of the chart names the two models."""
    figures = drawn("a", [traced("resnet50", 100.0), traced("convnext_tiny", 150.0)])
    (axes,) = figures["a-power-training"].axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["ResNet-50, gpu0", "ConvNeXt-T, gpu0"]


def test_paper_b_has_violins_by_architecture_data_and_location() -> None:
    """Three runs of two models on two data sets: each figure has energy, CO₂ and FLOPs."""
    runs = [
        measured(
            "training",
            {"total_energy_j": 1e6 + run, "energy_j": 1e5, "co2_g": 10.0 + run, "flops": 1e9},
            paper="b",
            technique="baseline",
            model=model,
            dataset=dataset,
            location="436 g/kWh",
            run=run,
        )
        for model in ("vgg16_transfer", "vgg19_transfer")
        for dataset in ("mnist", "cifar10")
        for run in range(3)
    ]
    figures = drawn("b", runs)
    assert set(figures) == {"b-by-architecture", "b-by-data", "b-by-location"}
    axes = figures["b-by-architecture"].axes
    assert [panel.get_ylabel() for panel in axes] == ["energy kWh", "CO₂ kg", "FLOPs G, batch 32"]
    labels = [tick.get_text() for tick in axes[0].get_xticklabels()]
    assert labels == ["vgg16_transfer", "vgg19_transfer"]


def test_a_scatter_figure_and_its_front_have_one_data_set() -> None:
    """Results on COCO-Stuff do not appear in the figure of Cityscapes."""
    results = [
        c_training("baseline", 2e7),
        c_training("focal", 1e7),
        c_training("dice", 1.0, dataset="coco_stuff"),
    ]
    figures = drawn("c", results)
    (axes,) = figures["c-miou-energy-cityscapes"].axes
    assert sorted(text.get_text() for text in axes.texts) == ["Baseline", "Focal Loss"]
    assert "c-miou-energy-coco_stuff" in figures
    assert "c-accuracy-energy-cifar100" not in figures


def test_no_point_of_the_front_is_beaten() -> None:
    """Less energy and a higher score are better; a point that loses in both is left out."""
    points = [Point("a", 1, 1), Point("b", 2, 3), Point("c", 3, 2)]
    assert front_of(points, higher_is_better=True) == [(1, 1), (2, 3)]
    assert front_of(points, higher_is_better=False) == [(1, 1)]


def test_runs_of_several_lengths_are_the_curve_of_a_score() -> None:
    """Two trainings of one technique are two points of one line."""
    longer = c_training("baseline", 2e7)
    metrics = {**longer.metrics, "epochs_run": Quantity(value=20.0, unit="1")}
    figures = drawn(
        "c", [longer.model_copy(update={"metrics": metrics}), c_training("baseline", 1e7)]
    )
    (line,) = figures["c-score-by-epoch-cityscapes"].axes[0].get_lines()
    assert list(line.get_xdata()) == [10, 20]
    assert list(line.get_ydata()) == pytest.approx([10, 20])


def test_scores_after_each_epoch_are_the_curve_of_one_run() -> None:
    """The score at the end is a point like the others."""
    run = c_training("baseline", 2e7)  # 20 % after ten epochs
    at = {f"miou_at_{epoch}": Quantity(value=epoch / 100, unit="1") for epoch in (9, 2, 10)}
    scored = run.model_copy(update={"metrics": {**run.metrics, **at}})
    assert sorted(scored_epochs(scored, "miou")) == [(2, 2), (9, 9), (10, 10), (10, 20)]
    (line,) = drawn("c", [scored])["c-score-by-epoch-cityscapes"].axes[0].get_lines()
    assert list(line.get_xdata()) == [2, 9, 10, 10]


def test_unlike_runs_are_no_figure() -> None:
    """A curve or a violin of runs on different data would show the data."""
    runs = [c_training("baseline", 2e7, data=data) for data in ("shapes", "cityscapes")]
    (curve,) = [f for f in figures_of("c", runs) if f.name == "c-score-by-epoch-cityscapes"]
    assert (curve.drawing, curve.missing) == (None, "unlike runs (data: shapes, cityscapes)")
    facts = {"paper": "b", "technique": "baseline", "model": "vgg16_transfer", "dataset": "mnist"}
    totals = [
        measured("training", {"total_energy_j": 1e6}, **facts, data=data)
        for data in ("digits", "mnist")
    ]
    assert {f.missing for f in figures_of("b", totals)} == {"unlike runs (data: digits, mnist)"}


def test_a_point_of_half_the_epochs_is_the_mean_of_its_runs() -> None:
    """As in the table."""
    runs = [c_training("poly_half", joules, run=run) for run, joules in enumerate((1e6, 2e6, 6e6))]
    (axes,) = drawn("c", runs)["c-miou-energy-cityscapes"].axes
    assert list(axes.get_lines()[0].get_xdata()) == [3]


def test_bars_have_energy_and_time_by_knob() -> None:
    """Batch sizes in rising order, with a panel each for energy and minutes."""
    results = [
        measured(
            "training",
            {"total_energy_j": joules, "latency_s": 60.0},
            paper="d",
            model="resnet50",
            sweep="batch",
            batch=batch,
        )
        for batch, joules in ((128, 1e6), (64, 2e6))
    ]
    energy, time = drawn("d", results)["d-batch-resnet50"].axes
    assert [tick.get_text() for tick in energy.get_xticklabels()] == ["64", "128"]
    assert [bar.get_height() for bar in energy.patches] == [2, 1]
    assert [bar.get_height() for bar in time.patches] == [1, 1]


def save(path: Path, *results: Result) -> str:
    """A results file."""
    run = Run(
        created="2026-01-01T00:00:00Z",
        environment=Environment(identity={"device": "h100"}, context={}),
        run=RunInfo(duration_s=1.0),
        benchmarks=list(results),
    )
    save_run(run, path)
    return str(path)


def test_the_command_draws_what_it_can_and_says_what_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--figures writes an SVG for each figure, and names the missing ones with their reason."""
    results = save(tmp_path / "results.json", traced("resnet50", 100.0))
    folder = tmp_path / "figures"
    assert main([results, "--paper", "a", "--figures", str(folder)]) == 0
    first = (folder / "a-power-training.svg").read_bytes()
    assert b"Paper A: power, training" in first
    message = "a-power-inference.svg: not drawn: no traces in the results"
    assert message in capsys.readouterr().err
    assert main([results, "--paper", "a", "--figures", str(folder)]) == 0
    assert (folder / "a-power-training.svg").read_bytes() == first


def test_a_page_has_the_tables_and_figures_of_the_papers_that_ran(tmp_path: Path) -> None:
    """Titles, figures as images and the reasons for those that are missing; no other paper."""
    results = save(tmp_path / "results.json", traced("resnet50", 100.0))
    page = tmp_path / "papers.html"
    assert main([results, "--html", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "Paper A: ResNet-50 and ConvNeXt-T on bird species" in text
    assert text.count('<img src="data:image/svg+xml;base64,') == 1
    assert "a-power-inference: not drawn, no traces in the results" in text
    assert "Paper B" not in text


def test_a_page_escapes_what_a_result_says(tmp_path: Path) -> None:
    """A name of a data set is text, not markup."""
    twice = [c_training("baseline", 1e7 + run, data=f"<b>{run}</b>") for run in range(2)]
    facts = {"model": "bisenet_resnet18"}
    twice = [run.model_copy(update={"workload": {**run.workload, **facts}}) for run in twice]
    page = tmp_path / "papers.html"
    assert main([save(tmp_path / "r.json", *twice), "--html", str(page)]) == 0
    assert "unlike runs (data: &lt;b&gt;0&lt;/b&gt;" in page.read_text("utf-8")


def test_the_page_of_the_papers_lies_beside_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that writes no report writes no such page, and no paper, no page."""
    results = tmp_path / "results.json"
    save(results, traced("resnet50", 100.0))
    run, page = load_run(results), tmp_path / "papers.html"
    for report, written in ((None, []), (page.with_name("report.html"), [page])):
        output = {"json": results} | ({"html": report} if report else {})
        settings = Settings(output=output)
        monkeypatch.setattr(conftest, "settings_of", lambda config, found=settings: found)
        assert conftest.pytest_energy_outputs(SimpleNamespace(), run) == written
        assert page.exists() == bool(written)
    assert (
        conftest.pytest_energy_outputs(SimpleNamespace(), run.model_copy(update={"benchmarks": []}))
        == []
    )


def test_results_of_no_paper_have_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file; without --paper and --html there is nothing to do."""
    results = save(tmp_path / "own.json", measured("call", {"energy_j": 1.0}, paper="beyond"))
    assert main([results, "--html", str(tmp_path / "papers.html")]) == 2
    assert "no results of a paper in" in capsys.readouterr().err
    assert not (tmp_path / "papers.html").exists()
    with pytest.raises(SystemExit):
        main([results])


def test_a_long_legend_stands_beside_the_chart() -> None:
    """The axes keep their size; twins share a colour."""
    lines = [
        Line(f"{number}", (1, 2), (0, number), twin=bool(number % 2))
        for number in range(3 * MOST_ENTRIES)
    ]
    drawing = curves(lines, "title", "x", "y")
    drawing.canvas.draw()
    assert drawing.axes[0].get_position().width > 0.3
    assert drawing.axes[0].get_legend() is None
    assert colours_of(lines)[:4] == ["C0", "C0", "C1", "C1"]


@pytest.mark.usefixtures("torch_forks")
def test_a_session_of_the_suite_writes_the_page(tmp_path: Path) -> None:
    """The first command of the README, with one row and no meter, ends with status 0."""
    results, report = tmp_path / "results.json", tmp_path / "report.html"
    session = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "benchmarks",
                "-m",
                "quick",
                "-k",
                "resnet18-baseline-imagenet",
            ),
            *("--energy", f"--energy-output=json:{results}", f"--energy-output=html:{report}"),
            *("--energy-meter=none", "-p", "no:cacheprovider"),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert session.returncode == 0, session.stdout + session.stderr
    assert report.is_file()
    assert (tmp_path / "papers.html").is_file(), session.stdout
