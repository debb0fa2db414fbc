"""Every benchmark of the suite as a row: its paper, model, technique and data.

Models and techniques come from the zoo. A new file in ``zoo/techniques`` adds rows for the models
of ``TRIED_ON`` without an edit here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from _pytest.mark import ParameterSet

from benchmarks.data import KINDS
from benchmarks.zoo.recipe import Stage
from benchmarks.zoo.registry import ZOO, Technique, find_models, find_techniques
from pytest_energy.model.measurement import Scalar

BASELINE: Final = "baseline"
TRIED_ON: Final = {
    "classification": (("resnet50_cifar", "cifar100"), ("resnet50_cifar", "tiny_imagenet")),
    "segmentation": (("bisenet_resnet18", "cityscapes"), ("bisenet_resnet18", "coco_stuff")),
}
"""The models and data sets on which paper C tries its techniques, by task."""
OTHERS_TRIED_ON: Final = ("resnet18_cifar", "cifar100")
"""Paper E's model and data set. They serve the techniques that change how a model runs, not how
well it learns."""
OTHER_TECHNIQUES: Final = {
    "amp": "e",
    "pruning": "e",
    "quantisation": "e",
    "channels_last": "beyond",
    "compile": "beyond",
    "bf16": "beyond",
    "fp16": "beyond",
    "fp8": "beyond",
    "int8": "beyond",
}
"""The techniques that are not paper C's, each with the paper that proposes it."""
LINEAR_TRIED_ON: Final = ("convnext_tiny", "birds")
"""Paper A's model, whose weights are mostly in linear layers: others change little in 8 bits."""
PAPER_MARKS: Final = {**{paper: f"paper_{paper}" for paper in "abcde"}, "beyond": "beyond"}
"""The marker of each paper's rows."""
RUNS: Final = 3
"""Paper B trains every model three times and reports the median. Paper C trains its "Poly LR ½
epochs" three times and reports the mean."""


@dataclass(frozen=True)
class Row:
    """One benchmark."""

    paper: str
    """``a`` to ``e``, or ``beyond``."""
    stage: Stage
    model: str
    dataset: str
    technique: str = BASELINE
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    """The settings of a sweep, by name."""

    @property
    def task(self) -> str:
        """The task of the data set."""
        return KINDS[self.dataset].task

    @property
    def id(self) -> str:
        """The text in the brackets of the test's id."""
        knobs = (f"{name}_{value}" for name, value in self.knobs.items() if name != "sweep")
        return "-".join((self.model, self.technique, self.dataset, *knobs))

    @property
    def workload(self) -> dict[str, Scalar]:
        """The facts that identify this benchmark in tables and baselines."""
        facts = {"paper": self.paper, "task": self.task, "model": self.model}
        return {**facts, "technique": self.technique, "dataset": self.dataset, **self.knobs}


def parameters(rows: Iterable[Row]) -> list[ParameterSet]:
    """Rows for ``pytest.mark.parametrize``, each marked with its paper.

    Every row of paper D is part of a sweep. The plain ones sweep the depth.
    """
    return [
        pytest.param(
            row,
            id=row.id,
            marks=[
                getattr(pytest.mark, PAPER_MARKS[row.paper]),
                *([pytest.mark.sweep] if row.paper == "d" else ()),
            ],
        )
        for row in rows
    ]


def inference_rows(zoo: Path = ZOO) -> list[Row]:
    """The rows that measure forward passes."""
    return [*_models(zoo, "inference"), *_techniques(zoo, "inference")]


def training_rows(zoo: Path = ZOO) -> list[Row]:
    """The rows that measure epochs of training."""
    rows = [*_models(zoo, "training"), *_techniques(zoo, "training")]
    return [row for row in rows if not _is_repeated(row)] + [
        replace(row, knobs={"run": run})
        for row in rows
        if _is_repeated(row)
        for run in range(1, RUNS + 1)
    ]


def _is_repeated(row: Row) -> bool:
    return row.paper == "b" or row.technique == "poly_half"


def sweep_rows(stage: Stage) -> list[Row]:
    """The rows that vary one knob and nothing else, without the power caps."""
    return [row for row in _sweeps() if row.stage == stage and row.knobs["sweep"] not in CAP_KNOBS]


