"""Every row runs by the code of full scale, on a CPU, on files in the layout of its data set.

The images are small, an epoch has two of them, and the networks have few blocks. All else is the
paper's: batch, optimiser, augmentation, techniques, evaluation. Rows that differ by a number only
run the same code, so one of them is tried; with the variable EVERY_ROW in the environment, each row
has its test.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from benchmarks import target, training, workbench
from benchmarks.data import KINDS
from benchmarks.determinism import one_thread
from benchmarks.options import Options
from benchmarks.rows import Row, inference_rows, sweep_rows, target_rows, training_rows
from benchmarks.schedules import Schedule
from benchmarks.target import Target, TargetMissedError, run_to_target
from benchmarks.training import run_training
from benchmarks.workbench import run_inference
from benchmarks.zoo.recipe import NotApplicableError
from pytest_energy.fixture import Energy
from tests.suite.quick_weights import cut_depth, repeat_draws
from tests.suite.trees import IMAGES, plant

SIDES = {"classification": 32, "segmentation": 32, "detection": 64, "blurpool": 64, "amp": 8}
"""The largest side of an image here, by task or technique. YOLOv5 and the padding of BlurPool need
larger maps at the end. A CPU emulates convolutions in float16, which takes a hundred times as
long."""
CIFAR_SIDE = 16
"""The largest side for the models of CIFAR, which halve it three times."""
DEEPER = (
    *("resnet34", "resnet101", "resnet152", "vgg19_transfer"),
    *("yolov5s", "yolov5m", "yolov5l", "yolov5x"),
)
"""Their depth is a number in a table; another one of the family runs the same code."""


def distinct(rows: Iterable[Row]) -> list[Row]:
    """One row of those that differ by a number only: a run, a batch size, a power limit.

    A technique is tried on one of a paper's two data sets; the baseline is on both.
    """
    if "EVERY_ROW" in os.environ:
        return list(rows)
    chosen: dict[tuple[object, ...], Row] = {}
    for row in rows:
        if row.model not in DEEPER:
            dataset = row.dataset if row.technique in ("baseline", "cyclic_lr") else ""
            chosen.setdefault((row.model, row.technique, dataset), row)
    return list(chosen.values())


TRAINED = distinct([*training_rows(), *sweep_rows("training")])
EIGHT_BITS = ("fp8", "int8")
"""They need a GPU: see tests/zoo/test_low_precision.py."""
INFERRED = [
    row
    for row in distinct([*inference_rows(), *sweep_rows("inference")])
    if row.technique not in EIGHT_BITS
]


class Recorder(Energy):
    """Runs a benchmark once, and keeps what it says."""

    scale = "full"

    def __init__(self, data_dir: Path | None = None) -> None:
        super().__init__(data_dir)
        self.metrics: dict[str, float] = {}
        self.facts: dict[str, object] = {}
        self.remarks: list[str] = []

    @property
    def device(self) -> str:
        return "cpu"

    def training(self, train_one_epoch, *, evaluate, after_epoch, workload, **_):
        self.facts |= workload
        self.metrics |= train_one_epoch()
        if after_epoch:
            after_epoch()
        self.metrics |= evaluate()

    def record(self, **metrics: float) -> None:
        self.metrics |= metrics

    def describe(self, **facts: object) -> None:
        self.facts |= facts

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)


def small_images(row: Row, scale: str) -> Schedule:
    """The paper's schedule with images of at most :data:`SIDES` pixels."""
    full = workbench.scheduled(row, scale)
    side = min(SIDES.get(row.technique, SIDES[row.task]), full.image_size)
    if row.model.endswith("_cifar"):
        side = min(side, CIFAR_SIDE)
    base = full.base_size and full.base_size * side // full.image_size
    return replace(full, image_size=side, base_size=base)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all data sets."""
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        for dataset in KINDS:
            plant(dataset, root, patch)
        yield root


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Small images, float16 for mixed precision as on a GPU, no compiler, no tracing of memory."""
    monkeypatch.setattr(training, "scheduled", small_images)
    monkeypatch.setattr(target, "scheduled", small_images)
    monkeypatch.setattr(training, "check_memory", lambda *_: 0.0)
    repeat_draws(monkeypatch)
    cut_depth(monkeypatch)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    before = torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", torch.float16)
    with one_thread():
        yield
    torch.set_autocast_dtype("cpu", before)


