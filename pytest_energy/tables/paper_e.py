"""Jha 2025: ResNet-18 against EfficientNet-B0 on CIFAR-100, and what it would try next."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.measurement import Result
from pytest_energy.tables.layout import Column, Figure, Row, Table, fill, metric, paper_rows

MODELS = {"ResNet-18": "resnet18_cifar", "EfficientNet-B0": "efficientnet_b0"}
NEXT = {"mixed precision": "amp", "pruning": "pruning", "quantisation": "quantisation"}


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """The comparison of training, and the proposals as inference of ResNet-18."""
    where = {"paper": "e", "kind": "training"}
    training = [
        Row(
            line["model"],
            {**where, "technique": "baseline", "model": MODELS[line["model"]]},
            line,
        )
        for line in paper_rows("e_comparison.csv")
    ]
    training.append(
        Row("ResNet-18, mixed precision", {**where, "technique": "amp", "model": "resnet18_cifar"})
    )
    inference = [
        Row(
            f"{model}, {label}",
            {"paper": "e", "kind": "inference", "model": MODELS[model], "technique": technique},
        )
        for model, label, technique in (
            *((model, "baseline", "baseline") for model in MODELS),
            *(("ResNet-18", label, technique) for label, technique in NEXT.items()),
        )
    ]
    return (
        fill("Paper E: 20 epochs of training", "model", training, TRAINING, results),
        fill("Paper E: what it would try next", "model", inference, INFERENCE, results),
    )


def _minutes(result: Result) -> Figure:
    epochs, latency = result.workload.get("epochs"), metric("latency_s", 1 / 60)(result)
    if latency.value is None or not isinstance(epochs, int | float):
        return latency if latency.value is None else Figure(missing="not recorded")
    return Figure(latency.value * epochs)


def _total_co2_kg(result: Result) -> Figure:
    """CO₂ of the full schedule: that of an epoch, by the ratio of total to epoch energy."""
    co2, epoch = metric("co2_g", 1e-3)(result), metric("energy_j")(result)
    total = metric("total_energy_j")(result)
    if co2.value is None or not epoch.value or total.value is None:
        return Figure(missing=co2.missing or total.missing or "not measured")
    return Figure(co2.value * total.value / epoch.value)


TRAINING = (
    Column(
        "accuracy %",
        metric("accuracy", 100),
        paper={"paper: accuracy %": "accuracy_20_epochs_pct"},
        better="higher",
    ),
    Column("minutes", _minutes, paper={"paper: minutes": "training_minutes"}, better="lower"),
    Column("CO₂ kg", _total_co2_kg, paper={"paper: CO₂ kg": "co2_kg"}, better="lower"),
    Column("power W", metric("power_w")),
    Column("energy kWh", metric("total_energy_j", 1 / 3.6e6), better="lower"),
)
INFERENCE = (
    Column("params M", metric("params", 1e-6), better="lower"),
    Column("FLOPs G", metric("flops", 1e-9), better="lower"),
    Column("time ms", metric("latency_s", 1e3), better="lower"),
    Column("energy J", metric("energy_j"), better="lower"),
)
