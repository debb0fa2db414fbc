"""The papers' schedules, and their small twins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.determinism import one_thread
from benchmarks.options import Options
from benchmarks.rows import Row, inference_rows, sweep_rows, target_rows, training_rows
from benchmarks.schedules import SCHEDULES, Schedule, schedule_of
from benchmarks.training import Training
from benchmarks.workbench import facts_of, optimiser_of, scheduled, scheduler_of
from benchmarks.zoo.recipe import Horizon
from tests.suite.quick_weights import cut_depth, repeat_draws

CIFAR_ROW = Row("e", "training", "resnet18_cifar", "cifar100")


def test_every_row_has_a_schedule() -> None:
    """No row of the suite lacks a schedule at either scale."""
    rows = [*inference_rows(), *training_rows(), *target_rows()]
    rows += [*sweep_rows("training"), *sweep_rows("inference")]
    for row in rows:
        assert scheduled(row, "small").batches
        assert scheduled(row, "full").batches is None


def test_a_row_without_a_schedule_is_named() -> None:
    """The error says which paper, model and data."""
    with pytest.raises(KeyError, match="paper c for vgg on imagenet"):
        schedule_of("c", "vgg", "imagenet")


def test_paper_c_trains_as_it_says() -> None:
    """The schedules have the figures of the paper's text."""
    cityscapes = schedule_of("c", "bisenet_resnet18", "cityscapes")
    assert (cityscapes.epochs, cityscapes.batch_size, cityscapes.learning_rate) == (1000, 16, 0.025)
    stuff = schedule_of("c", "bisenet_resnet18", "coco_stuff")
    assert (stuff.epochs, stuff.batch_size, stuff.image_size) == (60, 12, 640)
    assert (stuff.learning_rate, stuff.base_size, stuff.decay) == (0.01, 640, "poly")
    cifar = schedule_of("c", "resnet50_cifar", "cifar100")
    assert (cifar.epochs, cifar.batch_size, cifar.learning_rate) == (200, 128, 0.1)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=map(str, SCHEDULES))
def test_the_small_twin_changes_size_and_amount_only(schedule: Schedule) -> None:
    """Optimiser, learning rate, decay and epochs of the full schedule stay the paper's."""
    small = schedule.small()
    for name in ("epochs", "optimiser", "learning_rate", "decay", "augmentation", "weight_decay"):
        assert getattr(small, name) == getattr(schedule, name)
    assert small.image_size <= schedule.image_size
    assert small.batch_size < schedule.batch_size


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=map(str, SCHEDULES))
def test_what_is_assumed_is_a_field(schedule: Schedule) -> None:
    """The list of assumptions names fields that exist."""
    assert set(schedule.assumed) <= set(vars(schedule))


@pytest.mark.parametrize("scale", ["small", "full"])
@pytest.mark.parametrize(
    "row",
    [row for row in [*training_rows(), *sweep_rows("training")] if row.technique == "amp"],
    ids=lambda row: row.id,
)
def test_mixed_precision_trains_as_float32_does(row: Row, scale: str) -> None:
    """Image size, batch and steps are those of the float32 row."""
    assert scheduled(row, scale) == scheduled(replace(row, technique="baseline"), scale)


STATED = {
    "a": {"epochs", "batch_size", "image_size", "optimiser", "augmentation"},
    "b": {"batch_size", "image_size"},
    "cityscapes": {"epochs", "batch_size", "image_size", "optimiser", "learning_rate", "decay"}
    | {"base_size"},
    "cifar100": {"epochs", "batch_size", "image_size", "optimiser", "learning_rate"},
    "d": {"epochs"},
    "e": {"epochs"},
}
STATED |= {"coco_stuff": STATED["cityscapes"], "tiny_imagenet": STATED["cifar100"]}
"""The fields that a paper states of its training, by paper or, for paper C, by data set."""


@pytest.mark.parametrize(("place", "schedule"), SCHEDULES.items(), ids=map(str, SCHEDULES))
def test_what_a_paper_leaves_open_is_assumed(place: tuple[str, str], schedule: Schedule) -> None:
    """A field that is set is either stated by the paper or listed as an assumption, never both."""
    paper, trained = place
    plain = Schedule(0, 0, 0, "sgd", 0.0)
    optional = ("optimiser", "momentum", "weight_decay", "decay", "augmentation", "base_size")
    optional += ("warmup_epochs",)
    settings = {"epochs", "batch_size", "image_size", "optimiser", "learning_rate"}
    settings |= {name for name in optional if getattr(schedule, name) != getattr(plain, name)}
    assert settings - STATED[trained if paper == "c" else paper] == set(schedule.assumed)