def cap_rows() -> list[Row]:
    """The rows of paper D's power caps, in watts and in per cent of the card's default limit."""
    return [row for row in _sweeps() if row.knobs["sweep"] in CAP_KNOBS]


def target_rows() -> list[Row]:
    """The rows of paper D's energy to a target accuracy, by batch size and by precision."""
    batches = [_to_target("batch", batch) for batch in BATCHES]
    return [*batches, _to_target("precision", "float32"), _to_target("precision", "mixed", "amp")]


def target_cap_rows() -> list[Row]:
    """The rows of paper D's energy to a target accuracy, by power cap."""
    shares = [_to_target("power_cap_pct", cap_pct) for cap_pct in CAPS_PCT]
    return [*(_to_target("power_cap_w", cap_w) for cap_w in CAPS_W), *shares]


def _to_target(knob: str, value: Scalar, technique: str = BASELINE) -> Row:
    knobs = {"sweep": "target", knob: value}
    return Row("d", "training", "resnet50", "imagenet", technique, knobs)


BATCHES: Final = (64, 128, 256, 512)
CAPS_W: Final = (250, 200, 150, 100)
CAPS_PCT: Final = (100, 80, 60, 40)
"""The paper's caps as shares of the 250 W of its card: other cards refuse 100 W."""
CAP_KNOBS: Final = ("power_cap_w", "power_cap_pct")
RESOLUTIONS: Final = (128, 160, 192, 224, 256, 288)


def _sweeps() -> Iterator[Row]:
    for batch in BATCHES:
        yield _swept("d", "training", "resnet50", "imagenet", "batch", batch)
    for batch in (32, *BATCHES):
        yield _swept("d", "training", "yolov5s", "xview", "batch", batch)
    yield _swept("d", "training", "resnet50", "imagenet", "precision", "float32")
    yield _swept("d", "training", "resnet50", "imagenet", "precision", "mixed", technique="amp")
    for cap_w in CAPS_W:
        yield _swept("d", "training", "resnet50", "imagenet", "power_cap_w", cap_w)
    for share in CAPS_PCT:
        yield _swept("d", "training", "resnet50", "imagenet", "power_cap_pct", share)
    for batch in (1, 8, 32, 128):
        yield _swept("beyond", "inference", "resnet50", "imagenet", "batch", batch)
    for side in RESOLUTIONS:
        yield _swept("beyond", "inference", "resnet50", "imagenet", "resolution", side)


def _swept(
    paper: str,
    stage: Stage,
    model: str,
    dataset: str,
    knob: str,
    value: Scalar,
    technique: str = BASELINE,
) -> Row:
    return Row(paper, stage, model, dataset, technique, {"sweep": knob, knob: value})


MODELS: Final = (
    ("a", ("resnet50", "convnext_tiny"), ("birds",)),
    ("b", ("vgg16_transfer", "vgg19_transfer", "resnet50_transfer"), ("cifar10", "mnist")),
    ("d", tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)), ("imagenet",)),
    ("d", tuple(f"yolov5{size}" for size in "nsmlx"), ("xview",)),
    ("e", ("resnet18_cifar", "efficientnet_b0"), ("cifar100",)),
)
"""Paper, models and data sets that are measured without any technique."""


def _models(zoo: Path, stage: Stage) -> Iterator[Row]:
    known = find_models(zoo)
    for paper, models, datasets in MODELS:
        for model in models:
            if model in known:
                yield from (Row(paper, stage, model, dataset) for dataset in datasets)


def _techniques(zoo: Path, stage: Stage) -> Iterator[Row]:
    known = find_models(zoo)
    for technique in find_techniques(zoo).values():
        if technique.name in OTHER_TECHNIQUES:
            yield from _other_technique(technique, stage)
            continue
        for task, places in TRIED_ON.items():
            if technique.suits(task, stage):  # type: ignore[arg-type] # the keys are tasks
                for model, dataset in (place for place in places if place[0] in known):
                    yield Row("c", stage, model, dataset, technique.name)


def _other_technique(technique: Technique, stage: Stage) -> Iterator[Row]:
    model, dataset = LINEAR_TRIED_ON if technique.name in ("fp8", "int8") else OTHERS_TRIED_ON
    if technique.suits("classification", stage):
        yield Row(OTHER_TECHNIQUES[technique.name], stage, model, dataset, technique.name)
