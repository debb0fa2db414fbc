"""The metrics that the report knows: what they are called, and which way is better.

A metric of somebody's own needs no entry here; it is shown by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from pytest_energy.model.measurement import Quantity, Result

Better = Literal["less", "more"]
GIGA: Final = 1e9


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


def present(results: Iterable[Result]) -> tuple[Metric, ...]:
    """Metrics that some result has, catalogue first, then others by name."""
    names = {name for result in results for name in values(result)}
    known = [entry for entry in CATALOGUE if entry.name in names]
    return (*known, *(metric(name) for name in sorted(names - _BY_NAME.keys())))


def values(result: Result) -> dict[str, Quantity]:
    """The metrics of a result, with those that follow from others."""
    flops = _flops_a_pass(result)
    if flops is None:
        return dict(result.metrics)
    return {**result.metrics, "pass_flops": flops, **_joules_per_gflop(result, flops)}


def _flops_a_pass(result: Result) -> Quantity | None:
    """FLOPs of what ran, or ``None`` where they were counted on an input of another shape.

    Only of inference: a training epoch runs the stated input an unstated number of times. Where
    the workload has ``facts_input_shape``, they were counted on one sample, else on the batch.
    """
    flops, workload = result.metrics.get("flops"), result.workload
    if result.kind != "inference" or flops is None or flops.value <= 0:
        return None
    counted_on = workload.get("facts_input_shape")
    if counted_on is None:
        return flops
    samples = workload.get("batch_size")
    if counted_on != workload.get("input_shape") or not isinstance(samples, int):
        return None
    return flops.model_copy(update={"value": flops.value * samples})


def _joules_per_gflop(result: Result, flops: Quantity) -> dict[str, Quantity]:
    energy = result.metrics.get("energy_j")
    if energy is None:
        return {}
    gflop = flops.value / GIGA
    uncertainty = None if energy.uncertainty is None else energy.uncertainty / gflop
    per_gflop = Quantity(value=energy.value / gflop, uncertainty=uncertainty, unit="J/GFLOP")
    return {"j_per_gflop": per_gflop}


def direction(name: str, results: Iterable[Result]) -> Better | None:
    """Which way ``name`` is better, asking the verdicts where the catalogue does not know."""
    known = metric(name).better
    if known:
        return known
    told = [v for result in results for v in result.verdict.metrics if v.metric == name]
    return "more" if any(verdict.higher_is_better for verdict in told) else None
