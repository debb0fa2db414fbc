"""What each metric is: name, unit, direction, default tolerance, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ENERGY = "energy_j"


TOLERANCES: Mapping[str, float] = {ENERGY: 0.05}
"""Relative changes that are accepted where nobody says otherwise, by metric."""


Better = Literal["less", "more"]


@dataclass(frozen=True)
class Metric:
    """One metric as a column, an axis or a chart."""

    name: str
    """The key in ``Measurement.metrics``."""
    label: str
    better: Better | None = None
    """``None``: neither, or nobody said."""
    about: str = ""
    shown: bool = True
    """Whether the table shows it before anybody chooses columns."""


CATALOGUE: Final = (
    Metric("energy_j", "Energy", "less", "gross joules a pass, epoch or call"),
    Metric("net_energy_j", "Net energy", "less", "idle power taken off", shown=False),
    Metric("training_energy_j", "Training energy", "less", "of the same model, technique and data"),
    Metric("total_energy_j", "Full schedule", "less", "joules scaled to all epochs"),
    Metric("latency_s", "Latency", "less", "seconds a pass, epoch or call"),
    Metric("throughput_hz", "Throughput", "more", "items a second", shown=False),
    Metric("power_w", "Mean power", None, "watts over the passes"),
    Metric("params", "Parameters", "less"),
    Metric("trainable_params", "Trainable", "less", "trainable parameters", shown=False),
    Metric("macs", "MACs", "less", "multiply-adds of the stated input"),
    Metric("flops", "FLOPs", "less", "2 × MACs, of the stated input"),
    Metric("pass_flops", "FLOPs a pass", "less", "of the whole batch as it ran", shown=False),
    Metric("j_per_gflop", "J/GFLOP", "less", "energy a pass / FLOPs a pass"),
    Metric("peak_memory_bytes", "Peak memory", "less", shown=False),
    Metric("accuracy", "Accuracy", "more"),
    Metric("miou", "mIoU", "more", "mean intersection over union"),
    Metric("map", "mAP", "more", "mean average precision"),
    Metric("score_per_kwh", "Score", "more", "accuracy, mIoU or mAP / energy in kWh"),
    Metric("co2_g", "CO₂", "less", "see Method for the factor"),
)


SCORES: Final = ("accuracy", "miou", "map")
"""Metrics of how good a model's answers are."""


_BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}


def metric(name: str) -> Metric:
    """The entry called ``name``, or one made up for a metric of somebody's own."""
    return _BY_NAME.get(name) or Metric(name, name.replace("_", " "))


OF_THE_SENSOR: Final = frozenset(
    {"energy_j", "net_energy_j", "total_energy_j", "power_w", "score_per_kwh"}
)
"""Metrics that a sensor's gain falsifies."""


_MORE_IS_BETTER: Final = ("accuracy", "_hz", "_per_kwh", "_score", "miou", "map", "f1", "auc")


def higher_is_better(metric: str) -> bool:
    """Whether more of a metric is good, by its name: accuracy, throughput, score."""
    return metric.endswith(_MORE_IS_BETTER)
