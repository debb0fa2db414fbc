"""Jha 2025: ResNet-18 against EfficientNet-B0 on CIFAR-100, and its proposals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from benchmarks.tables.emissions import total_co2_kg
from benchmarks.tables.hours import best_begin, mean_from
from benchmarks.tables.layout import Column, Figure, Read, Row, Table, fill, metric, paper_rows
from pytest_energy.carbon import JOULES_PER_KWH, co2_g, given_intensity
from pytest_energy.model.result import Result

MODELS = {"ResNet-18": "resnet18_cifar", "EfficientNet-B0": "efficientnet_b0"}
CO2_NOTE = (
    "CO₂ is that of measured joules. Grams need --energy-country or --energy-carbon-intensity."
)
NEXT = {"mixed precision": "amp", "pruning": "pruning", "quantisation": "quantisation"}


def tables(results: Sequence[Result]) -> tuple[Table, ...]:
    """The comparison of the two trainings, and the proposals as inference of ResNet-18."""
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
        fill(
            "Paper E: 20 epochs of training", "model", _trainings(), TRAINING, results, (CO2_NOTE,)
        ),
        fill("Paper E: what it would try next", "model", inference, INFERENCE, results, (HOURS,)),
    )


def low_carbon(results: Sequence[Result], hours: Sequence[float]) -> Table:
    """The last proposal: the same training at the hours whose electricity emits least.

    Args:
        results: The benchmarks of a run.
        hours: Carbon intensity of the 24 hours of a day, in g/kWh.
    """

    def at_best(figure: Callable[[float, int], float]) -> Read:
        """Read ``figure`` of a training's duration in hours and of its best start hour."""

        def read(result: Result) -> Figure:
            minutes = _minutes(result)
            if not minutes.value:
                return minutes
            duration_h = minutes.value / 60
            return Figure(figure(duration_h, best_begin(duration_h, hours)))

        return read

    mean = fmean(hours)
    columns = (
        Column("energy kWh", metric("total_energy_j", 1 / JOULES_PER_KWH)),
        Column("hours", _hours),
        Column("CO₂ kg at any hour", _co2_kg(lambda _: Figure(mean))),
        Column("best begun at", at_best(lambda _, begin: begin), form=".0f"),
        Column("CO₂ kg then", _co2_kg(at_best(lambda h, begin: mean_from(begin, h, hours)))),
        Column("change %", at_best(lambda h, begin: 100 * (mean_from(begin, h, hours) / mean - 1))),
    )
    title = "Paper E: training at low-carbon hours"
    return fill(title, "model", _trainings(), columns, results, (EVEN,))


HOURS = (
    "Training at low-carbon hours is the training above at another time: its table needs "
    "--hourly-intensity FILE."
)
EVEN = (
    "Measured joules, spread evenly over the full schedule, times the given carbon intensity of "
    "each hour of a day. CO₂ at any hour uses the mean of the day."
)


def _trainings() -> list[Row]:
    where = {"paper": "e", "kind": "training"}
    rows = [
        Row(
            line["model"],
            {**where, "technique": "baseline", "model": MODELS[line["model"]]},
            line,
        )
        for line in paper_rows("e_comparison.csv")
    ]
    # an int8 model is made after training, so quantisation has no row here
    return rows + [
        Row(f"ResNet-18, {label}", {**where, "technique": NEXT[label], "model": "resnet18_cifar"})
        for label in ("mixed precision", "pruning")
    ]


def _co2_kg(intensity: Read) -> Read:
    """Read the CO₂ of the full schedule at an intensity in g/kWh."""

    def read(result: Result) -> Figure:
        energy, grams = metric("total_energy_j")(result), intensity(result)
        if energy.value is None or grams.value is None:
            return energy if energy.value is None else grams
        return energy.times(co2_g(1, given_intensity(grams.value)) / 1e3)

    return read


def _hours(result: Result) -> Figure:
    return _minutes(result).times(1 / 60)


def _minutes(result: Result) -> Figure:
    epochs, latency = result.workload.get("epochs"), metric("latency_s", 1 / 60)(result)
    if latency.value is None or not isinstance(epochs, int | float):
        return latency if latency.value is None else Figure(missing="not recorded")
    return latency.times(epochs)


TRAINING = (
    Column(
        "accuracy %",
        metric("accuracy", 100),
        paper={"paper: accuracy %": "accuracy_20_epochs_pct"},
        better="higher",
    ),
    Column("minutes", _minutes, paper={"paper: minutes": "training_minutes"}, better="lower"),
    Column("CO₂ kg", total_co2_kg, paper={"paper: CO₂ kg": "co2_kg"}, better="lower"),
    Column("power W", metric("power_w")),
    Column("energy kWh", metric("total_energy_j", 1 / JOULES_PER_KWH), better="lower"),
)
INFERENCE = (
    Column("params M", metric("params", 1e-6), better="lower"),
    Column("FLOPs G", metric("flops", 1e-9), better="lower"),
    Column("time ms", metric("latency_s", 1e3), better="lower"),
    Column("energy J", metric("energy_j"), better="lower"),
)
