"""Burmester, Kalcher, Reil 2022: ResNet-50 against ConvNeXt-T on 400 bird species."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.tables.layout import Column, Row, Table, fact, fill, metric, paper_rows
from pytest_energy.carbon import JOULES_PER_KWH
from pytest_energy.model.result import Result

MODELS = {"ResNet-50": "resnet50", "ConvNeXt-T": "convnext_tiny"}

COLUMNS = (
    Column("parameters", metric("params"), paper={"paper: parameters": "parameters"}, form=",.0f"),
    Column(
        "test accuracy",
        metric("accuracy"),
        paper={"paper: test accuracy": "test_accuracy"},
        better="higher",
    ),
    Column("epochs", fact("epochs"), paper={"paper: epochs": "epochs"}, form=".0f"),
    Column(
        "s an epoch",
        metric("latency_s"),
        paper={"paper: s an epoch": "seconds_per_epoch"},
        better="lower",
    ),
    Column(
        "energy kWh",
        metric("total_energy_j", 1 / JOULES_PER_KWH),
        paper={
            "paper, printed: kWh": "printed_energy_kwh",
            "paper, recomputed: kWh": "energy_kwh_from_10_s_readings",
        },
        better="lower",
    ),
)
NOTES = (
    "The paper sums watts read every 10 s and calls the sum kWh. The recomputed column multiplies "
    "each reading by its 10 s.",
    "Keras counts convolution biases and moving statistics as parameters, PyTorch does not.",
)


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """The comparison of the two models."""
    where = {"paper": "a", "kind": "training", "technique": "baseline"}
    rows = [
        Row(line["model"], {**where, "model": MODELS[line["model"]]}, line)
        for line in paper_rows("a_comparison.csv")
    ]
    title = "Paper A: ResNet-50 and ConvNeXt-T on bird species"
    return (fill(title, "model", rows, COLUMNS, results, NOTES),)
