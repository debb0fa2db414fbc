"""One step of each kind on images of the papers' own sizes, by networks of few blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.determinism import one_thread
from benchmarks.options import Options
from benchmarks.rows import Row, sweep_rows
from benchmarks.training import Training
from benchmarks.workbench import inference_batch, run_inference, scheduled
from pytest_energy.fixture import Energy
from tests.suite.quick_weights import cut_depth

CLASSIFICATION = ("e", "resnet18_cifar", "cifar100")
SEGMENTATION = ("c", "bisenet_resnet18", "cityscapes")


class FullScale(Energy):
    """The fixture where a GPU would be measured."""

    scale = "full"


def row_of(stage: str, paper: str, model: str, dataset: str) -> Row:
    """The row of a baseline."""
    return Row(paper, stage, model, dataset)  # type: ignore[arg-type] # a stage


@pytest.mark.slow
@pytest.mark.parametrize("where", [CLASSIFICATION, SEGMENTATION])
def test_a_pass_takes_the_papers_image(
    where: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inputs are single images of the paper's size."""
    cut_depth(monkeypatch)
    shapes = []
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **_: shapes.append(shape) or torch.zeros(shape)
    )
    energy = FullScale()
    row = row_of("inference", *where)
    with one_thread():
        run_inference(energy, row)
    side = scheduled(row, "full").image_size
    assert set(shapes) == {(1, 3, side, side)}


@pytest.mark.slow
@pytest.mark.parametrize("where", [CLASSIFICATION, SEGMENTATION])
def test_a_step_of_the_papers_schedule_changes_the_weights(
    where: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image size, augmentation, optimiser and decay are the paper's. A batch has two images.

    Evaluations are in test_every_row.py.
    """
    cut_depth(monkeypatch)
    row = row_of("training", *where)
    schedule = replace(
        scheduled(row, "full"), batch_size=2, batches=1, held_out_batches=1, workers=0
    )
    with one_thread():
        training = Training(row, schedule, "cpu", options=Options(epochs=1))
        before = [weights.clone() for weights in training.recipe.model.parameters()]
        training.one_epoch()
        after = list(training.recipe.model.parameters())
        assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_a_sweep_sets_what_its_row_says() -> None:
    """At full scale, batches and image sizes are those in the ids."""
    for row in sweep_rows("training"):
        if "batch" in row.knobs:
            assert scheduled(row, "full").batch_size == row.knobs["batch"]
    for row in sweep_rows("inference"):
        assert inference_batch(row, "full") == row.knobs.get("batch", 1)
        assert scheduled(row, "full").image_size == row.knobs.get("resolution", 224)