def test_the_poly_rate_falls_by_the_papers_power() -> None:
    """After half of the steps, 0.025 has fallen to 0.025 × 0.5 ** 0.9."""
    schedule = schedule_of("c", "bisenet_resnet18", "cityscapes")
    optimizer = optimiser_of(schedule)([torch.nn.Parameter(torch.zeros(1))])
    scheduler = scheduler_of(schedule)(optimizer, Horizon(5, 2))
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025 * 0.5**0.9)


def test_the_poly_rate_ends_at_zero() -> None:
    """After the last step of the full schedule the learning rate is zero."""
    schedule = schedule_of("c", "bisenet_resnet18", "cityscapes")
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = optimiser_of(schedule)(parameters)
    scheduler = scheduler_of(schedule)(optimizer, Horizon(5, 2))
    for _ in range(10):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


def test_facts_are_of_the_papers_input_at_every_scale() -> None:
    """ResNet-18 has the parameters and MACs of 100 classes at 32 × 32, not of the small twin."""
    facts = facts_of(CIFAR_ROW)
    assert facts["params"].value == pytest.approx(11.22e6, rel=0.01)
    assert facts["macs"].value == pytest.approx(0.556e9, rel=0.02)


@pytest.mark.parametrize(
    ("row", "workers"),
    [(CIFAR_ROW, 0), (CIFAR_ROW, 1), (Row("c", "training", "bisenet_resnet18", "cityscapes"), 0)],
    ids=["classification", "loaded by a process", "segmentation"],
)
def test_two_trainings_of_one_seed_are_equal(
    row: Row, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs on a machine give the same weights and accuracy, however the data is loaded."""
    cut_depth(monkeypatch)
    with one_thread():
        first, again = (trained_once(row, workers) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]


def trained_once(row: Row, workers: int) -> tuple[torch.Tensor, dict[str, float]]:
    """The weights after an epoch of the small twin, and their scores."""
    training = Training(row, replace(scheduled(row, "small"), workers=workers), "cpu")
    measured = training.one_epoch()
    assert 0 <= measured["data_wait_share"] <= 1
    weights = torch.cat([p.detach().flatten() for p in training.recipe.model.parameters()])
    return weights, training.evaluate()


@pytest.mark.parametrize(
    ("row", "run"),
    [
        (Row("a", "training", "convnext_tiny", "birds"), 6),
        (Row("b", "training", "vgg16_transfer", "mnist"), 10),
        (CIFAR_ROW, 11),
    ],
    ids=lambda value: str(getattr(value, "model", value)),
)
def test_no_training_outlasts_the_papers(
    row: Row, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warm-up and the measured epochs of the full scale are at most the full schedule's."""
    repeat_draws(monkeypatch)
    full = scheduled(row, "full")
    schedule = replace(scheduled(row, "small"), measured_epochs=full.measured_epochs)
    assert 1 + Training(row, schedule, "cpu").measured_epochs == run


def test_uneven_epochs_stand_evenly_for_the_whole_schedule() -> None:
    """Progressive resizing measures epochs of all its sizes, not of the first ones only."""
    row = Row("c", "training", "bisenet_resnet18", "cityscapes", "progressive_resizing")
    training = Training(row, scheduled(row, "small"), "cpu", options=Options(epochs=4))
    progress = []
    for epochs_run in range(5):
        training.losses = [1.0] * epochs_run
        progress.append(training.progress)
    assert progress == [0.125, 0.125, 0.375, 0.625, 0.875]


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=map(str, SCHEDULES))
@pytest.mark.parametrize("factor", [0.25, 1, 16])
def test_no_rate_grows_without_a_warm_up(schedule: Schedule, factor: float) -> None:
    """A batch larger than the schedule's own brings epochs of rising rate."""
    swept = schedule.with_batch(round(schedule.batch_size * factor))
    if swept.batch_size > schedule.batch_size:
        assert swept.warmup_epochs >= 3
    if swept.learning_rate > schedule.learning_rate:
        assert swept.warmup_epochs >= 5
    assert swept.warmup_epochs >= schedule.warmup_epochs


def test_a_loss_summed_over_the_batch_keeps_its_rate() -> None:
    """YOLOv5's gradients grow with the batch themselves; its rate would count the batch twice."""
    schedule = schedule_of("d", "yolov5s", "xview")
    assert schedule.with_batch(512).learning_rate == schedule.learning_rate
    assert schedule_of("d", "resnet50", "imagenet").with_batch(512).learning_rate == 0.2


def test_a_warm_up_rises_to_the_rate_and_then_follows_the_decay() -> None:
    """After the warm-up the factor is 1, and the decay's own factor remains."""
    schedule = replace(schedule_of("d", "resnet50", "imagenet"), warmup_epochs=2)
    optimizer = optimiser_of(schedule)([torch.nn.Parameter(torch.zeros(1))])
    scheduler = scheduler_of(schedule)(optimizer, Horizon(10, 100))
    rates = []
    for _ in range(1000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.1 * 1e-3)
    assert rates[:201] == sorted(rates[:201])
    assert rates[250] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1 * 0.2**3)
