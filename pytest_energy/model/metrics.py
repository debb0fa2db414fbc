"""Everything about a metric: name, unit, direction, tolerance, and who may give it.

A new metric needs a row of :data:`CATALOGUE`. A metric that only a test knows needs none: it is
shown by its name, and the name's suffix decides whether higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

ENERGY: Final = "energy_j"
LATENCY: Final = "latency_s"
LARGEST: Final = 1e60
"""No quantity is larger; the fourth power of this is still a number."""

Better = Literal["less", "more"]


@dataclass(frozen=True)
class Metric:
    """One row a metric: how it is measured, gated and shown."""

    name: str
    """The key in ``Measurement.metrics``."""
    label: str
    better: Better | None = None
    """``None`` if neither direction is better."""
    about: str = ""
    unit: str | None = None
    """``None`` where the unit depends on the benchmark, for example ``J/pass`` or ``J/epoch``."""
    role: Literal["energy", "score"] | None = None
    """``energy``: joules that may decide a verdict. ``score``: how good a model's answers are."""
    tolerance: float | None = None
    """The relative change that is accepted by default; without one the metric does not gate."""
    depends_on_gain: bool = False
    """Whether a wrong gain of the sensor makes it wrong by the same share."""
    from_rounds: bool = False
    """Whether each round gives a value, so that its scatter is known within one run."""
    recordable: bool = True
    """Whether a test may record it; what is measured cannot be recorded, too."""
    in_baselines: bool = True
    shown: bool = True
    """Whether the page's table shows it before anybody chooses columns."""


CATALOGUE: Final = (
    Metric(
        ENERGY,
        "Energy",
        "less",
        "gross joules a pass, epoch or call",
        role="energy",
        tolerance=0.05,
        depends_on_gain=True,
        from_rounds=True,
        recordable=False,
    ),
    Metric(
        "net_energy_j",
        "Net energy",
        "less",
        "without idle power",
        role="energy",
        depends_on_gain=True,
        from_rounds=True,
        recordable=False,
        shown=False,
    ),
    Metric("training_energy_j", "Training energy", "less", "of the same model, technique and data"),
    Metric(
        "total_energy_j",
        "Full schedule",
        "less",
        "joules scaled to all epochs",
        unit="J",
        role="energy",
        depends_on_gain=True,
        from_rounds=True,
        recordable=False,
    ),
    Metric(
        "latency_s",
        "Latency",
        "less",
        "seconds a pass, epoch or call",
        unit="s",
        from_rounds=True,
        recordable=False,
    ),
    Metric("throughput_hz", "Throughput", "more", "items a second", shown=False),
    Metric(
        "power_w",
        "Mean power",
        about="watts over the passes",
        unit="W",
        depends_on_gain=True,
        from_rounds=True,
        recordable=False,
    ),
    Metric("params", "Parameters", "less", unit="parameters"),
    Metric(
        "trainable_params",
        "Trainable parameters",
        "less",
        "trainable parameters",
        unit="parameters",
        shown=False,
    ),
    Metric("macs", "MACs", "less", "multiply-adds of the stated input", unit="MAC"),
    Metric("flops", "FLOPs", "less", "2 × MACs, of the stated input", unit="FLOP"),
    Metric(
        "pass_flops",
        "FLOPs a pass",
        "less",
        "of the whole batch as it ran",
        unit="FLOP",
        shown=False,
    ),
    Metric("j_per_gflop", "J/GFLOP", "less", "energy a pass / FLOPs a pass", unit="J/GFLOP"),
    Metric("peak_memory_bytes", "Peak memory", "less", unit="B", shown=False),
    Metric("accuracy", "Accuracy", "more", role="score"),
    Metric("miou", "mIoU", "more", "mean intersection over union", role="score"),
    Metric("map", "mAP", "more", "mean average precision", role="score"),
    Metric(
        "score_per_kwh",
        "Score",
        "more",
        "accuracy, mIoU or mAP / energy in kWh",
        depends_on_gain=True,
        from_rounds=True,
    ),
    Metric(
        "co2_g",
        "CO₂",
        "less",
        "see Method for the factor",
        recordable=False,
        # Joules times a figure of the grid: no commit can change that figure.
        in_baselines=False,
    ),
)
"""In the order of the page's columns."""

PER_UNIT: Final = "energy_j_per_"
"""The beginning of the name of joules per unit of work."""
PER_JOULE: Final = "_per_joule"
"""The end of the name of units of work per joule."""


def per_unit_name(unit: str) -> str:
    """``energy_j_per_token``."""
    return f"{PER_UNIT}{unit}"


def per_joule_name(unit: str) -> str:
    """``tokens_per_joule``."""
    return f"{unit}s{PER_JOULE}"


_BY_NAME: Final = {row.name: row for row in CATALOGUE}

TOLERANCES: Final = {row.name: row.tolerance for row in CATALOGUE if row.tolerance is not None}
"""The default tolerance of each metric that gates."""
ENERGIES: Final = tuple(row.name for row in CATALOGUE if row.role == "energy")
SCORES: Final = tuple(row.name for row in CATALOGUE if row.role == "score")

Direction = Literal["higher", "lower"]
"""What a test may say of its own metric: which values are better."""

_SUFFIXES_OF_MORE: Final = (
    *SCORES,
    *("_hz", "_per_kwh", "_per_j", "_per_joule", "_per_s", "_per_second", "_score", "f1", "auc"),
    *("throughput", "speedup", "bleu", "recall", "precision", "iou", "psnr", "ssim", "mfu"),
)
_SUFFIXES_OF_LESS: Final = ("_j", "_s", "_bytes", "loss", "error", "perplexity", "latency", "wer")


def in_catalogue(name: str) -> bool:
    """Whether the catalogue has the metric; otherwise only a test knows it."""
    return name in _BY_NAME


def metric(name: str) -> Metric:
    """The metric's row, or one made from its name for a metric that is not in the catalogue."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith(PER_UNIT):
        unit = name.removeprefix(PER_UNIT).replace("_", " ")
        return Metric(name, f"Energy/{unit}", "less", depends_on_gain=True, recordable=False)
    label = name.replace("_", " ")
    if name.endswith(PER_JOULE):
        return Metric(name, label, "more", depends_on_gain=True)
    return Metric(name, label)


def direction_is_known(name: str) -> bool:
    """Whether the catalogue or the name says which direction of a metric is better."""
    known = in_catalogue(name) or metric(name).better is not None
    return known or name.endswith((*_SUFFIXES_OF_MORE, *_SUFFIXES_OF_LESS))


def higher_is_better(name: str) -> bool:
    """Whether a rise of the metric is an improvement; otherwise a rise is a regression."""
    if better := metric(name).better:
        return better == "more"
    return not in_catalogue(name) and name.endswith(_SUFFIXES_OF_MORE)
