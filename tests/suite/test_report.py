"""The report's figures of the suite's own rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from benchmarks.rows import (
    Row,
    cap_rows,
    inference_rows,
    sweep_rows,
    target_rows,
    training_rows,
)
from benchmarks.workbench import facts_shape, inference_batch, scheduled
from pytest_energy.model.measurement import Kind, Quantity
from pytest_energy.model.result import Result, Verdict
from pytest_energy.report.html.charts.marks import build_palette
from pytest_energy.report.html.charts.scatter import grouping
from pytest_energy.report.html.charts.sweeps import Sweep, build_sweeps
from pytest_energy.report.html.results_table import Row as TableRow
from pytest_energy.report.html.results_table import build_table


def results(scale: str) -> list[Result]:
    """Every row of the suite as a result, with the facts of a real run."""
    inference = [*inference_rows(), *sweep_rows("inference")]
    training = [*training_rows(), *sweep_rows("training"), *cap_rows()]
    return [
        *made("inference", inference, scale),
        *made("training", training, scale),
        *made("call", target_rows(), scale),
    ]


def made(kind: Kind, rows: Iterable[Row], scale: str) -> Iterator[Result]:
    """Results of one kind, each of one joule."""
    for row in rows:
        schedule = scheduled(row, scale)
        run_facts = {
            "input_shape": [3, schedule.image_size, schedule.image_size],
            "batch_size": inference_batch(row, scale)
            if kind == "inference"
            else schedule.batch_size,
            "scale": scale,
            "data": "random" if kind == "inference" else row.dataset,
            "facts_input_shape": list(facts_shape(row)),
        }
        yield Result(
            id=f"{kind}[{row.id}]",
            kind=kind,
            workload=row.workload | run_facts,
            status="measured",
            metrics={"energy_j": Quantity(value=1.0, unit="J")},
            verdict=Verdict(outcome="new"),
        )


@cache
def table_rows(scale: str) -> tuple[TableRow, ...]:
    """The rows of the report's table."""
    suite = results(scale)
    return build_table(suite, {result.id: result.id for result in suite}).rows


@cache
def sweeps(scale: str) -> dict[tuple[str, str], Sweep]:
    """The sweeps of the whole suite, by kind and fact."""
    drawn = build_sweeps(table_rows(scale), build_palette(table_rows(scale)))
    return {(sweep.kind, sweep.fact): sweep for sweep in reversed(drawn)}


@pytest.mark.parametrize("scale", ["small", "full"])
def test_the_suites_knobs_are_its_sweeps(scale: str) -> None:
    """Each knob has one figure. Repetitions and data sets are not knobs."""
    assert set(sweeps(scale)) == {
        ("inference", "technique"),
        ("inference", "depth"),
        ("inference", "batch"),
        ("inference", "resolution"),
        ("training", "technique"),
        ("training", "depth"),
        ("training", "batch"),
        ("training", "precision"),
        ("training", "power cap (W)"),
        ("training", "power cap pct"),
    }


def test_passes_of_larger_batches_are_divided_by_their_images() -> None:
    """At one joule a pass, a batch of 128 images takes 1/128 of a joule for each image."""
    sweep = sweeps("full")["inference", "batch"]
    assert sweep.about == "energy an item"
    assert "0.00781 × reference" in sweep.series[0].stops[-1].text


def test_every_series_of_techniques_has_the_baseline_as_its_reference() -> None:
    """Techniques of another paper are in the series of the same model's baseline."""
    sweep = sweeps("full")["inference", "technique"]
    assert all("baseline" in series.stops[0].text for series in sweep.series)
    assert sorted(series.mark.name for series in sweep.series) == [
        "classification convnext_tiny birds",
        "classification resnet18_cifar cifar100",
        "classification resnet50_cifar cifar100",
        "classification resnet50_cifar tiny_imagenet",
        "segmentation bisenet_resnet18 cityscapes",
        "segmentation bisenet_resnet18 coco_stuff",
    ]


def test_series_that_begin_elsewhere_are_each_relative_to_their_own_first_value() -> None:
    """YOLOv5 starts at batch 32 and ResNet-50 at 64, so no batch can be 1 for both."""
    sweep = sweeps("full")["training", "batch"]
    assert sweep.y.name == "Energy, first batch of each = 1"
    assert all("1 × reference" in series.stops[0].text for series in sweep.series)


def test_names_of_techniques_have_room() -> None:
    """Many long words are slanted, and their figure is higher. A few words are not."""
    drawn = sweeps("full")
    assert drawn["training", "technique"].room > 0
    assert drawn["training", "precision"].room == 0


@pytest.mark.parametrize("kinds", [{"inference"}, {"training"}, {"inference", "training", "call"}])
def test_trade_offs_are_grouped_by_paper(kinds: set[str]) -> None:
    """With more techniques and models than colours, the papers are the groups."""
    assert grouping([row for row in table_rows("full") if row.result.kind in kinds]) == "paper"