def skip_what_is_not_installed(row: Row) -> None:
    """Skip rows of the optional libraries, which CI has not."""
    if row.model.startswith("yolo"):
        pytest.importorskip("ultralytics", reason="needs pip install 'pytest-energy[detection]'")
    if row.dataset in ("coco_stuff", "xview"):
        pytest.importorskip("pycocotools", reason="needs pip install 'pytest-energy[detection]'")


@pytest.mark.slow
@pytest.mark.parametrize("row", TRAINED, ids=lambda row: row.id)
def test_a_row_trains_at_full_scale(row: Row, trees: Path) -> None:
    """One epoch of the real data's reader, and both evaluations."""
    skip_what_is_not_installed(row)
    energy = Recorder(trees)
    run_training(energy, row, Options(workers=0, epochs=1))
    scores = {name: energy.metrics[name] for name in ("accuracy", "map") if name in energy.metrics}
    assert scores
    assert all(0 <= score <= 1 for score in scores.values())
    assert math.isfinite(energy.metrics["loss"])
    assert (energy.facts["images_per_epoch"], energy.facts["steps_per_epoch"]) == (IMAGES, 1)
    assert any(f"has {IMAGES} training images here" in remark for remark in energy.remarks)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (Row("e", "training", "resnet18_cifar", "cifar100"), {"accuracy"}),
        (
            # its maps have odd sides if whole images are not padded to multiples of 64
            Row("c", "training", "bisenet_resnet18", "coco_stuff", "spatial_bottleneck"),
            {"accuracy", "miou", "square_accuracy", "square_miou"},
        ),
    ],
    ids=lambda value: value.id if isinstance(value, Row) else "",
)
def test_every_epoch_is_scored_on_request(row: Row, names: set[str], trees: Path) -> None:
    """A whole image and its square centre have a curve each; the last score is that of the end."""
    skip_what_is_not_installed(row)
    energy = Recorder(trees)
    run_training(energy, row, Options(workers=0, epochs=1, score_epochs=True))
    assert {name for name in energy.metrics if "_at_" in name} == {f"{name}_at_1" for name in names}
    for name in names:
        assert energy.metrics[f"{name}_at_1"] == energy.metrics[name]


@pytest.mark.slow
@pytest.mark.parametrize("row", INFERRED, ids=lambda row: row.id)
def test_a_row_infers_at_full_scale(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass of one image, or of the sweep's batch."""
    skip_what_is_not_installed(row)
    small = small_images(row, "full")
    monkeypatch.setattr(workbench, "scheduled", lambda *_: small)
    run_inference(Recorder(), row)


@pytest.mark.slow
@pytest.mark.parametrize("row", distinct(target_rows()), ids=lambda row: row.id)
def test_a_target_is_trained_for_at_full_scale(
    row: Row, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResNet-50 on ImageNet's layout, with the evaluation after the epoch."""
    monkeypatch.setitem(target.TARGETS, "full", Target(0.7, 1))
    energy = Recorder(trees)
    with suppress(TargetMissedError):
        run_to_target(energy, row, Options(workers=0))
    assert energy.facts == {"images_per_epoch": IMAGES, "steps_per_epoch": 1}
    assert energy.metrics["epochs_to_target"] == 1


@pytest.mark.parametrize("dataset", sorted(KINDS))
def test_a_tree_has_both_parts(dataset: str, trees: Path) -> None:
    """The made-up trees are read by the readers of the real data."""
    from benchmarks.data import open_data

    if dataset == "coco_stuff" and find_spec("pycocotools") is None:
        with pytest.raises(NotApplicableError, match="pycocotools"):
            open_data(dataset, trees, 32)
        return
    data = open_data(dataset, trees, 32)
    assert len(data.train) == IMAGES
    assert len(data.held_out) in (1, 2)
    for part in (data.train, data.held_out):
        assert len([part[index] for index in range(len(part))]) == len(part)


def test_workers_load_the_data_of_a_full_scale_training(trees: Path) -> None:
    """By default there is a process for each usable core, and none warns that it is too many."""
    row = Row("e", "training", "resnet18_cifar", "cifar100")
    trained = training.Training(row, small_images(row, "full"), "cpu", trees)
    assert trained.batches.loader.num_workers == min(8, len(os.sched_getaffinity(0)))
    assert math.isfinite(trained.one_epoch()["loss"])
