"""Models have the outputs that their docstrings give, in both modes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.zoo.models.transfer import Transfer
from benchmarks.zoo.recipe import NotApplicableError, Recipe
from benchmarks.zoo.registry import find_models
from tests.suite.quick_weights import cut_depth

pytestmark = pytest.mark.usefixtures("repeated_draws")
MODELS = find_models()


@pytest.mark.parametrize("name", ["resnet18_cifar", "efficientnet_b0", "vgg16_transfer"])
def test_a_classifier_scores_every_class(name: str) -> None:
    """(B, 3, H, W) → (B, K)."""
    with torch.device("meta"):
        model = MODELS[name].build((3, 32, 32), 7)
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", ["bisenet_resnet18", "bisenet_resnet18_onebranch"])
@pytest.mark.parametrize("side", [8, 64, 72])
def test_a_segmentation_scores_every_pixel(name: str, side: int) -> None:
    """Logits have the size of the image. Auxiliary logits exist in training only."""
    with torch.device("meta"):
        model = MODELS[name].build((3, side, side), 5)
        images = torch.rand(2, 3, side, side)
        assert [logits.shape for logits in model.train()(images)] == [(2, 5, side, side)] * 3
        assert model.eval()(images).shape == (2, 5, side, side)


def test_a_frozen_base_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step changes the head, but neither weights nor statistics of the base."""
    cut_depth(monkeypatch)
    model = MODELS["resnet50_transfer"].build((3, 32, 32), 3)
    assert isinstance(model, Transfer)
    recipe = Recipe("classification", model.train(), (3, 32, 32), 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer, _ = recipe.start(1)
    recipe.training_loss(model(recipe.example(2)), torch.tensor([0, 1])).backward()
    optimizer.step()
    changed = {
        name for name, tensor in model.state_dict().items() if (tensor != before[name]).any()
    }
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_the_loss_counts_every_output_of_a_segmentation() -> None:
    """In training, the auxiliary heads get gradients too."""
    model = MODELS["bisenet_resnet18"].build((3, 32, 32), 4).train()
    recipe = Recipe("segmentation", model, (3, 32, 32), 4)
    output = model(recipe.example(2))
    target = torch.randint(4, (2, 32, 32))
    total = recipe.training_loss(output, target)
    assert total.item() == pytest.approx(
        sum(recipe.loss(logits, target).item() for logits in output)
    )
    total.backward()
    assert all(p.grad is not None for p in model.auxiliary.parameters())


def test_yolov5_learns_a_box() -> None:
    """Twenty steps on one image with one box lower ultralytics' loss; an empty image is allowed."""
    torch.manual_seed(0)
    try:
        model = MODELS["yolov5n"].build((3, 64, 64), 3).train()
    except NotApplicableError as missing:
        pytest.skip(str(missing))
    recipe = Recipe("detection", model, (3, 64, 64), 3, loss=MODELS["yolov5n"].make_loss(model))
    images = recipe.example(2)
    target = [
        {"boxes": torch.tensor([[8.0, 8.0, 40.0, 48.0]]), "labels": torch.tensor([1])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    ]
    optimizer, _ = recipe.start(20)
    losses = []
    for _ in range(20):
        loss = recipe.training_loss(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
